"""JSON values of a builder query as PostgreSQL text, with the type the comparison is made in.

Strict: a value of the wrong JSON type is rejected, naming field and value, and never coerced. PostgreSQL decides whether a
string is a valid ``uuid`` or ``date`` (``engine.query.literals``). Numbers keep every digit; clients without exact decimals
may send a string with the same digits.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

from engine.errors import InvalidQueryError
from engine.postgres.oids import JSON_OIDS
from engine.values.exact_json import exact_number, shown, write_exact
from engine.values.pg_types import Column, TypeInfo
from engine.values.special_times import is_special_time

__all__ = ["json_text", "string_text", "value_text"]

NUMERIC: Final = "numeric"

_DOUBLE: Final = "double precision"

_BOOL_OID = 16
_OID_OID = 26
_INTEGER_LIMITS = {21: 2**15, 23: 2**31, 20: 2**63}
_FLOAT4_OID = 700
_FLOAT4_INFINITY = (
    2**25 - 1
) * 2**103  # half way from the largest real to the next power of two: it rounds to infinity
_FLOAT4_ZERO = Decimal(math.ldexp(1.0, -150))  # half of the smallest real: it rounds to zero
_DECIMAL_OIDS = frozenset({_FLOAT4_OID, 701, 1700})
_SPECIAL_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})
_TIME_CATEGORIES = frozenset("DR")  # dates and times, and ranges, which may be of them
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")  # RFC 8259, section 6
_MAX_DIGITS = 20_000  # written out; numeric can have 16,383 behind the point
_MAX_DEPTH = 64


def value_text(value: object, type_: TypeInfo, column: Column) -> tuple[str, str]:
    """The text of a JSON value and the name of the type to read it as: ``type_``, or a wider one for a number outside it.

    A fraction is compared with an integer as ``numeric``, and so is a number that is too large, as SQL does; one beyond
    ``real`` is compared with one as ``double precision``.

    Raises ``InvalidQueryError`` if the JSON type does not fit.
    """
    base = type_.compared
    if value is None and base.oid not in JSON_OIDS:
        raise InvalidQueryError(
            f"field {column.field!r} cannot be compared with null, which is never true; use [{column.field!r}, 'is-null']"
        )
    if base.oid in JSON_OIDS:
        return json_text(value, column), base.name
    if base.oid == _BOOL_OID:
        return _boolean(value, column), base.name
    if base.oid in _INTEGER_LIMITS:
        return _integer(value, base, column)
    if base.oid in _DECIMAL_OIDS:
        return _decimal(value, base, column)
    if base.kind == "array" and base.element is not None:
        if not isinstance(value, list):
            raise _unfit(value, column, "an array")
        return _array(value, base.element, column, 0), base.name
    if base.oid == _OID_OID and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32:
        return str(value), base.name
    text = string_text(value, column)
    if base.category in _TIME_CATEGORIES and is_special_time(text):
        raise InvalidQueryError(
            f"field {column.field!r}: {shown(value)} depends on when it is read; give the moment itself"
        )
    return text, base.name


def json_text(value: object, column: Column) -> str:
    """Any JSON value as JSON text."""
    try:
        return write_exact(value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidQueryError(f"field {column.field!r}: the value is not JSON ({error})") from error


def _boolean(value: object, column: Column) -> str:
    if not isinstance(value, bool):
        raise _unfit(value, column, "true or false")
    return "t" if value else "f"


def _unfit(value: object, column: Column, wanted: str) -> InvalidQueryError:
    return InvalidQueryError(
        f"field {column.field!r} ({column.type.name}) is compared with {wanted}, not with {shown(value)}"
    )


def _integer(value: object, base: TypeInfo, column: Column) -> tuple[str, str]:
    """An integer in range; a fraction or a number out of range is compared as ``numeric``, as SQL would."""
    number = _number(value, column, "a number")
    limit = _INTEGER_LIMITS[base.oid]
    if -limit <= number < limit and (isinstance(number, int) or number == number.to_integral_value()):
        return str(int(number)), base.name
    return str(number), NUMERIC


def _decimal(value: object, base: TypeInfo, column: Column) -> tuple[str, str]:
    if isinstance(value, str) and value in _SPECIAL_NUMBERS:
        return value, base.name
    number = _number(value, column, "a number, 'NaN', 'Infinity' or '-Infinity'")
    return str(number), _DOUBLE if base.oid == _FLOAT4_OID and not _fits_float4(number) else base.name


def _fits_float4(number: int | Decimal) -> bool:
    """Whether float4in takes the number: it rounds neither to infinity nor to zero. (A double would be rounded twice.)"""
    size = abs(number) if isinstance(number, int) else number.copy_abs()  # abs() rounds a Decimal
    return size == 0 or _FLOAT4_ZERO < size < _FLOAT4_INFINITY


def _number(value: object, column: Column, wanted: str) -> int | Decimal:
    """The number that a JSON number is, or a string that writes one as JSON does. Raises ``InvalidQueryError``."""
    if isinstance(value, str) and len(value) <= _MAX_DIGITS and _NUMBER.fullmatch(value):
        try:
            value = exact_number(value)
        except ValueError as wrong:
            raise InvalidQueryError(f"field {column.field!r}: {wrong}") from wrong
    elif isinstance(value, float) and math.isfinite(value):
        value = Decimal(repr(value))
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _unfit(value, column, wanted)
    if isinstance(value, int) and value.bit_length() < 64:
        return value
    number = Decimal(value)  # str() refuses integers of thousands of digits
    digits = len(number.as_tuple().digits) + abs(number.adjusted())
    if digits > _MAX_DIGITS:
        raise InvalidQueryError(f"field {column.field!r} is compared with a number of {digits} digits ({shown(value)})")
    return number


def string_text(value: object, column: Column) -> str:
    """A JSON string as it is. Raises ``InvalidQueryError`` if it is none, or not one that PostgreSQL can hold."""
    if not isinstance(value, str):
        raise _unfit(value, column, "a string")
    if "\0" in value:
        raise InvalidQueryError(f"field {column.field!r}: PostgreSQL text cannot hold the character U+0000")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidQueryError(
            f"field {column.field!r}: {shown(value)} is not Unicode text ({error.reason})"
        ) from error
    return value


def _array(value: list[object], element: TypeInfo, column: Column, depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise InvalidQueryError(f"field {column.field!r}: the array is nested too deep")
    return "{" + element.delimiter.join(_array_item(item, element, column, depth) for item in value) + "}"


def _array_item(item: object, element: TypeInfo, column: Column, depth: int) -> str:
    if item is None:
        return "NULL"
    if isinstance(item, list) and element.underlying.oid not in JSON_OIDS:
        return _array(item, element, column, depth + 1)
    text, type_name = value_text(item, element, column)
    if type_name != element.underlying.name:
        raise _unfit(item, column, f"{element.name} elements")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
