"""Validation of clients' data: JSON that PostgreSQL can store as ``jsonb``, with bounded nesting.

Many publishes go into one statement, so data that PostgreSQL would reject is rejected here, as the error of one client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

import msgspec

from engine.errors import RealtimeError
from engine.values.exact_json import expansion
from engine.values.levels import levels
from server.protocol.error_codes import ErrorCode

__all__ = ["MAX_DEPTH", "InvalidMessageError", "check_payload", "check_storable"]

MAX_DEPTH: Final = 64
_MAX_EXPANSION: Final = 1 << 17
_FREE_EXPANSION: Final = 4_096
_EXPANSION_PER_BYTE: Final = 8

_EXPONENT: Final = re.compile(rb"[0-9][eE][+-]?0*([0-9]{1,9})")
_TEXT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')

_PLAIN: Final = frozenset((str, int, bool, type(None)))
"""What is stored as it is, if it has no NUL: PostgreSQL writes whole numbers with the digits that they came with."""

_FLAT: Final = _PLAIN | {float}

_any: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class InvalidMessageError(RealtimeError):
    """A message violates the protocol, or cannot be stored; the text names the field."""

    code = ErrorCode.INVALID_MESSAGE


def check_payload(data: bytes) -> Any:
    """Decode JSON for a ``jsonb`` column. Raises ``InvalidMessageError`` for JSON that PostgreSQL would refuse, and for
    numbers that PostgreSQL would write out much longer than they came: ``1e-16383`` has 16,385 characters there.
    """
    try:
        value = _any.decode(data)
        if b"\\u0000" not in data and _as_it_is(value, data):
            return value  # most messages are, and to look for exponents in their text takes several times as long
        # Few of the others have any of these, and looking at all their values takes as long as decoding them.
        _check_gains(data)
        if data.count(b"[") + data.count(b"{") > MAX_DEPTH or b"\\u0000" in data:
            check_storable(value, max_expansion=None)
    except RecursionError as wrong:
        raise InvalidMessageError("data: nested too deeply") from wrong
    except (UnicodeDecodeError, msgspec.MsgspecError) as wrong:
        raise InvalidMessageError(f"data: {wrong}") from wrong
    return value


def _as_it_is(value: object, data: bytes) -> bool:
    """Whether a value without others in it, or an object of such, has numbers of ordinary size alone."""
    values: Iterable[object] = (value,)
    if type(value) is dict:
        if data.count(b":") != len(value):
            return False  # a key that is there twice hides a value; or texts have colons
        values = value.values()
    types = set(map(type, values))
    if types <= _PLAIN:
        return True
    return types <= _FLAT and all(1e-4 <= abs(each) < 1e16 for each in values if type(each) is float)


def _check_gains(data: bytes) -> None:
    """Raise ``InvalidMessageError`` if the numbers of ``data``, which is JSON, are too long without their exponents."""
    most = min(_MAX_EXPANSION, _FREE_EXPANSION + _EXPANSION_PER_BYTE * len(data))
    if sum(map(int, _EXPONENT.findall(data))) > most:  # with what looks like one in texts
        digits = sum(map(int, _EXPONENT.findall(_TEXT.sub(b'""', data))))
        if digits > most:
            raise _too_long("data", digits, most)


def _too_long(field: str, digits: int, most: int) -> InvalidMessageError:
    return InvalidMessageError(
        f"{field}: its numbers have {digits} digits more when they are written without exponents; "
        f"at most {most} are allowed"
    )


def check_storable(value: object, *, field: str = "data", max_expansion: int | None = _MAX_EXPANSION) -> None:
    """Raise ``InvalidMessageError`` if ``value`` is nested too deeply, has numbers that become long when PostgreSQL writes
    them out, or has text with NUL in it.

    ``field``: its name in the error. ``max_expansion``: how many digits the numbers may gain (see ``expansion``); None: any.
    """
    digits, has_nul = 0, False
    for depth, level in enumerate(levels(value)):
        if depth >= MAX_DEPTH and level.of(dict, list, tuple):
            raise InvalidMessageError(f"{field}: nested more than {MAX_DEPTH} levels deep")
        digits += 0 if max_expansion is None else expansion(level)
        has_nul = has_nul or "\0" in "".join(chain(level.of(str), level.keys))
    if max_expansion is not None and digits > max_expansion:
        raise _too_long(field, digits, max_expansion)
    if has_nul:
        raise InvalidMessageError(
            f"{field}: text in PostgreSQL cannot contain the character NUL, nor half of a surrogate pair"
        )
