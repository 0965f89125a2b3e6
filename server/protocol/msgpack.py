"""MessagePack for clients that ask for it: the same objects as in JSON, in both directions.

JSON stays the one form in which messages are made and checked; this module translates at the edge. Values without a form in
JSON are rejected (binary values, extension types, keys that are no strings, NaN). Values of a ``json`` column without a form
in MessagePack become the nearest one: integers beyond 64 bits become floats, as in ``JSON.parse``, and half of a surrogate
pair becomes U+FFFD. So every row can be sent.
"""

from __future__ import annotations

import json
import math
import re
import struct
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec

from engine.values.levels import levels
from server.protocol.validation import MAX_DEPTH, InvalidMessageError

__all__ = ["json_of", "names_text", "packed", "packed_fields", "packed_snapshot"]

_INT64_DIGITS = 18  # so many digits surely fit
_LARGEST, _SMALLEST = 2**64 - 1, -(2**63)
_MAX_LEVELS = MAX_DEPTH + 8  # a query is a few levels deep in its message; its own depth is checked with the message
_FIXMAP = 0x80
_FIX = 16  # a map or array of fewer entries has their number in its head
_MAP, _ARRAY = (_FIXMAP, 0xDE, 0xDF), (0x90, 0xDC, 0xDD)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]|[^\s,:{}\[\]"]+', re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SNAPSHOT_FIELDS = 6  # type, channel, id, position, reset, changes
_WRITABLE = {dict, list, str, int, float, bool, type(None)}
_packer = msgspec.msgpack.Encoder()
_META = _packer.encode("meta")
_unpacker: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder()
_fields: msgspec.msgpack.Decoder[dict[str, msgspec.Raw]] = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_text: msgspec.msgpack.Decoder[str] = msgspec.msgpack.Decoder(str)
_reader: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_writer = msgspec.json.Encoder()


def json_of(data: bytes) -> bytes:
    """The JSON text of one MessagePack object. Raises only ``InvalidMessageError``."""
    try:
        value = _unpacker.decode(data)
    except RecursionError as wrong:
        raise InvalidMessageError("the message is nested too deeply") from wrong
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, TypeError) as wrong:  # TypeError: a map as a key
        raise InvalidMessageError(f"not MessagePack: {wrong}") from wrong
    _check(value)
    try:
        return _writer.encode(value)
    except UnicodeEncodeError as wrong:
        raise InvalidMessageError("text is not valid UTF-8") from wrong


def names_text(data: bytes) -> bytes:
    """JSON with the ``channel``, ``id`` and ``ref`` of a message that may be broken, as far as they can be read."""
    try:
        fields = _fields.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, TypeError, RecursionError):
        return b"{}"
    found = {}
    for name in ("channel", "id", "ref"):
        if name in fields:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                found[name] = _text.decode(fields[name])
    return _writer.encode(found)


def _check(value: object) -> None:
    for depth, level in enumerate(levels(value)):
        if depth >= _MAX_LEVELS and level.of(dict, list):
            raise InvalidMessageError("the message is nested too deeply")
        if not set(map(type, level.keys)) <= {str}:
            raise InvalidMessageError("keys must be strings")
        if not all(map(math.isfinite, level.of(float))):
            raise InvalidMessageError("NaN and infinity are no JSON numbers")
        if not level.types <= _WRITABLE:
            raise InvalidMessageError("binary values and extension types cannot be written in JSON")


def packed(payload: bytes) -> bytes:
    """The MessagePack object of one JSON text of ours."""
    try:
        return _packer.encode(_reader.decode(payload))
    except (OverflowError, msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return _packed_by_token(payload)


def _packed_by_token(payload: bytes) -> bytes:
    """As :func:`packed`, for numbers beyond 64 bits, lone surrogates and any nesting: one token after the other."""
    parts: list[bytes] = []
    open_: list[tuple[int, bool]] = []  # of each container: the offset of its head, and whether it is a map
    counts = [0]
    for token in _TOKEN.findall(payload):
        if token in (b"{", b"["):
            counts[-1] += 1
            open_.append((len(parts), token == b"{"))
            counts.append(0)
            parts.append(b"")
        elif token in (b"}", b"]"):
            place, is_map = open_.pop()
            count = counts.pop()
            parts[place] = _container(count // 2, _MAP) if is_map else _container(count, _ARRAY)
        else:
            counts[-1] += 1
            parts.append(_packer.encode(_scalar(token)))
    return b"".join(parts)


def _container(count: int, heads: tuple[int, int, int]) -> bytes:
    small, head16, head32 = heads
    if count < _FIX:
        return bytes((small | count,))
    return struct.pack(">BH", head16, count) if count < 2**16 else struct.pack(">BI", head32, count)


def _scalar(token: bytes) -> object:
    if token.startswith(b'"'):
        return _LONE_SURROGATE.sub("\ufffd", json.loads(token))
    return json.loads(token, parse_int=_number)


def _number(digits: str) -> int | float:
    if len(digits) <= _INT64_DIGITS:
        return int(digits)
    return float(digits) if len(digits) > _INT64_DIGITS + 3 or not _fits(int(digits)) else int(digits)


def _fits(number: int) -> bool:
    return _SMALLEST <= number <= _LARGEST


def packed_fields(fields: bytes) -> bytes:
    """Some fields of an object, given as the JSON text between its braces, without the head of a map."""
    return packed(b"{" + fields + b"}")[1:]  # up to 15 fields: the head is one byte


@lru_cache(maxsize=4096)
def _head(head: bytes, fields: int) -> bytes:
    return bytes((_FIXMAP | fields,)) + packed_fields(head[1:-1])


def packed_snapshot(head: bytes, tail: bytes) -> bytes:
    """A snapshot of ``snapshot_head`` and the ``packed_fields`` of its ``snapshot_tail``, which may begin with ``meta``."""
    return _head(head, _SNAPSHOT_FIELDS + tail.startswith(_META)) + tail
