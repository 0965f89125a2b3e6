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
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from engine.channels.core.filters.document import Document, Path, Value, canonical_key, kind_of, shape_of
from engine.errors import InvalidQueryError
from engine.query.ir.conditions import LISTED, ConditionParser
from engine.query.ir.like import Like
from engine.values.exact_json import canonical_number, shown
from engine.values.levels import deeper_than

__all__ = ["Test", "Truth", "UnreadableFilterError", "compile_filter", "path_of", "read_json"]

Truth = bool | None
Test = Callable[[Document], Truth]
ValueTest = Callable[[Value], Truth]

_MAX_PATH: Final = 16
_MAX_NESTING: Final = 128  # levels of JSON in a filter

_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_read: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(float_hook=canonical_number).decode


class UnreadableFilterError(InvalidQueryError):
    """JSON that cannot be read: PostgreSQL keeps it, but it is nested too deeply, or it is none that jsonb can hold."""


def read_json(text: bytes) -> Any:
    """JSON as PostgreSQL prints it, with exact numbers in their canonical form, as a ``Document`` wants them.

    Any writer to a table decides what is in it, so nothing but ``UnreadableFilterError`` may come of what jsonb
    can hold: numbers of 131,072 digits and any nesting.
    """
    try:
        return _read(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        try:  # integers of more digits than int() takes (sys.get_int_max_str_digits); Decimal takes them
            return json.loads(text, parse_int=canonical_number, parse_float=canonical_number)
        except ValueError as wrong:
            raise UnreadableFilterError(f"not JSON: {wrong}") from wrong
        except ArithmeticError as wrong:
            raise UnreadableFilterError("JSON with a number that jsonb cannot hold") from wrong
        except RecursionError:
            raise UnreadableFilterError("JSON nested too deeply to be read") from None
    except ArithmeticError as wrong:
        raise UnreadableFilterError("JSON with a number that jsonb cannot hold") from wrong
    except RecursionError:
        raise UnreadableFilterError("JSON nested too deeply to be read") from None


def compile_filter(where: object) -> Test:
    """A test over documents. ``where`` is a list of conditions, all of which must hold.

    Raises ``InvalidQueryError``, naming what is wrong.
    """
    if deeper_than(where, _MAX_NESTING):
        raise InvalidQueryError(f"'where' is nested more than {_MAX_NESTING} levels deep")
    return _all(_FilterParser().conditions(where))


class _FilterParser(ConditionParser[Path, Test]):
    noun = "a filter"

    def field(self, name: object) -> Path:
        return path_of(name)

    def null_test(self, field: Path, *, wanted: bool) -> Test:
        return lambda document: (document.at(field) is None) is wanted

    def comparison(self, field: Path, operator: str, value: object) -> Test:
        return _on_value(field, self._of_value(".".join(field), operator, value))

    def negated(self, condition: Test) -> Test:
        return _not(condition)

    def all_of(self, conditions: list[Test]) -> Test:
        return _all(conditions)

    def any_of(self, conditions: list[Test]) -> Test:
        return _any(conditions)

    def _of_value(self, name: str, operator: str, value: object) -> ValueTest:
        if operator in LISTED:
            values = [_literal(name, item) for item in self.listed(name, operator, value)]
            return _contains(values) if operator == "array-contains-any" else _among(values, wanted=operator == "in")
        self.count(1)
        literal = _literal(name, value)
        if operator in ("==", "!="):
            return _among([literal], wanted=operator == "==")
        if operator == "array-contains":
            return _contains([literal])
        if operator in _ORDER:
            return _ordered(name, operator, literal)
        if not isinstance(literal, str):
            raise InvalidQueryError(f"field {name!r}: {operator!r} takes a pattern, not {shown(literal)}")
        return _like(Like(self.pattern(name, literal), ignore_case=operator == "ilike"))


def _literal(field: str, value: object) -> Any:
    if value is None:
        raise InvalidQueryError(
            f"field {field!r} cannot be compared with null, which is never true; use [{field!r}, 'is-null']"
        )
    return _canonical(field, value)


def path_of(field: object) -> Path:
    """The path that ``field`` names. Raises ``InvalidQueryError``."""
    if not isinstance(field, str) or not field:
        raise InvalidQueryError(f"a field is a path like 'a.b', not {shown(field)}")
    path = tuple(field.split("."))
    if len(path) > _MAX_PATH or not all(path):
        raise InvalidQueryError(f"field {shown(field)}: a path has 1 to {_MAX_PATH} names with a dot between them")
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
            f"field {field!r}: {word!r} compares with a number, a string or a boolean, not {shown(literal)}"
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
    """The first test that returns ``decisive`` decides; else one that does not know leaves the whole not known."""

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
