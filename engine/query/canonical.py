"""Literals as PostgreSQL itself prints them, so that equal values are equal text.

``'2024-1-1 10:00+02'`` and ``'2024-01-01T08:00:00Z'`` become the same ``timestamptz``. A value that its type does not accept
is refused here, at subscribe time, naming it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any

import psycopg

from engine.catalog_model import Table
from engine.errors import InvalidQuery
from engine.query.builder_values import shown
from engine.query.incremental import IncrementalPlan, compile_incremental
from engine.query.model import And, Bound, Compare, Not, Or, Predicate, Query
from engine.query.order import sort_keys
from engine.query.render import render_documents
from engine.query.sql_values import check_length

__all__ = ["canonicalise", "literals", "with_literals"]

Connection = psycopg.AsyncConnection[Any]


def literals(query: Query, table: Table) -> list[tuple[str, str]]:
    """Every value that is not null, with its type, in a fixed order."""
    found = [] if query.where is None else [(v, c.type) for c in _compares(query.where) for v in c.values]
    keys = sort_keys(query, table)
    for bound in (query.start, query.end):
        if bound is not None:
            found += [(v, k.column.type.underlying.name) for v, k in zip(bound.values, keys, strict=False)]
    return [(value, type_name) for value, type_name in found if value is not None]


def with_literals(query: Query, canonical: Sequence[str]) -> Query:
    """The query with its values replaced, in the order of :func:`literals`."""
    values = iter(canonical)
    where = None if query.where is None else _replaced(query.where, values)
    start, end = (_replaced_bound(bound, values) for bound in (query.start, query.end))
    return replace(query, where=where, start=start, end=end)


async def canonicalise(query: Query, table: Table, connection: Connection) -> Query:
    """The query with values in PostgreSQL's own spelling; one round trip, two if it cannot be incremental.

    ``connection`` must have the settings of ``engine.session_settings``. An open transaction of the caller survives a
    refusal. Raises ``InvalidQuery`` for a value its type does not accept, or a comparison PostgreSQL has no operator for.
    """
    pairs = literals(query, table)
    check_length(value for value, _ in pairs)
    if pairs:
        try:
            query = with_literals(query, await _cast(pairs, connection))
        except psycopg.Error as error:
            raise await _blame(pairs, connection, error) from error
    if not isinstance(compile_incremental(query, table), IncrementalPlan):
        await _check(query, table, connection)
    return query


async def _cast(pairs: Sequence[tuple[str, str]], connection: Connection) -> list[str]:
    columns = ", ".join(f"${number}::{type_name}" for number, (_, type_name) in enumerate(pairs, 1))
    async with _guard(connection), psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute(f"select {columns}".encode(), [value for value, _ in pairs], prepare=False)
        result = cursor.pgresult
        # the type's own output, as in the stream; a cast to text is another spelling for bool and char(n)
        texts = [result.get_value(0, column) for column in range(len(pairs))] if result else []
    return [text.decode() for text in texts if text is not None]


async def _blame(pairs: Sequence[tuple[str, str]], connection: Connection, error: psycopg.Error) -> Exception:
    """An ``InvalidQuery`` that names the value at fault; ``error`` itself if no value is."""
    for value, type_name in pairs if isinstance(error, _REFUSALS) else ():
        try:
            await _cast([(value, type_name)], connection)
        except _REFUSALS as refused:
            reason = refused.diag.message_primary or str(refused)
            return InvalidQuery(f"{shown(value)} is not a value of type {type_name}: {reason}")
    return error


# classes 22 and 23 (a domain's constraint), 42 (a name that does not exist, for reg* types), 54 (too long, too deep)
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.errors.ProgramLimitExceeded)


def _guard(connection: Connection) -> AbstractAsyncContextManager[object]:
    """Keeps a failure from spoiling the caller's transaction; costs nothing where there is none."""
    idle = connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    return nullcontext() if connection.autocommit and idle else connection.transaction()


async def _check(query: Query, table: Table, connection: Connection) -> None:
    """Let PostgreSQL look at a query that will be re-read, without reading anything."""
    statement = render_documents(replace(query, limit=0), table)
    try:
        async with _guard(connection), psycopg.AsyncRawCursor(connection) as cursor:
            await cursor.execute(statement.sql.encode(), statement.params, prepare=False)
    except (psycopg.ProgrammingError, psycopg.DataError) as error:
        raise InvalidQuery(f"PostgreSQL refuses the query: {error.diag.message_primary or error}") from error


def _compares(predicate: Predicate) -> Iterator[Compare]:
    match predicate:
        case Compare():
            yield predicate
        case Not(item):
            yield from _compares(item)
        case And(items) | Or(items):
            for item in items:
                yield from _compares(item)


def _replaced(predicate: Predicate, values: Iterator[str]) -> Predicate:
    match predicate:
        case Compare():
            return replace(predicate, values=_taken(predicate.values, values))
        case Not(item):
            return Not(_replaced(item, values))
        case And(items):
            return And(tuple(_replaced(item, values) for item in items))
        case Or(items):
            return Or(tuple(_replaced(item, values) for item in items))
        case _:
            return predicate


def _replaced_bound(bound: Bound | None, values: Iterator[str]) -> Bound | None:
    return bound and replace(bound, values=_taken(bound.values, values))


def _taken(old: Sequence[str | None], values: Iterator[str]) -> tuple[str | None, ...]:
    return tuple(None if value is None else next(values) for value in old)
