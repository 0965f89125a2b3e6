"""Validation of clients' data: JSON that PostgreSQL can store as ``jsonb``, with bounded nesting.

Many publishes go into one statement, so data that PostgreSQL would reject is rejected here, as the error of one client.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from engine.errors import RealtimeError
from engine.values.exact_json import expansion
from server.protocol.error_codes import ErrorCode

__all__ = ["MAX_DEPTH", "InvalidMessageError", "check_payload", "check_storable", "deeper_than"]

MAX_DEPTH: Final = 64
_MAX_EXPANSION: Final = 1 << 20

_EXPONENT: Final = re.compile(rb"[0-9][eE]")

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
    # Almost no message has any of these; looking at each of its values would take longer than decoding it.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH or _EXPONENT.search(data) or b"\\u0000" in data:
        check_storable(value)
    return value


def check_storable(value: object, *, field: str = "data", max_expansion: int = _MAX_EXPANSION) -> None:
    """Raise ``InvalidMessageError`` if ``value`` is nested too deeply, has numbers that become long when PostgreSQL writes
    them out, or has text with NUL in it.

    ``field``: its name in the error. ``max_expansion``: how many digits the numbers may gain (see ``expansion``).
    """
    if deeper_than(value, MAX_DEPTH):
        raise InvalidMessageError(f"{field}: nested more than {MAX_DEPTH} levels deep")
    if (digits := expansion(value)) > max_expansion:
        raise InvalidMessageError(
            f"{field}: its numbers have {digits} digits more when they are written without exponents; "
            f"at most {max_expansion} are allowed"
        )
    if _has_nul(value):
        raise InvalidMessageError(f"{field}: text in PostgreSQL cannot contain the character NUL")


def _has_nul(value: object) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any("\0" in key or _has_nul(item) for key, item in value.items())
        case list():
            return any(map(_has_nul, value))
    return False


def deeper_than(value: object, limit: int) -> bool:
    """True if lists and objects are nested more than ``limit`` deep; without recursion, for it guards against that."""
    level: list[object] = [value]
    for _ in range(limit):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list | tuple):
                below.extend(item)
        if not below:
            return False
        level = below
    return any(isinstance(item, dict | list | tuple) for item in level)
