"""Parameters of a client's SQL: from JSON to the text that Postgres reads as the type it inferred."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.errors import InvalidQueryError
from engine.values.exact_json import write_exact

__all__ = [
    "MAX_PARAMS",
    "MAX_VALUE",
    "ParameterType",
    "check_length",
    "check_params",
    "element_texts",
    "text_of",
]

MAX_PARAMS = 100
MAX_VALUE = 100_000
"""Characters of one value, and of all values of a query together."""
_MAX_DIGITS = 1_000
_NEEDS_QUOTES = re.compile(r'[{}",\\\s]|^null$|^$', re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN_INTS = range(-(2**63) + 1, 2**63)


@dataclass(frozen=True, slots=True)
class ParameterType:
    """What Postgres inferred for a placeholder; ``name`` as it can be written in a cast.

    ``element_oid`` is an array's element type (else 0), ``delimiter`` what separates elements in its text.
    """

    oid: int
    name: str
    element_oid: int
    delimiter: str

    @property
    def is_array(self) -> bool:
        """True if a JSON array is written as an array literal."""
        return self.element_oid != 0


def check_params(params: object, wanted: int) -> list[object]:
    """``params`` if it is a list of ``wanted`` JSON values. Raises ``InvalidQueryError`` if not."""
    if not isinstance(params, list | tuple):
        raise InvalidQueryError(f'"params" must be a list, not {type(params).__name__}')
    if len(params) != wanted:
        raise InvalidQueryError(
            f"the SQL has {wanted} parameter(s) ($1, $2, ...) but {len(params)} value(s) were given"
        )
    if wanted > MAX_PARAMS:
        raise InvalidQueryError(f"the SQL has {wanted} parameters; at most {MAX_PARAMS} are allowed")
    return list(params)


def check_length(texts: Iterable[str | None]) -> None:
    """Raise ``InvalidQueryError`` if the values of a query have more than ``MAX_VALUE`` characters together."""
    total = sum(len(text) for text in texts if text is not None)
    if total > MAX_VALUE:
        raise InvalidQueryError(
            f"the values of the query have {total} characters together; at most {MAX_VALUE} are allowed"
        )


def text_of(value: object, kind: ParameterType, number: int) -> str | None:
    """The text bound for ``value`` as parameter ``$number``; None is SQL NULL.

    Strings go as they are; a JSON array becomes an array literal if the parameter is an array, else JSON text, like objects.
    Raises ``InvalidQueryError`` for text that Postgres cannot store.
    """
    if isinstance(value, list | tuple) and kind.is_array:
        text: str | None = _array(value, kind.delimiter)
    else:
        text = _scalar(value)
    if text is not None:
        _refuse_unstorable(text, number)
    return text


def _refuse_unstorable(text: str, number: int) -> None:
    if len(text) > MAX_VALUE:
        raise InvalidQueryError(
            f"the value of ${number} is {len(text)} characters long; at most {MAX_VALUE} are allowed"
        )
    if "\0" in text:
        raise InvalidQueryError(f"the value of ${number} contains a NUL character")
    if _SURROGATE.search(text):
        raise InvalidQueryError(f"the value of ${number} contains a lone surrogate")


def _scalar(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return _number(value)
    try:
        return write_exact(value).decode()
    except UnicodeEncodeError as error:
        raise InvalidQueryError("a parameter contains a lone surrogate") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidQueryError(f"a parameter cannot be written as JSON: {error}") from error


def _number(value: float | Decimal) -> str:
    """A number with all its digits. JSON has one kind of number: 5.0 is also an integer."""
    if type(value) is int and value in _PLAIN_INTS:  # ten thousand of them may be one array
        return str(value)
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if len(number.as_tuple().digits) > _MAX_DIGITS:
        raise InvalidQueryError(f"a parameter is a number of more than {_MAX_DIGITS} digits")
    if number.is_finite() and abs(number) < 2**63 and number == number.to_integral_value():
        return str(int(number))
    return str(number)


def _array(values: Sequence[object], delimiter: str, depth: int = 0) -> str:
    if depth > 5:  # PostgreSQL's MAXDIM is 6
        raise InvalidQueryError("an array parameter has more than 6 dimensions")
    parts = []
    for value in values:
        if type(value) is int:  # there may be ten thousand: a number has nothing to be quoted
            parts.append(_number(value))
            continue
        if isinstance(value, list | tuple):
            parts.append(_array(value, delimiter, depth + 1))
            continue
        text = _scalar(value)
        if text is None:
            parts.append("NULL")
        elif _NEEDS_QUOTES.search(text) or delimiter in text:
            parts.append('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
        else:
            parts.append(text)
    return "{" + delimiter.join(parts) + "}"


def element_texts(value: object) -> tuple[str, ...] | None:
    """The texts of a flat JSON array without nulls; None for anything else."""
    if not isinstance(value, list | tuple) or any(item is None or isinstance(item, list | tuple) for item in value):
        return None
    return tuple(text for text in map(_scalar, value) if text is not None)
