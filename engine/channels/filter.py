"""Predicates over JSON values, in the language of the live queries' builder ``where``, with SQL's three-valued logic.

A field is a path ``a.b.c`` of object keys; a number is also an array's index. A missing value and JSON null are SQL
null: every comparison with it is unknown, and only a predicate that is true lets a message through. Equality is jsonb's
(numbers by value, ``1`` is not ``true``); order is between values of one scalar type, strings bytewise, and unknown
between different types.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from engine.errors import InvalidQuery
from engine.query.like import MAX_PATTERN, like_test, pattern_problem

__all__ = ["Truth", "Unreadable", "compile_filter", "read_json"]

Truth = bool | None
Test = Callable[[Any], Truth]

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

_read: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(float_hook=Decimal).decode


class Unreadable(InvalidQuery):
    """JSON that PostgreSQL keeps and Python cannot read: it is nested too deeply."""


def read_json(text: bytes) -> Any:
    """JSON as PostgreSQL prints it, with exact numbers, as ``compile_filter`` wants its values.

    Whoever may write to a table decides what is in it, so nothing but ``Unreadable`` may come of what jsonb can hold:
    numbers of 131,072 digits and any nesting.
    """
    try:
        return _read(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        try:  # integers of more digits than int() takes (sys.get_int_max_str_digits); Decimal takes them
            return json.loads(text, parse_int=Decimal, parse_float=Decimal)
        except ValueError as wrong:
            raise Unreadable(f"not JSON: {wrong}") from wrong
        except RecursionError:
            raise Unreadable("JSON nested too deeply to be read") from None
    except RecursionError:
        raise Unreadable("JSON nested too deeply to be read") from None


def compile_filter(where: object) -> Test:
    """A test over JSON values as :func:`read_json` gives them. ``where`` is a list of conditions, all of which must hold.

    Raises ``InvalidQuery``, naming what is wrong.
    """
    if not isinstance(where, Sequence) or isinstance(where, str | bytes):
        raise InvalidQuery(f"'where' is a list of conditions, not {_shown(where)}")
    if _deeper_than(where, _MOST_NESTED):
        raise InvalidQuery(f"'where' is nested more than {_MOST_NESTED} levels deep")
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
            raise InvalidQuery(f"conditions are nested more than {_MOST_DEPTH} deep")
        if isinstance(spec, Mapping):
            return self._group(spec, depth)
        self._conditions += 1
        if self._conditions > _MOST_CONDITIONS:
            raise InvalidQuery(f"a filter has at most {_MOST_CONDITIONS} conditions")
        if not isinstance(spec, Sequence) or isinstance(spec, str | bytes) or not 2 <= len(spec) <= 3:
            raise InvalidQuery(f"a condition is ['field', 'operator', value], not {_shown(spec)}")
        path, word = _path(spec[0]), spec[1]
        if word in ("is-null", "is-not-null"):
            if len(spec) == 3:
                raise InvalidQuery(f"field {spec[0]!r}: {word!r} takes no value")
            wanted = word == "is-null"
            return lambda data: (_at(data, path) is None) is wanted
        if not isinstance(word, str) or word not in OPERATORS:
            raise InvalidQuery(f"field {spec[0]!r}: no operator {_shown(word)}; there are {', '.join(OPERATORS)}")
        if len(spec) == 2:
            raise InvalidQuery(f"field {spec[0]!r}: {word!r} needs a value")
        return _on_value(path, self._comparison(str(spec[0]), word, spec[2]))

    def _group(self, spec: Mapping[str, object], depth: int) -> Test:
        if len(spec) != 1 or not spec.keys() <= {"and", "or", "not"}:
            raise InvalidQuery(
                f"a group of conditions is {{'and': [...]}}, {{'or': [...]}} or {{'not': ...}}, not {_shown(spec)}"
            )
        ((word, inner),) = spec.items()
        if word == "not":
            return _not(self.condition(inner, depth + 1))
        if not isinstance(inner, Sequence) or not inner or isinstance(inner, str) or isinstance(inner[0], str):
            raise InvalidQuery(f"{word!r} is a list of one or more conditions, not {_shown(inner)}")
        items = [self.condition(item, depth + 1) for item in inner]
        return _all(items) if word == "and" else _any(items)

    def _comparison(self, field: str, word: str, value: object) -> Test:
        if word in ("in", "not-in", "array-contains-any"):
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise InvalidQuery(f"field {field!r}: {word!r} takes a list of values, not {_shown(value)}")
            values = [self._literal(field, item) for item in value]
            if word == "array-contains-any":
                return _contains(values)
            return _in(values) if word == "in" else _not(_in(values))
        literal = self._literal(field, value)
        if word == "==":
            return _equal(literal)
        if word == "!=":
            return _not(_equal(literal))
        if word == "array-contains":
            return _contains([literal])
        if word in _ORDER:
            return _ordered(field, word, literal)
        return self._like(field, word, literal)

    def _like(self, field: str, word: str, literal: Any) -> Test:
        if not isinstance(literal, str):
            raise InvalidQuery(f"field {field!r}: {word!r} takes a pattern, not {_shown(literal)}")
        if problem := pattern_problem(literal, self._pattern_room):
            raise InvalidQuery(f"field {field!r}: {_shown(literal)}: {problem}")
        self._pattern_room -= len(literal)
        test = like_test(literal, ignore_case=word == "ilike")
        return lambda found: test(found.encode()) if isinstance(found, str) else None

    def _literal(self, field: str, value: object) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise InvalidQuery(f"a filter has at most {_MOST_VALUES} values")
        if value is None:
            raise InvalidQuery(
                f"field {field!r} cannot be compared with null, which is never true; use [{field!r}, 'is-null']"
            )
        return _exact(value)


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


def _path(field: object) -> tuple[str, ...]:
    if not isinstance(field, str) or not field:
        raise InvalidQuery(f"a field is a path like 'a.b', not {_shown(field)}")
    path = tuple(field.split("."))
    if len(path) > _MOST_PATH or not all(path):
        raise InvalidQuery(f"field {_shown(field)}: a path has 1 to {_MOST_PATH} names with a dot between them")
    return path


def _at(data: Any, path: tuple[str, ...]) -> Any:
    """The value at ``path`` (as jsonb's ``#>``); None if there is none."""
    for name in path:
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data


def _on_value(path: tuple[str, ...], test: Test) -> Test:
    def on_value(data: Any) -> Truth:
        found = _at(data, path)
        return None if found is None else test(found)

    return on_value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | Decimal):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _key(value: Any, levels: int = _MOST_NESTED) -> Hashable:
    """Hashable, and equal exactly if jsonb's ``=`` says so. What is nested deeper than any literal equals nothing."""
    if isinstance(value, list | dict):
        if not levels:
            return object()
        if isinstance(value, list):
            return "array", tuple([_key(item, levels - 1) for item in value])
        return "object", frozenset([(name, _key(item, levels - 1)) for name, item in value.items()])
    return None if value is None else (_kind(value), value)


