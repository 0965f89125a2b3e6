"""Transactions of wal2json that travel: its messages, and what was known of their tables when they were decoded.

wal2json sends neither oid nor replica identity of a table. The decoder asked the catalog for them, at a moment that does not
come again, so its answers travel with the rows: a *definition* is a table's layout (or the table of a TRUNCATE), and each
payload begins with the number of its definition, in the order in which the transaction needed them; 0: a logical message.

The value is the same as for pgoutput (:class:`engine.feed.decoders.frames.WalFrames`), with definitions in the place of
Relation messages. Both ends must be of the same version: a definition is what this version's decoder makes of a table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from engine.feed.decoders.base import MalformedStreamError, Truncate
from engine.feed.decoders.change_log import ChangeLog, Maker
from engine.feed.decoders.frames import FramesError, PartOrder, WalFrames, log_of, parts_of
from engine.feed.decoders.wal2json import read_message
from engine.feed.decoders.wal2json_rows import CHANGES, Layout, Shape
from engine.transaction import Kind, Relation, Transaction

__all__ = ["JsonFramesDecoder", "json_frames_of", "json_relation_of"]

_NUMBER: Final = struct.Struct("!I")
_MESSAGE: Final = _NUMBER.pack(0)
_KINDS: Final = {change: kind for kind, change in CHANGES.items()}
_REMEMBERED: Final = 1000  # definitions


class _Rows(msgspec.Struct, frozen=True, array_like=True, tag=1):
    kind: Kind
    shape: Shape


class _Truncated(msgspec.Struct, frozen=True, array_like=True, tag=2):
    relation: Relation


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Rows | _Truncated).decode


def json_frames_of(transaction: Transaction, limit: int | None = None) -> Iterator[WalFrames]:
    """The frames of ``transaction``, in as many parts as ``limit`` bytes of payload each make necessary (None: one).

    Raises ``FramesError`` for a transaction of another plugin than wal2json.
    """
    return parts_of(transaction, _filed(log_of(transaction)), limit)


def _filed(log: ChangeLog) -> Iterator[tuple[bytes | None, bytes]]:
    numbers: dict[int, bytes] = {}
    count = 0
    for make, raw in log.entries():
        definition = None
        number = _MESSAGE if make is read_message else numbers.get(id(make))
        if number is None:
            count += 1
            number = numbers[id(make)] = _NUMBER.pack(count)
            definition = _definition_of(make)
        yield definition, number + raw


def _definition_of(make: Maker) -> bytes:
    if isinstance(make, partial) and make.func in _KINDS:
        layout: Layout = make.args[0]
        return _encode(_Rows(_KINDS[make.func], layout.shape))
    if isinstance(make, partial) and make.func is Truncate:
        return _encode(_Truncated(make.args[0]))
    raise FramesError("only what wal2json sent can be taken apart here")


def json_relation_of(make: Maker) -> Relation | None:
    """The table of a row or TRUNCATE; None: a logical message. Raises ``FramesError`` for what wal2json did not send."""
    if make is read_message:
        return None
    if isinstance(make, partial) and make.func in _KINDS:
        layout: Layout = make.args[0]
        return layout.relation
    if isinstance(make, partial) and make.func is Truncate:
        relation: Relation = make.args[0]
        return relation
    raise FramesError("only what wal2json sent can be taken apart here")


def _maker_of(definition: bytes) -> Maker:
    try:
        found = _decode(definition)
    except msgspec.MsgspecError as error:
        raise MalformedStreamError(f"frames hold a definition that is none ({error}): {definition[:64]!r}") from error
    if isinstance(found, _Truncated):
        return partial(Truncate, found.relation)
    return partial(CHANGES[found.kind], Layout(found.shape))


class JsonFramesDecoder:
    """Frames of wal2json in, transactions out; see :class:`engine.feed.decoders.frames.FramesDecoder`."""

    def __init__(self, memory_limit: int = 16 << 20, spill_dir: Path | None = None) -> None:
        self._memory_limit = memory_limit
        self._spill_dir = spill_dir
        self._order = PartOrder()
        self._known: dict[bytes, Maker] = {}
        self._makers: list[Maker] = []
        self._log = ChangeLog(memory_limit, spill_dir)

    def feed(self, frames: WalFrames) -> Transaction | None:
        """Take one part; the transaction if it is complete with it, else None.

        Raises ``FramesError`` for a part that does not follow the one before, and ``MalformedStreamError`` for a payload or
        definition that is none.
        """
        if self._order.begins(frames):
            self._log = ChangeLog(self._memory_limit, self._spill_dir)
            self._makers = [read_message]
            if len(self._known) > _REMEMBERED:
                self._known.clear()
        for definition in frames.relations:
            make = self._known.get(definition)
            if make is None:
                make = self._known[definition] = _maker_of(definition)
            self._makers.append(make)
        for payload in frames.payloads:
            try:
                make = self._makers[_NUMBER.unpack_from(payload)[0]]
            except (struct.error, IndexError) as error:
                raise MalformedStreamError(f"frames hold a row without a definition: {payload[:32]!r}") from error
            self._log.append(make, payload[_NUMBER.size :])
        if self._order.goes_on(frames):
            return None
        return Transaction(frames.position, frames.end, frames.xid, frames.commit_time, self._log)
