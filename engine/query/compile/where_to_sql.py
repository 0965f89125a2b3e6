"""The conditions of a query as SQL: predicates, cursors and sort keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.postgres.identifiers import quoted_name
from engine.query.ir.model import And, Bound, Compare, IsNull, Not, NotNull, Or, Predicate
from engine.query.ir.sort_order import SortKey
from engine.values.pg_types import Column

__all__ = [
    "Nulls",
    "Parameters",
    "ParametersOfSets",
    "column_sql",
    "cursor_sql",
    "key_sql",
    "operand_sql",
    "predicate_sql",
]

_SQL_OPERATORS = {
    "==": "=",
    "!=": "<>",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "like": "like",
    "ilike": "ilike",
}


class Parameters:
    """The parameters of one statement, in order."""

    def __init__(self) -> None:
        self._values: list[str | None] = []

    def add(self, value: str | None, type_name: str) -> str:
        """Take a value; returns its placeholder, cast to its type."""
        self._values.append(value)
        return f"${len(self._values)}::{type_name}"

    @property
    def values(self) -> tuple[str | None, ...]:
        """What to bind, ``$1`` first."""
        return tuple(self._values)


class ParametersOfSets(Parameters):
    """The parameters of a statement that is run once for each row of a table expression ``alias``, which has the values of
    the first parameter in the column ``p1``, and so on.
    """

    alias: Final = "realtime_set"

    def add(self, value: str | None, type_name: str) -> str:
        """Take a value; returns the column that has it, cast to its type."""
        super().add(value, type_name)
        return f"{self.alias}.p{len(self.values)}::{type_name}"


class Nulls(Parameters):
    """In place of the values of a statement, which then refers to the same types and operators."""

    def add(self, value: str | None, type_name: str) -> str:
        """A null of the type."""
        return f"null::{type_name}"


def column_sql(column: Column) -> str:
    """A column of the one table."""
    return f"t.{quoted_name(column.name)}"


def operand_sql(column: Column) -> str:
    """A column as the left side of an operator: as its base type, where operators do not see through a domain.

    Those of enums, arrays, ranges and composites take any type of the kind, which a domain is not (docs: "Polymorphic
    Types").
    """
    compared = column.type.compared
    if compared is column.type or compared.kind == "base":
        return column_sql(column)
    return f"{column_sql(column)}::{compared.name}"


def null_sql(column: Column) -> str:
    """The value is NULL as a whole, as ORDER BY sees it; a composite's IS NULL would be true of a row of nulls as well."""
    test = "is not distinct from null" if column.type.underlying.kind == "composite" else "is null"
    return f"{column_sql(column)} {test}"


def key_sql(key: SortKey) -> str:
    """One entry of ORDER BY. Null placement is omitted if it is the default or nulls are impossible, for the indexes."""
    nulls = "" if key.column.not_null or key.nulls_first is key.descending else " nulls first"
    if nulls and not key.nulls_first:
        nulls = " nulls last"
    return f"{_sortable(key)}{' desc' if key.descending else ''}{nulls}"


def _sortable(key: SortKey) -> str:
    return f'{column_sql(key.column)} collate "C"' if key.collate_c else column_sql(key.column)


def _comparable(key: SortKey) -> str:
    return f'{column_sql(key.column)} collate "C"' if key.collate_c else operand_sql(key.column)


def predicate_sql(predicate: Predicate, table: Table, parameters: Parameters) -> str:
    """A condition, in parentheses where needed. Raises ``InvalidQueryError`` for a column the table does not have."""
    match predicate:
        case Not(item):
            return f"(not {predicate_sql(item, table, parameters)})"
        case And(items):
            return _joined(" and ", "true", items, table, parameters)
        case Or(items):
            return _joined(" or ", "false", items, table, parameters)
        case IsNull(name):
            return f"({column_sql(_column(name, table))} is null)"
        case NotNull(name):
            return f"({column_sql(_column(name, table))} is not null)"
        case Compare():
            return f"({_compare_sql(predicate, _column(predicate.column, table), parameters)})"


def _joined(word: str, empty: str, items: Sequence[Predicate], table: Table, parameters: Parameters) -> str:
    return f"({word.join(predicate_sql(item, table, parameters) for item in items)})" if items else empty


def _column(name: str, table: Table) -> Column:
    column = table.by_name.get(name)
    if column is None:
        raise InvalidQueryError(f"{table.collection} has no column {name!r}")
    return column


def _compare_sql(compare: Compare, column: Column, parameters: Parameters) -> str:
    left = operand_sql(column)
    values = [parameters.add(value, compare.type) for value in compare.values]
    if compare.operator in ("in", "not-in"):
        if not values:
            return "false" if compare.operator == "in" else "true"
        return f"{left} {'in' if compare.operator == 'in' else 'not in'} ({', '.join(values)})"
    if compare.operator in ("array-contains", "array-contains-any"):
        listed = f"array[{', '.join(values)}]::{compare.type}[]"
        if column.type.underlying.name == "jsonb":
            return f"{left} @> {values[0]}" if compare.operator == "array-contains" else f"{left} @> any ({listed})"
        return f"{left} {'@>' if compare.operator == 'array-contains' else '&&'} {listed}"
    return f"{left} {_SQL_OPERATORS[compare.operator]} {values[0]}"


def cursor_sql(bound: Bound, keys: Sequence[SortKey], parameters: Parameters, *, at_start: bool) -> str:
    """Rows behind (``at_start``) or before the cursor: key by key, the first difference decides.

    If nulls are impossible and all keys have the same direction, a row comparison is equivalent and can use an index.
    """
    used = keys[: len(bound.values)]
    types = bound.types or tuple(key.column.type.compared.name for key in used)
    if len({key.descending for key in used}) == 1 and all(key.column.not_null for key in used):
        sign = ("<" if used[0].descending is at_start else ">") + ("=" if bound.inclusive else "")
        values = [parameters.add(value, type_name) for value, type_name in zip(bound.values, types, strict=True)]
        return f"(({', '.join(map(_comparable, used))}) {sign} ({', '.join(values)}))"
    cases: list[str] = []
    equal: list[str] = []
    for key, value, type_name in zip(used, bound.values, types, strict=True):
        cases.append(" and ".join([*equal, _strictly(key, value, type_name, parameters, at_start=at_start)]))
        if bound.inclusive or key is not used[-1]:
            equal.append(_equally(key, value, type_name, parameters))
    if bound.inclusive:
        cases.append(" and ".join(equal))
    return f"({' or '.join(f'({case})' for case in cases)})"


def _equally(key: SortKey, value: str | None, type_name: str, parameters: Parameters) -> str:
    if value is None:
        return null_sql(key.column)
    return f"{_comparable(key)} = {parameters.add(value, type_name)}"


def _strictly(key: SortKey, value: str | None, type_name: str, parameters: Parameters, *, at_start: bool) -> str:
    """The key comes strictly after the value (``at_start``), or strictly before it."""
    nulls_that_side = key.nulls_first is not at_start
    if value is None:
        return "false" if nulls_that_side else f"not {null_sql(key.column)}"
    sign = "<" if key.descending is at_start else ">"
    compared = f"{_comparable(key)} {sign} {parameters.add(value, type_name)}"
    return f"({compared} or {null_sql(key.column)})" if nulls_that_side else compared
