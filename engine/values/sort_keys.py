"""Keys whose plain Python order is PostgreSQL's btree order, made from the text of a value.

Where the text itself sorts rightly (``uuid``, ``bytea`` in hex, bytewise text, everyday timestamps) it *is* the key, so
a key costs nothing. A descending order is not a wrapper with reversed comparison but another key: negated numbers,
inverted bytes; so tuples of keys are always compared in C.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from engine.lsn import parse_lsn
from engine.values.labels import Labels

__all__ = ["HIGHEST", "LOWEST", "Key", "descending_bytes", "same"]

Key = Callable[[bytes], Any]


class _Extreme:
    """Sorts above (or below) every other value and is equal only to itself: NaN, which PostgreSQL calls highest."""

    __slots__ = ("_above", "_name")

    def __init__(self, name: str, *, above: bool) -> None:
        self._name = name
        self._above = above

    def __lt__(self, other: object) -> bool:
        return not self._above and other is not self

    def __gt__(self, other: object) -> bool:
        return self._above and other is not self

    def __le__(self, other: object) -> bool:
        return not self._above or other is self

    def __ge__(self, other: object) -> bool:
        return self._above or other is self

    def __repr__(self) -> str:
        return self._name


HIGHEST: Final = _Extreme("HIGHEST", above=True)
LOWEST: Final = _Extreme("LOWEST", above=False)

_INVERT = bytes(255 - byte for byte in range(256))


def same(value: bytes) -> bytes:
    """The text as it is."""
    return value


def descending_bytes(value: bytes) -> bytes:
    """A key that sorts backwards. PostgreSQL's text has no zero byte, so nothing inverts to the terminator."""
    return value.translate(_INVERT) + b"\xff"


def descending_int(value: bytes) -> int:
    """A negated integer."""
    return -int(value)


ascending_bool: Key = {b"f": 0, b"t": 1}.__getitem__
descending_bool: Key = {b"f": 1, b"t": 0}.__getitem__


def ascending_float(value: bytes) -> Any:
    """Shortest-exact output of float4 and float8 keeps their order as a Python float; -0 equals 0."""
    number = float(value)
    return number if number == number else HIGHEST


def descending_float(value: bytes) -> Any:
    """A negated float."""
    number = float(value)
    return -number if number == number else LOWEST


def ascending_numeric(value: bytes) -> Any:
    """By value, however many digits: comparison of ``Decimal`` is exact and knows no context."""
    return HIGHEST if value == b"NaN" else Decimal(value.decode())


def descending_numeric(value: bytes) -> Any:
    """Negated without rounding to the context's precision."""
    return LOWEST if value == b"NaN" else Decimal(value.decode()).copy_negate()


def ascending_bpchar(value: bytes) -> bytes:
    """``char(n)`` ignores trailing blanks."""
    return value.rstrip(b" ")


def descending_bpchar(value: bytes) -> bytes:
    """As :func:`ascending_bpchar`, backwards."""
    return descending_bytes(value.rstrip(b" "))


def ascending_moment(value: bytes) -> bytes:
    """Date or timestamp. ISO text sorts rightly for the years 1 to 9999; the rest gets a prefix that puts it in place.

    ``-infinity`` < ``.`` (before Christ, years counted down) < digits < ``:`` (year 10000 and later) < ``infinity``:
    that is the order of their first bytes. A missing fraction sorts before a present one, ``+00`` before ``.5+00``.
    """
    if value[4] == 45 and value[-1] != 67:  # "-" after four digits of year, and not "... BC"
        return value
    if value.endswith(b"infinity"):
        return value
    year, rest = value.split(b"-", 1)
    if rest.endswith(b"BC"):
        return b".%07d-%b" % (9_999_999 - int(year), rest)
    return b":%07d-%b" % (int(year), rest)


def descending_moment(value: bytes) -> bytes:
    """As :func:`ascending_moment`, backwards."""
    return ascending_moment(value).translate(_INVERT) + b"\xff"


_TIMETZ = re.compile(rb"(\d+):(\d+):(\d+)(?:\.(\d+))?([+-])(\d+)(?::(\d+))?(?::(\d+))?")


def ascending_timetz(value: bytes) -> tuple[int, int]:
    """By the moment in UTC, then by zone from east to west (timetz_cmp_internal in date.c)."""
    match = _TIMETZ.fullmatch(value)
    if match is None:
        raise ValueError(f"not a time with time zone: {value!r}")
    hours, minutes, seconds, fraction, sign, *zone = match.groups()
    east = sum(int(part or 0) * unit for part, unit in zip(zone, (3600, 60, 1), strict=True))
    if sign == b"-":
        east = -east
    local = (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 1_000_000 + _micros(fraction)
    return local - east * 1_000_000, -east


def descending_timetz(value: bytes) -> tuple[int, int]:
    """As :func:`ascending_timetz`, backwards."""
    utc, west = ascending_timetz(value)
    return -utc, -west


_INTERVAL = re.compile(
    rb"(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mons? ?)?(?:([+-]?\d+) days? ?)?"
    rb"(?:([+-]?)(\d+):(\d+):(\d+)(?:\.(\d+))?)?"
)
_DAY = 86_400_000_000


def ascending_interval(value: bytes) -> int:
    """Microseconds, a month having 30 days and a day 24 hours (interval_cmp_value in timestamp.c)."""
    if value.endswith(b"infinity"):  # since 17; all three parts at their limit
        low = value[0] == 45
        months, days, micros = (-(2**31), -(2**31), -(2**63)) if low else (2**31 - 1, 2**31 - 1, 2**63 - 1)
        return (months * 30 + days) * _DAY + micros
    match = _INTERVAL.fullmatch(value)
    if match is None or not value:
        raise ValueError(f"not an interval: {value!r}")
    years, months_, days_, sign, hours, minutes, seconds, fraction = match.groups()
    time = (int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)) * 1_000_000 + _micros(fraction)
    whole_days = (int(years or 0) * 12 + int(months_ or 0)) * 30 + int(days_ or 0)
    return whole_days * _DAY + (-time if sign == b"-" else time)


def descending_interval(value: bytes) -> int:
    """Negated microseconds."""
    return -ascending_interval(value)


def _micros(fraction: bytes | None) -> int:
    return int(fraction.ljust(6, b"0")) if fraction else 0


def ascending_char(value: bytes) -> int:
    """The one-byte type ``"char"``: an unsigned byte; empty is zero, the upper half prints as ``\\ooo``."""
    return int(value[1:], 8) if len(value) == 4 else value[0] if value else 0


def descending_char(value: bytes) -> int:
    """As :func:`ascending_char`, backwards."""
    return -ascending_char(value)


def ascending_lsn(value: bytes) -> int:
    """``pg_lsn`` by its number, not its text."""
    return parse_lsn(value.decode())


def descending_lsn(value: bytes) -> int:
    """As :func:`ascending_lsn`, backwards."""
    return -parse_lsn(value.decode())


def enum_keys(labels: tuple[str, ...]) -> tuple[Key, Key]:
    """Ascending and descending key of an enum: the position of the label as declared.

    The keys raise ``UnknownLabelError`` for any other.
    """
    places = Labels({label.encode(): place for place, label in enumerate(labels)})
    return places.__getitem__, Labels({label: -place for label, place in places.items()}).__getitem__