def _equal(literal: Any) -> Test:
    kind, wanted = _kind(literal), _key(literal)
    if kind in ("array", "object"):  # of another size it is not equal: do not look at all of it
        size = len(literal)
        return lambda found: _kind(found) == kind and len(found) == size and _key(found) == wanted
    return lambda found: _kind(found) == kind and bool(found == literal)


def _in(values: list[Any]) -> Test:
    wanted = frozenset(map(_key, values))
    return lambda found: _key(found) in wanted


def _contains(values: list[Any]) -> Test:
    """One pass over the array, however many values there are."""
    wanted = frozenset(map(_key, values))

    def contains(found: Any) -> Truth:
        if not isinstance(found, list):
            return None
        return any(_key(element) in wanted for element in found)

    return contains


def _ordered(field: str, word: str, literal: Any) -> Test:
    kind, holds = _kind(literal), _ORDER[word]
    if kind in ("array", "object"):
        raise InvalidQuery(
            f"field {field!r}: {word!r} compares with a number, a string or a boolean, not {_shown(literal)}"
        )
    if kind == "string":  # code points sort as their UTF-8 bytes do
        return lambda found: holds(found, literal) if isinstance(found, str) else None
    return lambda found: holds(found, literal) if _kind(found) == kind else None


def _exact(value: Any) -> Any:
    """A literal with exact numbers; ``0.1`` is what was written, not the binary fraction next to it."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _exact(item) for key, item in value.items()}
    return value


def _not(test: Test) -> Test:
    def negated(data: Any) -> Truth:
        truth = test(data)
        return None if truth is None else not truth

    return negated


def _all(tests: list[Test]) -> Test:
    return _decided_by(False, tests)


def _any(tests: list[Test]) -> Test:
    return _decided_by(True, tests)


def _decided_by(decisive: bool, tests: list[Test]) -> Test:
    """The first test that says ``decisive`` decides; else one that does not know leaves the whole not known."""

    def together(data: Any) -> Truth:
        truth: Truth = not decisive
        for test in tests:
            part = test(data)
            if part is decisive:
                return decisive
            if part is None:
                truth = None
        return truth

    return together


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
