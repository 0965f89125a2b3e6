"""JSON values of a builder query as PostgreSQL text, with the type the comparison is made in.

Strict: a value of the wrong JSON type is refused here, naming field and value, rather than coerced. Whether a string is a
valid ``uuid`` or ``date`` is for PostgreSQL to say (``engine.query.canonical``).
"""

from __future__ import annotations

import math
import re
from typing import Final

import orjson

from engine.catalog_types import Column, TypeInfo
from engine.errors import InvalidQuery

__all__ = ["NUMERIC", "json_text", "shown", "value_text"]

NUMERIC: Final = "numeric"

_BOOL_OID = 16
_INTEGER_LIMITS = {21: 2**15, 23: 2**31, 20: 2**63}
_DECIMAL_OIDS = frozenset({700, 701, 1700})
_JSON_OIDS = frozenset({114, 3802})
_SPECIAL_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})
_TIME_CATEGORIES = frozenset("DR")  # dates and times, and ranges, which may be of them
_CLOCK_WORD = re.compile(r"\b(now|today|tomorrow|yesterday)\b", re.IGNORECASE)
_MOST_BITS = 4096  # far above every type's range but the widest numerics
_MOST_DEPTH = 64


def value_text(value: object, type_: TypeInfo, column: Column) -> tuple[str, str]:
    """The text of a JSON value and the name of the type to read it as: ``type_``, or ``numeric`` for an integer type.

    Raises ``InvalidQuery`` if the JSON type does not fit.
    """
    base = type_.underlying
    if value is None and base.oid not in _JSON_OIDS:
        raise InvalidQuery(
            f"field {column.field!r} cannot be compared with null, which is never true; use [{column.field!r}, 'is-null']"
        )
    if base.oid in _JSON_OIDS:
        return json_text(value, column), base.name
    if base.oid == _BOOL_OID:
        if not isinstance(value, bool):
            raise _unfit(value, column, "true or false")
        return ("t" if value else "f"), base.name
    if base.oid in _INTEGER_LIMITS:
        return _integer(value, base, column)
    if base.oid in _DECIMAL_OIDS:
        return _decimal(value, column), base.name
    if base.kind == "array" and base.element is not None:
        if not isinstance(value, list):
            raise _unfit(value, column, "an array")
        return _array(value, base.element, column, 0), base.name
    text = _string(value, column)
    if base.category in _TIME_CATEGORIES and _CLOCK_WORD.search(text):
        raise InvalidQuery(f"field {column.field!r}: {shown(value)} depends on when it is read; give the moment itself")
    return text, base.name


def json_text(value: object, column: Column) -> str:
    """Any JSON value as JSON text."""
    try:
        return orjson.dumps(value).decode()
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise InvalidQuery(f"field {column.field!r}: the value is not JSON ({error})") from error


def shown(value: object) -> str:
    """A value for a message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _unfit(value: object, column: Column, wanted: str) -> InvalidQuery:
    return InvalidQuery(
        f"field {column.field!r} ({column.type.name}) is compared with {wanted}, not with {shown(value)}"
    )


def _integer(value: object, base: TypeInfo, column: Column) -> tuple[str, str]:
    """An integer in range; a fraction or a number out of range is compared as ``numeric``, as SQL would."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unfit(value, column, "a number")
    text = _number(value, column)
    limit = _INTEGER_LIMITS[base.oid]
    if value == math.floor(value) and -limit <= value < limit:
        return str(int(value)), base.name
    return text, NUMERIC


def _decimal(value: object, column: Column) -> str:
    if isinstance(value, str) and value in _SPECIAL_NUMBERS:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unfit(value, column, "a number, 'NaN', 'Infinity' or '-Infinity'")
    return _number(value, column)


def _number(value: int | float, column: Column) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _unfit(value, column, "a finite number")
        return repr(value)
    if value.bit_length() > _MOST_BITS:
        raise InvalidQuery(f"field {column.field!r} is compared with a number of {value.bit_length()} bits")
    return str(value)


def _string(value: object, column: Column) -> str:
    if not isinstance(value, str):
        raise _unfit(value, column, "a string")
    if "\0" in value:
        raise InvalidQuery(f"field {column.field!r}: PostgreSQL text cannot hold the character U+0000")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidQuery(f"field {column.field!r}: {shown(value)} is not Unicode text ({error.reason})") from error
    return value


def _array(value: list[object], element: TypeInfo, column: Column, depth: int) -> str:
    if depth > _MOST_DEPTH:
        raise InvalidQuery(f"field {column.field!r}: the array is nested too deep")
    return "{" + element.delimiter.join(_array_item(item, element, column, depth) for item in value) + "}"


def _array_item(item: object, element: TypeInfo, column: Column, depth: int) -> str:
    if item is None:
        return "NULL"
    if isinstance(item, list) and element.underlying.oid not in _JSON_OIDS:
        return _array(item, element, column, depth + 1)
    text, type_name = value_text(item, element, column)
    if type_name == NUMERIC != element.underlying.name:
        raise _unfit(item, column, f"{element.name} elements")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
