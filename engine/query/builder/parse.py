"""The builder's JSON, as clients send it, to a :class:`Query`.

Everything is checked here: shape, names, operators, JSON types, sizes. Nothing unknown is ignored. Names are the client's
(``Column.field``), and a column that is not exposed does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.query.builder.keys import key_condition, key_texts
from engine.query.builder.values import value_text
from engine.query.builder.where import WhereParser, field_column
from engine.query.ir.model import And, Bound, OrderBy, Predicate, Query
from engine.query.ir.sort_order import sort_keys
from engine.values.exact_json import shown
from engine.values.pg_types import Column

__all__ = ["MAX_ROWS", "parse_query"]

MAX_ROWS = 10_000

_KEYS = frozenset(
    {"where", "doc", "orderBy", "limit", "select", "startAt", "startAfter", "endAt", "endBefore", "count"}
)
_DIRECTIONS = ("asc", "desc")
_NULLS = ("nulls-first", "nulls-last")


def parse_query(spec: Mapping[str, object], table: Table) -> Query:
    """Parse a builder query over ``table``.

    The values in the result are as the client wrote them: make them canonical with ``engine.query.literals`` before
    compiling. Raises ``InvalidQueryError`` naming the field and value that is wrong.
    """
    unknown = sorted(str(key) for key in spec if key not in _KEYS)
    if unknown:
        raise InvalidQueryError(f"a query has no {unknown[0]!r}; it has {', '.join(sorted(_KEYS))}")
    fields = _select(spec, table)
    query = Query(
        collection=table.collection,
        where=_where(spec, table),
        order_by=_order_by(spec, table),
        limit=_limit(spec),
        projection=_projection(fields, table) if fields else None,
        count=_count(spec),
        asked=("select", *sorted(fields)) if fields else (),
    )
    start = _bound(spec, "startAt", "startAfter", query, table)
    end = _bound(spec, "endAt", "endBefore", query, table)
    return query if start is end is None else replace(query, start=start, end=end)


def _where(spec: Mapping[str, object], table: Table) -> Predicate | None:
    items = tuple(WhereParser(table).conditions(spec["where"])) if "where" in spec else ()
    if "doc" in spec:
        items = (*items, key_condition(spec["doc"], table))
    return items[0] if len(items) == 1 else And(items) if items else None


def _select(spec: Mapping[str, object], table: Table) -> set[str]:
    """The fields that documents are to have beside the key; none: all."""
    if "select" not in spec:
        return set()
    given = spec["select"]
    if not isinstance(given, list) or not given:
        raise InvalidQueryError(f"'select' is a list of one or more fields like ['title', 'done'], not {shown(given)}")
    found: set[str] = set()
    for name in given:
        field = field_column(name, table).field
        if field in found:
            raise InvalidQueryError(f"'select' names {shown(name)} a second time")
        found.add(field)
    return found


def _projection(fields: Set[str], table: Table) -> tuple[tuple[str, str], ...]:
    """The columns of ``fields`` and of the key, in the order of the table."""
    key = {table.columns[index].name for index in table.primary_key}
    return tuple(
        (column.name, column.field) for column in table.exposed_columns if column.field in fields or column.name in key
    )


def _order_by(spec: Mapping[str, object], table: Table) -> tuple[OrderBy, ...]:
    entries = spec.get("orderBy", [])
    if not isinstance(entries, list):
        raise InvalidQueryError(f"'orderBy' is a list like [['createdAt', 'desc']], not {shown(entries)}")
    found: dict[str, OrderBy] = {}
    for entry in entries:
        order = _order_entry([entry] if isinstance(entry, str) else entry, table)
        if order.column in found:
            raise InvalidQueryError(f"'orderBy' names {shown(entry)} a second time")
        found[order.column] = order
    return tuple(found.values())


def _order_entry(entry: object, table: Table) -> OrderBy:
    if not isinstance(entry, list) or not 1 <= len(entry) <= 3:
        raise InvalidQueryError(f"an 'orderBy' entry is ['field', 'asc' or 'desc'], not {shown(entry)}")
    column = field_column(entry[0], table)
    direction = entry[1] if len(entry) > 1 else "asc"
    if direction not in _DIRECTIONS:
        raise InvalidQueryError(f"'orderBy' {column.field!r}: the direction is 'asc' or 'desc', not {shown(direction)}")
    nulls = entry[2] if len(entry) > 2 else None
    if len(entry) > 2 and nulls not in _NULLS:
        raise InvalidQueryError(
            f"'orderBy' {column.field!r}: the third is 'nulls-first' or 'nulls-last', not {shown(nulls)}"
        )
    descending = direction == "desc"
    return OrderBy(column.name, descending, descending if nulls is None else nulls == "nulls-first")


def _limit(spec: Mapping[str, object]) -> int | None:
    if "limit" not in spec:
        return None
    limit = spec["limit"]
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_ROWS:
        raise InvalidQueryError(f"'limit' is an integer from 1 to {MAX_ROWS}, not {shown(limit)}")
    return limit


def _count(spec: Mapping[str, object]) -> bool:
    if "count" in spec and spec["count"] is not True:
        raise InvalidQueryError(f"'count' is true, or not there, not {shown(spec['count'])}")
    return "count" in spec


def _bound(spec: Mapping[str, object], at: str, beyond: str, query: Query, table: Table) -> Bound | None:
    if at in spec and beyond in spec:
        raise InvalidQueryError(f"a query has either {at!r} or {beyond!r}")
    name = at if at in spec else beyond
    if name not in spec:
        return None
    values = spec[name]
    if isinstance(values, dict):
        return _document_bound(values, name, inclusive=name == at, query=query, table=table)
    if not isinstance(values, list) or not values:
        raise InvalidQueryError(f"{name!r} is a list of values, one for each sort key, not {shown(values)}")
    keys = sort_keys(query, table)
    if len(values) > len(keys):
        order = ", ".join(key.column.field for key in keys) or "none"
        raise InvalidQueryError(f"{name!r} has {len(values)} values, but the sort keys are: {order}")
    pairs = [_cursor_value(value, key.column, name) for value, key in zip(values, keys, strict=False)]
    return Bound(tuple(text for text, _ in pairs), name == at, tuple(type_name for _, type_name in pairs))


def _document_bound(given: Mapping[str, object], name: str, *, inclusive: bool, query: Query, table: Table) -> Bound:
    """The place of a document: its values of the sort keys of ``orderBy``, and its id, which has the primary key exactly."""
    values = given.get("values")
    if given.keys() != {"doc", "values"} or not isinstance(values, list):
        raise InvalidQueryError(
            f"{name!r} is a list of values, or {{'doc': id, 'values': [one for each sort key]}}, not {shown(given)}"
        )
    if len(values) != len(query.order_by):
        raise InvalidQueryError(
            f"{name!r} has {len(values)} values of a document, and 'orderBy' {len(query.order_by)} sort keys"
        )
    keys = sort_keys(query, table)
    found = dict(
        zip((table.columns[i].name for i in table.primary_key), key_texts(given["doc"], table, name), strict=True)
    )
    pairs = [
        found.get(key.column.name) or _cursor_value(values[place], key.column, name) for place, key in enumerate(keys)
    ]
    return Bound(tuple(text for text, _ in pairs), inclusive, tuple(type_name for _, type_name in pairs))


def _cursor_value(value: object, column: Column, name: str) -> tuple[str | None, str]:
    """A cursor's value and the type it is read as; null is a place in the order where the column may be null."""
    if value is None:
        if column.not_null:
            raise InvalidQueryError(f"{name!r}: field {column.field!r} is never null")
        return None, column.type.compared.name
    return value_text(value, column.type, column)
