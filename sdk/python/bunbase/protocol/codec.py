"""Messages as bytes: JSON, or MessagePack (``bunbase[msgpack]``) where it is selected.

Numbers of the application keep their digits: a ``Decimal`` is written as a number, an ``int`` may be of any size.
"""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from typing import Any, Literal

__all__ = ["Format", "decode_binary", "decode_text", "encode_binary", "encode_text", "expect_json"]

Format = Literal["json", "msgpack"]

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1  # the range of MessagePack's integers


def encode_text(message: object) -> str:
    """As JSON. Raises ``TypeError`` or ``ValueError`` if it has none (NaN has none)."""
    with suppress(TypeError):
        return _plain(message)
    return _with_decimals(message)


def expect_json(what: str, value: object) -> None:
    """Raises ``TypeError`` or ``ValueError`` with ``what`` it is, if it has no JSON."""
    try:
        encode_text(value)
    except TypeError as wrong:
        raise TypeError(f"{what}: {wrong}") from None
    except ValueError as wrong:
        raise ValueError(f"{what}: {wrong}") from None


def _plain(message: object) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _with_decimals(value: object) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} has no JSON; PostgreSQL takes the string {str(value)!r}")
        return str(value)
    if isinstance(value, dict):
        items = [f"{_key(key)}:{_with_decimals(item)}" for key, item in value.items()]
        return "{" + ",".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_with_decimals, value)) + "]"
    return _plain(value)


def _key(key: object) -> str:
    return _plain(key if isinstance(key, str) else _plain(key))


def decode_text(text: str | bytes) -> Any:
    """From JSON; an integer of more digits than ``int`` reads (``sys.get_int_max_str_digits()``) is a ``Decimal``.

    Raises ``ValueError``.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:
        return json.loads(text, parse_int=_integer)
    except RecursionError as wrong:
        raise ValueError("it is nested too deeply for Python's json") from wrong


def _integer(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


def encode_binary(message: object) -> bytes | str:
    """As MessagePack; as JSON text, which the server understands as well, if it has a number that MessagePack has not."""
    import msgspec

    return encode_text(message) if _beyond_binary(message) else msgspec.msgpack.encode(message)


def _beyond_binary(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_beyond_binary, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_beyond_binary, value))
    return isinstance(value, Decimal) or (isinstance(value, int) and not _SMALLEST <= value <= _LARGEST)


def decode_binary(data: bytes) -> Any:
    """From MessagePack. Raises ``ValueError``."""
    import msgspec

    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise ValueError(f"not MessagePack: {wrong}") from wrong
