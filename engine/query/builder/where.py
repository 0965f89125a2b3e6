"""The conditions of a builder query: ``["field", "op", value]``, ``{"and": [...]}``, ``{"or": [...]}``, ``{"not": ...}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.query.builder.values import value_text
from engine.query.ir.like import MAX_PATTERN, pattern_problem
from engine.query.ir.model import And, Compare, IsNull, Not, NotNull, Or, Predicate
from engine.values.exact_json import shown
from engine.values.pg_types import Column, TypeInfo

__all__ = ["WhereParser", "field_column"]

_MOST_DEPTH: Final = 32
_MOST_CONDITIONS: Final = 100
_MOST_VALUES: Final = 1000
_JSONB_OID: Final = 3802
_TEXT_OIDS: Final = frozenset({19, 25, 1042, 1043})


def field_column(name: object, table: Table) -> Column:
    """The exposed column behind a client's field name. Raises ``InvalidQueryError``."""
    column = table.by_field.get(name) if isinstance(name, str) else None
    if column is None:
        raise InvalidQueryError(f"collection {table.collection!r} has no field {shown(name)}")
    return column


def _null_test(column: Column, *, wanted: bool) -> Predicate:
    if wanted:
        return IsNull(column.name)
    return NotNull(column.name) if column.type.underlying.kind == "composite" else Not(IsNull(column.name))


class WhereParser:
    """Parses the conditions of one query, counting them and their values."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._conditions = 0
        self._values = 0
        self._pattern_room = MAX_PATTERN

    def condition(self, spec: object, depth: int = 1) -> Predicate:
        """One condition. Raises ``InvalidQueryError``."""
        if depth > _MOST_DEPTH:
            raise InvalidQueryError(f"conditions are nested more than {_MOST_DEPTH} deep")
        if isinstance(spec, dict):
            return self._group(spec, depth)
        self._conditions += 1
        if self._conditions > _MOST_CONDITIONS:
            raise InvalidQueryError(f"a query has at most {_MOST_CONDITIONS} conditions")
        if not isinstance(spec, list) or not 2 <= len(spec) <= 3:
            raise InvalidQueryError(f"a condition is ['field', 'operator', value], not {shown(spec)}")
        column = field_column(spec[0], self._table)
        if spec[1] in ("is-null", "is-not-null"):
            if len(spec) == 3:
                raise InvalidQueryError(f"field {column.field!r}: {spec[1]!r} takes no value")
            return _null_test(column, wanted=spec[1] == "is-null")
        parse = self._OPERATORS.get(spec[1]) if isinstance(spec[1], str) else None
        if parse is None:
            known = ", ".join((*self._OPERATORS, "is-null", "is-not-null"))
            raise InvalidQueryError(f"field {column.field!r}: no operator {shown(spec[1])}; there are {known}")
        if len(spec) == 2:
            raise InvalidQueryError(f"field {column.field!r}: {spec[1]!r} needs a value")
        return parse(self, column, str(spec[1]), spec[2])

    def _group(self, spec: dict[str, object], depth: int) -> Predicate:
        if len(spec) != 1 or not spec.keys() <= {"and", "or", "not"}:
            raise InvalidQueryError(
                f"a group of conditions is {{'and': [...]}}, {{'or': [...]}} or {{'not': ...}}, not {shown(spec)}"
            )
        ((word, inner),) = spec.items()
        if word == "not":
            return Not(self.condition(inner, depth + 1))
        if not isinstance(inner, list) or not inner or isinstance(inner[0], str):
            raise InvalidQueryError(f"{word!r} is a list of one or more conditions, not {shown(inner)}")
        items = tuple(self.condition(item, depth + 1) for item in inner)
        return And(items) if word == "and" else Or(items)

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > _MOST_VALUES:
            raise InvalidQueryError(f"a query has at most {_MOST_VALUES} values")

    def _single(self, column: Column, operator: str, value: object) -> Predicate:
        self._count(1)
        if value is None:
            value_text(value, _NOT_JSON, column)  # JSON columns too: SQL NULL or JSON null would be a guess
        text, type_name = value_text(value, column.type, column)
        return Compare(column.name, operator, (text,), type_name)

    def _list(self, column: Column, operator: str, value: object) -> Predicate:
        values = self._listed(column, operator, value)
        groups: dict[str, list[str]] = {}
        for text, type_name in [value_text(item, column.type, column) for item in values]:
            groups.setdefault(type_name, []).append(text)
        if not groups:
            groups[column.type.compared.name] = []
        items = [Compare(column.name, operator, tuple(texts), type_name) for type_name, texts in groups.items()]
        if len(items) == 1:
            return items[0]
        return Or(tuple(items)) if operator == "in" else And(tuple(items))

    def _listed(self, column: Column, operator: str, value: object) -> list[object]:
        if not isinstance(value, list):
            raise InvalidQueryError(f"field {column.field!r}: {operator!r} takes a list of values, not {shown(value)}")
        self._count(len(value))
        return value

    def _array(self, column: Column, operator: str, value: object) -> Predicate:
        values = self._listed(column, operator, value) if operator == "array-contains-any" else [value]
        base = column.type.underlying
        if base.oid == _JSONB_OID:
            self._count(1)
            texts = tuple(value_text(item, base, column)[0] for item in values)
            return Compare(column.name, operator, texts, base.name)
        if base.kind != "array" or base.element is None:
            raise InvalidQueryError(
                f"field {column.field!r} ({column.type.name}) is not an array: {operator!r} does not apply"
            )
        self._count(1)
        pairs = [value_text(item, base.element, column) for item in values]
        own = base.element.underlying.name
        if any(type_name != own for _, type_name in pairs):
            raise InvalidQueryError(
                f"field {column.field!r}: {shown(value)} is not of the element type {base.element.name}"
            )
        return Compare(column.name, operator, tuple(text for text, _ in pairs), own)

    def _like(self, column: Column, operator: str, value: object) -> Predicate:
        self._count(1)
        base = column.type.underlying
        if base.oid not in _TEXT_OIDS:
            raise InvalidQueryError(
                f"field {column.field!r} ({column.type.name}) is not text: {operator!r} does not apply"
            )
        pattern, _ = value_text(value, base, column)
        if problem := pattern_problem(pattern, self._pattern_room):
            raise InvalidQueryError(f"field {column.field!r}: {shown(pattern)}: {problem}")
        self._pattern_room -= len(pattern)
        return Compare(column.name, operator, (pattern,), "text")

    # Of the class: bound methods in an object's own mapping would be a cycle, which only the collector frees.
    _OPERATORS: ClassVar[Mapping[str, Callable[[WhereParser, Column, str, object], Predicate]]] = (
        dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _single)
        | dict.fromkeys(("in", "not-in"), _list)
        | dict.fromkeys(("array-contains", "array-contains-any"), _array)
        | dict.fromkeys(("like", "ilike"), _like)
    )


_NOT_JSON = TypeInfo(0, "unknown", "base")
