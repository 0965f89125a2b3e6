"""Messages as bytes: JSON, or MessagePack (``bunbase[msgpack]``) where it is selected.

Numbers of the application keep their digits: a ``Decimal`` is written as a number, an ``int`` may be of any size.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from decimal import Decimal
from typing import Any, Literal

from bunbase.protocol.expected import is_unicode

__all__ = ["Format", "decode_binary", "decode_text", "encode_binary", "encode_bytes", "encode_text", "expect_json"]

Format = Literal["json", "msgpack"]

_REMEDIES = {
    "datetime": "; give its isoformat()",
    "date": "; give its isoformat()",
    "time": "; give its isoformat()",
    "UUID": "; give its str()",
    "set": "; give a list",
    "frozenset": "; give a list",
}

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1  # the range of MessagePack's integers


def encode_text(message: object) -> str:
    """As JSON. Raises ``TypeError`` or ``ValueError`` with the path of what has none, such as NaN."""
    with suppress(TypeError):
        try:
            return _plain(message)
        except ValueError:
            _refuse("", message, ())
            raise
    try:
        return _with_decimals(message)
    except (TypeError, ValueError, RecursionError):
        _refuse("", message, ())
        raise


def encode_bytes(message: object) -> bytes:
    """As JSON in UTF-8. Raises as ``encode_text`` does, also for half a surrogate pair, which UTF-8 has not."""
    text = encode_text(message)
    try:
        return text.encode()
    except UnicodeEncodeError:
        _refuse("", message, ())
        raise


def expect_json(value: object) -> None:
    """Raises as ``encode_bytes`` does."""
    encode_bytes(value)


def _refuse(path: str, value: object, above: tuple[object, ...]) -> None:
    """Find what has no JSON, and raise with its path."""
    if isinstance(value, dict | list | tuple):
        if any(value is each for each in above):
            raise ValueError(f"{_shown(path)}a JSON value is expected, not one that contains itself") from None
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if not isinstance(key, str | int | float | bool | None):
                raise TypeError(f"{_shown(path)}keys of JSON are strings, not {type(key).__name__}") from None
            _refuse("", key, ())
            _refuse(f"{path}.{key}" if path else str(key), item, (*above, value))
    elif (isinstance(value, Decimal) and not value.is_finite()) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        hint = f"; PostgreSQL takes the string {str(value)!r}" if isinstance(value, Decimal) else ""
        raise ValueError(f"{_shown(path)}a JSON value is expected, not {value}{hint}") from None
    elif isinstance(value, str) and not is_unicode(value):
        raise ValueError(f"{_shown(path)}text of Unicode is expected, not half a surrogate pair") from None
    elif not isinstance(value, str | int | float | bool | Decimal | None):
        remedy = _REMEDIES.get(type(value).__name__, "")
        raise TypeError(f"{_shown(path)}a JSON value is expected, not {type(value).__name__}{remedy}") from None


def _shown(path: str) -> str:
    return f"{path}: " if path else ""


def _plain(message: object) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _with_decimals(value: object) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} has no JSON")
        return str(value)
    if isinstance(value, dict):
        items = [f"{_key(key)}:{_with_decimals(item)}" for key, item in value.items()]
        return "{" + ",".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_with_decimals, value)) + "]"
    return _plain(value)


def _key(key: object) -> str:
    if not isinstance(key, str | int | float | bool | None):
        raise TypeError(f"{type(key).__name__} is no key of JSON")
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
