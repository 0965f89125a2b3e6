"""JSON whose numbers keep all their digits, which a double would not: fractions and exponents are read as ``Decimal``.

What is read here is written again with the same digits, so a number reaches PostgreSQL as the client wrote it.
"""

from __future__ import annotations

import sys
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import msgspec

from engine.values.levels import Level

__all__ = ["canonical_number", "exact_decoder", "exact_number", "expansion", "shown", "write_exact"]

# Beyond what numeric holds: 131,072 digits before the point and 16,383 behind it (docs: "Numeric Types").
_LARGEST_EXPONENT: Final = 150_000
_LONGEST_SHOWN: Final = 80
_LONGEST_FLOAT: Final = 310  # characters of the largest and the smallest double, written out

_EXACT: Final = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)
_LONGEST_INT: Final = sys.int_info.default_max_str_digits

_T = TypeVar("_T")
_write = msgspec.json.Encoder(decimal_format="number").encode
_write_sorted = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


def exact_number(text: str) -> Decimal:
    """The number that ``text`` writes. Raises ``ValueError`` for one that PostgreSQL's ``numeric`` is far from holding."""
    try:
        number = Decimal(text)
    except InvalidOperation as wrong:
        raise ValueError(f"{text[:_LONGEST_SHOWN]} is not a number that can be kept") from wrong
    if number and abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError(f"the number {text[:_LONGEST_SHOWN]} is beyond what PostgreSQL's numeric holds")
    return number


def canonical_number(text: str) -> int | Decimal:
    """The number ``text`` writes, in one form for equal numbers: ``1``, ``1.0`` and ``10e-1`` are the same ``int``.

    Raises ``decimal.InvalidOperation`` if it is none.
    """
    if "." in text and "e" not in text and "E" not in text and len(text) <= _LONGEST_INT:  # as PostgreSQL writes them
        if text[-1] == "0":
            text = text.rstrip("0")
            if text[-1] == ".":
                return int(text[:-1])
        return Decimal(text)
    number = _EXACT.normalize(Decimal(text))
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0 and number.adjusted() < _LONGEST_INT:
        return int(number)
    return number


def exact_decoder(type_: type[_T] | Any) -> msgspec.json.Decoder[_T]:
    """A decoder that reads numbers with a fraction or an exponent as ``Decimal`` wherever ``type_`` takes anything."""
    return msgspec.json.Decoder(type_, float_hook=exact_number)


def write_exact(value: object, *, in_order: bool = False) -> bytes:
    """``value`` as JSON, a ``Decimal`` as a number with its digits; ``in_order``: the same bytes for equal objects.

    Raises ``TypeError`` for what JSON does not have, ``UnicodeEncodeError`` for text with a lone surrogate, and
    ``RecursionError``.
    """
    return _write_sorted(value) if in_order else _write(value)


def expansion(level: Level) -> int:
    """How many characters the numbers of a level take that stand for their exponents, when PostgreSQL writes them out:
    ``1e131000`` is a number of 131,001 digits there. About, and never too few.
    """
    floats = [number for number in level.of(float) if not (1e-4 <= number < 1e16 or -1e16 < number <= -1e-4)]
    return len(floats) * _LONGEST_FLOAT + sum(map(_expansion, level.of(Decimal)))


def _expansion(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), number  # a number of JSON is finite
    return exponent if exponent > 0 else max(-number.adjusted(), 0)


class _Verbatim(str):
    """Text that shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def shown(value: object) -> str:
    """A value for a message, cut to a readable length; numbers as they are written in JSON."""
    text = repr(_readable(value))
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


def _readable(value: object) -> object:
    if isinstance(value, Decimal):
        return _Verbatim(value)
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    return value
