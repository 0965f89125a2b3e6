"""Predicates over JSON values, in the language of the live queries' builder ``where``, with SQL's three-valued logic.

A field is a path ``a.b.c`` of object keys; a number is also an array's index. A missing value and JSON null are SQL
null: every comparison with it is unknown, and only a predicate that is true lets a message through. Equality is jsonb's
(numbers by value, ``1`` is not ``true``); order is between values of one scalar type, strings bytewise, and unknown
between different types.

What a condition has to know of a value is the :class:`~engine.channels.core.filters.document.Document`'s, which the
conditions share.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from engine.channels.core.filters.document import Document, Path, Value, canonical_key, kind_of, shape_of
from engine.errors import InvalidQueryError
from engine.query.ir.like import MAX_PATTERN, Like, pattern_problem
from engine.values.exact_json import canonical_number

__all__ = ["Test", "Truth", "UnreadableFilterError", "compile_filter", "read_json"]

Truth = bool | None
Test = Callable[[Document], Truth]
ValueTest = Callable[[Value], Truth]

_MOST_DEPTH: Final = 32
_MOST_CONDITIONS: Final = 100
_MOST_VALUES: Final = 1000
_MOST_PATH: Final = 16
_MOST_NESTED: Final = 128  # levels of JSON in a filter

_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPERATORS: Final = (
    "==", "!=", *_ORDER, "in", "not-in", "array-contains", "array-contains-any", "like", "ilike", "is-null", "is-not-null",
)  # fmt: skip

_read: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(float_hook=canonical_number).decode


class UnreadableFilterError(InvalidQueryError):
    """JSON that PostgreSQL keeps and Python cannot read: it is nested too deeply."""


def read_json(text: bytes) -> Any:
    """JSON as PostgreSQL prints it, with exact numbers in their canonical form, as a ``Document`` wants them.

    Whoever may write to a table decides what is in it, so nothing but ``UnreadableFilterError`` may come of what jsonb
    can hold: numbers of 131,072 digits and any nesting.
    """
    try:
        return _read(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        try:  # integers of more digits than int() takes (sys.get_int_max_str_digits); Decimal takes them
            return json.loads(text, parse_int=canonical_number, parse_float=canonical_number)
        except ValueError as wrong:
            raise UnreadableFilterError(f"not JSON: {wrong}") from wrong
        except RecursionError:
            raise UnreadableFilterError("JSON nested too deeply to be read") from None
    except RecursionError:
        raise UnreadableFilterError("JSON nested too deeply to be read") from None


def compile_filter(where: object) -> Test:
    """A test over documents. ``where`` is a list of conditions, all of which must hold.

    Raises ``InvalidQueryError``, naming what is wrong.
    """
    if not isinstance(where, Sequence) or isinstance(where, str | bytes):
        raise InvalidQueryError(f"'where' is a list of conditions, not {_shown(where)}")
    if _deeper_than(where, _MOST_NESTED):
        raise InvalidQueryError(f"'where' is nested more than {_MOST_NESTED} levels deep")
    parser = _Parser()
    return _all([parser.condition(item, 1) for item in where])


class _Parser:
    """Counts conditions and values of one filter."""

    def __init__(self) -> None:
        self._conditions = 0
        self._values = 0
        self._pattern_room = MAX_PATTERN

    def condition(self, spec: object, depth: int) -> Test:
        if depth > _MOST_DEPTH:
            raise InvalidQueryError(f"conditions are nested more than {_MOST_DEPTH} deep")
        if isinstance(spec, Mapping):
            return self._group(spec, depth)
        self._conditions += 1
        if self._conditions > _MOST_CONDITIONS:
            raise InvalidQueryError(f"a filter has at most {_MOST_CONDITIONS} conditions")
        if not isinstance(spec, Sequence) or isinstance(spec, str | bytes) or not 2 <= len(spec) <= 3:
            raise InvalidQueryError(f"a condition is ['field', 'operator', value], not {_shown(spec)}")
        path, word = _path(spec[0]), spec[1]
        if word in ("is-null", "is-not-null"):
            if len(spec) == 3:
                raise InvalidQueryError(f"field {spec[0]!r}: {word!r} takes no value")
            wanted = word == "is-null"
            return lambda document: (document.at(path) is None) is wanted
        if not isinstance(word, str) or word not in OPERATORS:
            raise InvalidQueryError(f"field {spec[0]!r}: no operator {_shown(word)}; there are {', '.join(OPERATORS)}")
        if len(spec) == 2:
            raise InvalidQueryError(f"field {spec[0]!r}: {word!r} needs a value")
        return _on_value(path, self._comparison(str(spec[0]), word, spec[2]))

    def _group(self, spec: Mapping[str, object], depth: int) -> Test:
        if len(spec) != 1 or not spec.keys() <= {"and", "or", "not"}:
            raise InvalidQueryError(
                f"a group of conditions is {{'and': [...]}}, {{'or': [...]}} or {{'not': ...}}, not {_shown(spec)}"
            )
        ((word, inner),) = spec.items()
        if word == "not":
            return _not(self.condition(inner, depth + 1))
        if not isinstance(inner, Sequence) or not inner or isinstance(inner, str) or isinstance(inner[0], str):
            raise InvalidQueryError(f"{word!r} is a list of one or more conditions, not {_shown(inner)}")
        items = [self.condition(item, depth + 1) for item in inner]
        return _all(items) if word == "and" else _any(items)

    def _comparison(self, field: str, word: str, value: object) -> ValueTest:
        if word in ("in", "not-in", "array-contains-any"):
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise InvalidQueryError(f"field {field!r}: {word!r} takes a list of values, not {_shown(value)}")
            values = [self._literal(field, item) for item in value]
            if word == "array-contains-any":
                return _contains(values)
            return _among(values, wanted=word == "in")
        literal = self._literal(field, value)
        if word in ("==", "!="):
            return _among([literal], wanted=word == "==")
        if word == "array-contains":
            return _contains([literal])
        if word in _ORDER:
            return _ordered(field, word, literal)
        return self._like(field, word, literal)

    def _like(self, field: str, word: str, literal: Any) -> ValueTest:
        if not isinstance(literal, str):
            raise InvalidQueryError(f"field {field!r}: {word!r} takes a pattern, not {_shown(literal)}")
        if problem := pattern_problem(literal, self._pattern_room):
            raise InvalidQueryError(f"field {field!r}: {_shown(literal)}: {problem}")
        self._pattern_room -= len(literal)
        return _like(Like(literal, ignore_case=word == "ilike"))

    def _literal(self, field: str, value: object) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise InvalidQueryError(f"a filter has at most {_MOST_VALUES} values")
        if value is None:
            raise InvalidQueryError(
                f"field {field!r} cannot be compared with null, which is never true; use [{field!r}, 'is-null']"
            )
        return _canonical(field, value)


def _deeper_than(value: object, limit: int) -> bool:
    """Without recursion, for it guards against that."""
    level: list[object] = [value]
    for _ in range(limit):
        level = [
            below
            for item in level
            if isinstance(item, Mapping | list | tuple)
            for below in (item.values() if isinstance(item, Mapping) else item)
        ]
        if not level:
            return False
    return True


def _path(field: object) -> Path:
    if not isinstance(field, str) or not field:
        raise InvalidQueryError(f"a field is a path like 'a.b', not {_shown(field)}")
    path = tuple(field.split("."))
    if len(path) > _MOST_PATH or not all(path):
        raise InvalidQueryError(f"field {_shown(field)}: a path has 1 to {_MOST_PATH} names with a dot between them")
    return path


def _on_value(path: Path, test: ValueTest) -> Test:
    def on_value(document: Document) -> Truth:
        value = document.at(path)
        return None if value is None else test(value)

    return on_value


def _among(values: list[Any], *, wanted: bool) -> ValueTest:
    """Whether the value is (not) equal to one of ``values``. What has another shape than all of them is not looked at."""
    shapes = frozenset(map(shape_of, values))
    keys = frozenset(map(canonical_key, values)) - {None}
    return lambda value: (value.shape in shapes and value.key in keys) is wanted


def _contains(values: list[Any]) -> ValueTest:
    keys = frozenset(map(canonical_key, values)) - {None}
    return lambda value: not keys.isdisjoint(value.elements) if value.kind == "array" else None


def _like(like: Like) -> ValueTest:
    def matches(value: Value) -> Truth:
        if value.kind != "string":
            return None
        text = value.text(ignore_case=like.ignore_case)
        before = text.steps
        truth = like.matches(text)
        value.spend(text.steps - before)
        return truth

    return matches


def _ordered(field: str, word: str, literal: Any) -> ValueTest:
    kind, holds = kind_of(literal), _ORDER[word]
    if kind in ("array", "object"):
        raise InvalidQueryError(
            f"field {field!r}: {word!r} compares with a number, a string or a boolean, not {_shown(literal)}"
        )
    return lambda value: holds(value.found, literal) if value.kind == kind else None  # code points sort as UTF-8 does


def _canonical(field: str, value: Any) -> Any:
    """A literal with exact numbers; ``0.1`` is what was written, not the binary fraction next to it."""
    if isinstance(value, float | Decimal):
        number = canonical_number(repr(value) if isinstance(value, float) else str(value))
        if isinstance(number, Decimal) and not number.is_finite():
            raise InvalidQueryError(f"field {field!r}: {value} is not a number of JSON")
        return number
    if isinstance(value, list | tuple):
        return [_canonical(field, item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _canonical(field, item) for key, item in value.items()}
    return value


def _not(test: Test) -> Test:
    def negated(document: Document) -> Truth:
        truth = test(document)
        return None if truth is None else not truth

    return negated


def _all(tests: list[Test]) -> Test:
    return _decided_by(False, tests)


def _any(tests: list[Test]) -> Test:
    return _decided_by(True, tests)


def _decided_by(decisive: bool, tests: list[Test]) -> Test:
    """The first test that says ``decisive`` decides; else one that does not know leaves the whole not known."""

    def together(document: Document) -> Truth:
        truth: Truth = not decisive
        for test in tests:
            part = test(document)
            if part is decisive:
                return decisive
            if part is None:
                truth = None
        return truth

    return together


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
