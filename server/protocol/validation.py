"""Validation of clients' data: JSON that PostgreSQL can store as ``jsonb``, with bounded nesting.

Many publishes go into one statement, so data that PostgreSQL would reject is rejected here, as the error of one client.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any, Final

import msgspec

from engine.errors import RealtimeError
from engine.values.exact_json import expansion
from engine.values.levels import levels
from server.protocol.error_codes import ErrorCode

__all__ = ["MAX_DEPTH", "InvalidMessageError", "check_payload", "check_storable"]

MAX_DEPTH: Final = 64
_MAX_EXPANSION: Final = 1 << 20

_EXPONENT: Final = re.compile(rb"[0-9][eE]")

_FLAT: Final = frozenset((str, int, float, bool, type(None)))
"""What has no values in it. PostgreSQL writes whole numbers with the digits that they came with, and no other number of a
message that can be read here grows by more than a number's digits (``expansion``).
"""

_MAX_FLAT: Final = 1_000  # values whose numbers, whatever they are, are within ``_MAX_EXPANSION``

_any: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class InvalidMessageError(RealtimeError):
    """A message violates the protocol, or cannot be stored; the text names the field."""

    code = ErrorCode.INVALID_MESSAGE


def check_payload(data: bytes) -> Any:
    """Decode JSON for a ``jsonb`` column. Raises ``InvalidMessageError`` for JSON that PostgreSQL would refuse."""
    try:
        value = _any.decode(data)
    except RecursionError as wrong:
        raise InvalidMessageError("data: nested too deeply") from wrong
    except (UnicodeDecodeError, msgspec.MsgspecError) as wrong:
        raise InvalidMessageError(f"data: {wrong}") from wrong
    if type(value) is dict and len(value) <= _MAX_FLAT:
        values: Any = value.values()
    else:
        values = (value,)
    if b"\\u0000" not in data and _FLAT.issuperset(map(type, values)):
        return value  # most messages are, and to look for exponents in their text takes several times as long
    # Few of the others have any of these, and looking at all their values takes as long as decoding them.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH or _EXPONENT.search(data) or b"\\u0000" in data:
        check_storable(value)
    return value


def check_storable(value: object, *, field: str = "data", max_expansion: int = _MAX_EXPANSION) -> None:
    """Raise ``InvalidMessageError`` if ``value`` is nested too deeply, has numbers that become long when PostgreSQL writes
    them out, or has text with NUL in it.

    ``field``: its name in the error. ``max_expansion``: how many digits the numbers may gain (see ``expansion``).
    """
    digits, has_nul = 0, False
    for depth, level in enumerate(levels(value)):
        if depth >= MAX_DEPTH and level.of(dict, list, tuple):
            raise InvalidMessageError(f"{field}: nested more than {MAX_DEPTH} levels deep")
        digits += expansion(level)
        has_nul = has_nul or "\0" in "".join(chain(level.of(str), level.keys))
    if digits > max_expansion:
        raise InvalidMessageError(
            f"{field}: its numbers have {digits} digits more when they are written without exponents; "
            f"at most {max_expansion} are allowed"
        )
    if has_nul:
        raise InvalidMessageError(f"{field}: text in PostgreSQL cannot contain the character NUL")
