"""The grammar of conditions, shared by builder queries and channel filters.

    condition = [field, operator]  |  [field, operator, value]
              |  {"and": [condition, ...]}  |  {"or": [condition, ...]}  |  {"not": condition}

``realtime.is_condition()`` reads the same grammar in SQL, for routes. All three are run over
``tests/support/vectors/conditions.json``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final, Generic, TypeVar

from engine.errors import InvalidQueryError
from engine.query.ir.like import MAX_PATTERN, pattern_problem
from engine.values.exact_json import shown

__all__ = ["LISTED", "MAX_CONDITIONS", "MAX_DEPTH", "MAX_VALUES", "OPERATORS", "ORDERED", "ConditionParser"]

MAX_DEPTH: Final = 32
"""Levels of groups."""
MAX_CONDITIONS: Final = 100
MAX_VALUES: Final = 1000
"""Values of all conditions together."""

ORDERED: Final = ("<", "<=", ">", ">=")
LISTED: Final = ("in", "not-in", "array-contains-any")
"""Operators that take a list of values."""
OPERATORS: Final = ("==", "!=", *ORDERED, "in", "not-in", "array-contains", "array-contains-any", "like", "ilike")
"""Operators that take a value."""
_NULL_TESTS: Final = ("is-null", "is-not-null")

Field = TypeVar("Field")
Parsed = TypeVar("Parsed")


class ConditionParser(ABC, Generic[Field, Parsed]):
    """Reads the conditions of one query or filter, counting them, their values and the length of their patterns.

    A subclass defines the fields and the result of a condition. Every method raises ``InvalidQueryError`` that names the
    invalid part.
    """

    noun: ClassVar[str]
    """What has the conditions, in messages: ``a query``."""

    def __init__(self) -> None:
        self._conditions = 0
        self._values = 0
        self._pattern_room = MAX_PATTERN

    @abstractmethod
    def field(self, name: object) -> Field:
        """The field that a condition names."""

    @abstractmethod
    def null_test(self, field: Field, *, wanted: bool) -> Parsed:
        """``is-null`` (``wanted``) or ``is-not-null``."""

    @abstractmethod
    def comparison(self, field: Field, operator: str, value: object) -> Parsed:
        """A condition with one of ``OPERATORS``. Its values and patterns are still to be counted."""

    @abstractmethod
    def negated(self, condition: Parsed) -> Parsed:
        """``not``."""

    @abstractmethod
    def all_of(self, conditions: list[Parsed]) -> Parsed:
        """``and``."""

    @abstractmethod
    def any_of(self, conditions: list[Parsed]) -> Parsed:
        """``or``."""

    def conditions(self, where: object) -> list[Parsed]:
        """The list ``where``, all of whose conditions must hold."""
        if not isinstance(where, list | tuple):
            raise InvalidQueryError(f"'where' is a list of conditions, not {shown(where)}")
        if where and isinstance(where[0], str):
            raise InvalidQueryError(f"'where' is a list of conditions; write [{shown(where)}]")
        return [self._condition(item, 1) for item in where]

    def _condition(self, spec: object, depth: int) -> Parsed:
        if depth > MAX_DEPTH:
            raise InvalidQueryError(f"conditions are nested more than {MAX_DEPTH} deep")
        if isinstance(spec, Mapping):
            return self._group(spec, depth)
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise InvalidQueryError(f"{self.noun} has at most {MAX_CONDITIONS} conditions")
        if not isinstance(spec, list | tuple) or not 2 <= len(spec) <= 3:
            raise InvalidQueryError(f"a condition is ['field', 'operator', value], not {shown(spec)}")
        return self._simple(*spec)

    def _simple(self, name: object, operator: object, *value: object) -> Parsed:
        field = self.field(name)
        if operator in _NULL_TESTS:
            if value:
                raise InvalidQueryError(f"field {shown(name)}: {shown(operator)} takes no value")
            return self.null_test(field, wanted=operator == "is-null")
        if not isinstance(operator, str) or operator not in OPERATORS:
            known = ", ".join((*OPERATORS, *_NULL_TESTS))
            raise InvalidQueryError(f"field {shown(name)}: no operator {shown(operator)}; there are {known}")
        if not value:
            raise InvalidQueryError(f"field {shown(name)}: {operator!r} needs a value")
        return self.comparison(field, operator, value[0])

    def _group(self, spec: Mapping[str, object], depth: int) -> Parsed:
        if len(spec) != 1 or not spec.keys() <= {"and", "or", "not"}:
            raise InvalidQueryError(
                f"a group of conditions is {{'and': [...]}}, {{'or': [...]}} or {{'not': ...}}, not {shown(spec)}"
            )
        ((word, inner),) = spec.items()
        if word == "not":
            return self.negated(self._condition(inner, depth + 1))
        if not isinstance(inner, list | tuple) or not inner or isinstance(inner[0], str):
            raise InvalidQueryError(f"{word!r} is a list of one or more conditions, not {shown(inner)}")
        items = [self._condition(item, depth + 1) for item in inner]
        return self.all_of(items) if word == "and" else self.any_of(items)

    def listed(self, name: str, operator: str, value: object) -> list[object]:
        """The values of an operator that takes a list, counted."""
        if not isinstance(value, list | tuple):
            raise InvalidQueryError(f"field {name!r}: {operator!r} takes a list of values, not {shown(value)}")
        self.count(len(value))
        return list(value)

    def count(self, values: int) -> None:
        """Add ``values`` to the number of values."""
        self._values += values
        if self._values > MAX_VALUES:
            raise InvalidQueryError(f"{self.noun} has at most {MAX_VALUES} values")

    def pattern(self, name: str, pattern: str) -> str:
        """A pattern of ``like``, its length counted."""
        if problem := pattern_problem(pattern, self._pattern_room):
            raise InvalidQueryError(f"field {name!r}: {shown(pattern)}: {problem}")
        self._pattern_room -= len(pattern)
        return pattern
