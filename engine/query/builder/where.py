"""The conditions of a builder query (:mod:`engine.query.ir.conditions`) to a predicate over columns."""

from __future__ import annotations

from typing import Final

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.postgres.oids import JSONB, TEXT_OIDS
from engine.query.builder.values import value_text
from engine.query.ir.conditions import ConditionParser
from engine.query.ir.model import And, Compare, IsNull, Not, NotNull, Or, Predicate
from engine.query.ir.suggestions import did_you_mean
from engine.values.exact_json import shown
from engine.values.pg_types import Column, TypeInfo

__all__ = ["WhereParser", "field_column"]

_LISTED: Final = 12  # fields in an error


def field_column(name: object, table: Table) -> Column:
    """The exposed column behind a client's field name. Raises ``InvalidQueryError`` with the one that is near, or those
    that there are.
    """
    column = table.by_field.get(name) if isinstance(name, str) else None
    if column is None:
        hint = did_you_mean(name, table.by_field) or _listed([each.field for each in table.exposed_columns])
        raise InvalidQueryError(f"collection {table.collection!r} has no field {shown(name)}{hint}")
    return column


def _listed(fields: list[str]) -> str:
    """``; it has 'id', 'body'``: the first of ``fields``, which are those that the subscriber may read."""
    more = len(fields) - _LISTED
    return f"; it has {', '.join(map(repr, fields[:_LISTED]))}{f' and {more} more' if more > 0 else ''}"


class WhereParser(ConditionParser[Column, Predicate]):
    """Parses the conditions of one query over ``table``."""

    noun = "a query"

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    def field(self, name: object) -> Column:
        """The exposed column of that name."""
        return field_column(name, self._table)

    def null_test(self, field: Column, *, wanted: bool) -> Predicate:
        """Composites differ: one with a null field is neither null nor not null."""
        if wanted:
            return IsNull(field.name)
        return NotNull(field.name) if field.type.underlying.kind == "composite" else Not(IsNull(field.name))

    def comparison(self, field: Column, operator: str, value: object) -> Predicate:
        """A comparison with the text of its values, cast to the types in which PostgreSQL compares them."""
        if operator in ("in", "not-in"):
            return self._list(field, operator, value)
        if operator in ("array-contains", "array-contains-any"):
            return self._array(field, operator, value)
        if operator in ("like", "ilike"):
            return self._like(field, operator, value)
        return self._single(field, operator, value)

    def negated(self, condition: Predicate) -> Predicate:
        """``not``."""
        return Not(condition)

    def all_of(self, conditions: list[Predicate]) -> Predicate:
        """``and``."""
        return And(tuple(conditions))

    def any_of(self, conditions: list[Predicate]) -> Predicate:
        """``or``."""
        return Or(tuple(conditions))

    def _single(self, column: Column, operator: str, value: object) -> Predicate:
        self.count(1)
        if value is None:
            value_text(value, _NOT_JSON, column)  # JSON columns too: SQL NULL or JSON null would be a guess
        text, type_name = value_text(value, column.type, column)
        return Compare(column.name, operator, (text,), type_name)

    def _list(self, column: Column, operator: str, value: object) -> Predicate:
        values = self.listed(column.field, operator, value)
        groups: dict[str, list[str]] = {}
        for text, type_name in [value_text(item, column.type, column) for item in values]:
            groups.setdefault(type_name, []).append(text)
        if not groups:
            groups[column.type.compared.name] = []
        items = [Compare(column.name, operator, tuple(texts), type_name) for type_name, texts in groups.items()]
        if len(items) == 1:
            return items[0]
        return Or(tuple(items)) if operator == "in" else And(tuple(items))

    def _array(self, column: Column, operator: str, value: object) -> Predicate:
        values = self.listed(column.field, operator, value) if operator == "array-contains-any" else [value]
        base = column.type.underlying
        if base.oid == JSONB:
            self.count(1)
            texts = tuple(value_text(item, base, column)[0] for item in values)
            return Compare(column.name, operator, texts, base.name)
        if base.kind != "array" or base.element is None:
            raise InvalidQueryError(
                f"field {column.field!r} ({column.type.name}) is not an array: {operator!r} does not apply"
            )
        self.count(1)
        pairs = [value_text(item, base.element, column) for item in values]
        own = base.element.underlying.name
        if any(type_name != own for _, type_name in pairs):
            raise InvalidQueryError(
                f"field {column.field!r}: {shown(value)} is not of the element type {base.element.name}"
            )
        return Compare(column.name, operator, tuple(text for text, _ in pairs), own)

    def _like(self, column: Column, operator: str, value: object) -> Predicate:
        self.count(1)
        base = column.type.underlying
        if base.oid not in TEXT_OIDS:
            raise InvalidQueryError(
                f"field {column.field!r} ({column.type.name}) is not text: {operator!r} does not apply"
            )
        pattern, _ = value_text(value, base, column)
        return Compare(column.name, operator, (self.pattern(column.field, pattern),), "text")


_NOT_JSON = TypeInfo(0, "unknown", "base")
