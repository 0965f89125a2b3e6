"""Checks that PostgreSQL has the operators of a query that will be re-read, and rejects the query otherwise.

PostgreSQL reports most missing operators when it plans the query. For arrays and composites it does so only when it compares
two values, and names an element type; so the element types of those are checked beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import psycopg

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.query.asking import Asking
from engine.query.compile.to_sql import render_documents
from engine.query.ir.model import Bound, OrderBy, Query, compares
from engine.query.ir.sort_order import SortKey, sort_keys
from engine.query.sql.safety.no_operator import lacks_operator, lacks_order
from engine.values.pg_types import Column, TypeInfo

__all__ = ["check_operators"]

_ORDERED: Final = frozenset({"<", "<=", ">", ">="})
_LIKES: Final = frozenset({"like", "ilike"})
_REFUSALS: Final = (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)
_SINCE_LOOSE_LIKE: Final = 180000  # LIKE, but not ILIKE, under a collation that is not deterministic


async def check_operators(query: Query, table: Table, postgres: Asking) -> None:
    """Raise ``InvalidQueryError``, naming field, type and operator, if PostgreSQL cannot answer ``query``; reads no row."""
    for compare in compares(query.where) if query.where else ():
        await _check_inside(table.by_name[compare.column], compare.operator, postgres)
    for key in sort_keys(query, table):
        await _check_inside(key.column, None, postgres)
    if await _refused(query, table, postgres) is None:
        return
    for operator, column, part in _parts(query, table):
        if (error := await _refused(part, table, postgres)) is not None:
            raise _no_operator(column, operator, error) from error


async def _refused(query: Query, table: Table, postgres: Asking) -> psycopg.Error | None:
    try:
        await postgres.describe(render_documents(replace(query, limit=0), table).sql)
    except _REFUSALS as error:
        return error
    return None


def _parts(query: Query, table: Table) -> Iterator[tuple[str | None, Column, Query]]:
    """The query in pieces, each with its operator (None: an order) and column."""
    for compare in compares(query.where) if query.where else ():
        yield compare.operator, table.by_name[compare.column], Query(query.collection, compare)
    for order in query.order_by:
        yield None, table.by_name[order.column], Query(query.collection, order_by=(order,))
    keys = sort_keys(query, table)
    for bound in (query.start, query.end):
        for place, key in enumerate(keys[: len(bound.values)] if bound else ()):
            yield None, key.column, _with_cursor(query, bound, place, key)


def _with_cursor(query: Query, bound: Bound | None, place: int, key: SortKey) -> Query:
    order = OrderBy(key.column.name, key.descending, key.nulls_first)
    cursor = bound and Bound(bound.values[place : place + 1], bound.inclusive, bound.types[place : place + 1])
    return Query(query.collection, order_by=(order,), start=cursor)


def _no_operator(column: Column, operator: str | None, error: psycopg.Error | None) -> InvalidQueryError:
    name = f"field {column.field!r} ({column.type.name})"
    if error is not None and not isinstance(error, psycopg.errors.UndefinedFunction):
        reason = error.diag.message_primary or error
        return InvalidQueryError(f"{name} cannot be {'asked' if operator else 'ordered'} so: {reason}")
    return lacks_order(f"'orderBy': {name}") if operator is None else lacks_operator(name, operator)


async def _check_inside(column: Column, operator: str | None, postgres: Asking) -> None:
    """``operator`` None: an order."""
    if operator in _LIKES:
        loose = column.collation is not None and not column.collation.deterministic
        if loose and (operator == "ilike" or postgres.version < _SINCE_LOOSE_LIKE):
            raise InvalidQueryError(
                f"field {column.field!r} ({column.type.name}) has no operator {operator!r}: "
                "PostgreSQL cannot match patterns under a collation that is not deterministic"
            )
        return
    if column.type.underlying.kind not in ("array", "composite"):
        return
    types = sorted({type_.name for type_ in _leaves(column.type)})
    if not types:
        return
    nulls = ", ".join(f"null::{name} as c{number}" for number, name in enumerate(types))
    names = ", ".join(f"c{number}" for number in range(len(types)))
    if operator is None or operator in _ORDERED:
        statement = f"select from (select {nulls}) as t order by {names}"
    else:
        statement = f"select distinct {nulls}"
    try:
        await postgres.describe(statement)
    except _REFUSALS as error:
        raise _no_operator(column, operator, error) from error


def _leaves(type_: TypeInfo) -> Iterator[TypeInfo]:
    """The scalar types that an array or composite consists of."""
    base = type_.underlying
    if base.kind == "array" and base.element is not None:
        yield from _leaves(base.element)
    elif base.kind == "composite":
        for _, field in base.fields:
            yield from _leaves(field)
    else:
        yield base
