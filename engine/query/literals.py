"""Literals as PostgreSQL itself prints them, so that equal values are equal text.

``'2024-1-1 10:00+02'`` and ``'2024-01-01T08:00:00Z'`` become the same ``timestamptz``. A value that its type does not accept
is refused here, at subscribe time, naming it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import psycopg

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.query.asking import Asking, asking
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.query.compile.to_sql import calls_own
from engine.query.ir.model import And, Bound, Compare, Not, Or, Predicate, Query, compares
from engine.query.ir.sort_order import sort_keys
from engine.query.operators import check_operators
from engine.query.sql.parsing.parameters import check_length
from engine.values.exact_json import shown

__all__ = ["canonicalise", "is_canonical", "literals", "with_literals"]

Connection = psycopg.AsyncConnection[Any]


class Literal(NamedTuple):
    """A value, the SQL type it is read as, and the column it is compared with."""

    text: str
    type: str
    column: str


def literals(query: Query, table: Table) -> list[Literal]:
    """Every value that is not null, in a fixed order."""
    found = [] if query.where is None else [(v, c.type, c.column) for c in compares(query.where) for v in c.values]
    keys = sort_keys(query, table)
    for bound in (query.start, query.end):
        if bound is not None:
            types = bound.types or [key.column.type.compared.name for key in keys]
            found += [(v, t, k.column.name) for v, t, k in zip(bound.values, types, keys, strict=False)]
    return [Literal(text, type_name, column) for text, type_name, column in found if text is not None]


def with_literals(query: Query, canonical: Sequence[str]) -> Query:
    """The query with its values replaced, in the order of :func:`literals`."""
    values = iter(canonical)
    where = None if query.where is None else _replaced(query.where, values)
    start, end = (_replaced_bound(bound, values) for bound in (query.start, query.end))
    return replace(query, where=where, start=start, end=end)


def is_canonical(query: Query, table: Table) -> bool:
    """Whether every value is known to be as PostgreSQL prints it, without it being asked (docs: "Numeric Types", "Boolean
    Type", "UUID Type"). Text is what it is in ASCII, which every encoding of a database has.
    """
    if calls_own(query, table):
        return False
    found = literals(query, table)
    check_length(literal.text for literal in found)
    return all(
        (spelling := _SPELLINGS.get(literal.type)) is not None and spelling(literal.text) is not None
        for literal in found
    )


def _integer(bits: int) -> Callable[[str], object]:
    written, limit = re.compile(r"0|-?[1-9][0-9]{0,18}").fullmatch, 1 << (bits - 1)
    return lambda text: True if written(text) and -limit <= int(text) < limit else None


_SPELLINGS: Final[dict[str, Callable[[str], object]]] = {
    "text": re.compile(r"[\x01-\x7f]*").fullmatch,
    "character varying": re.compile(r"[\x01-\x7f]*").fullmatch,
    "boolean": re.compile("[tf]").fullmatch,
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch,
    "smallint": _integer(16),
    "integer": _integer(32),
    "bigint": _integer(64),
}
"""By type, what is not None for a value in PostgreSQL's own spelling."""


async def canonicalise(query: Query, table: Table, connection: Connection) -> Query:
    """The query with values in PostgreSQL's own spelling; one round trip, two if it cannot be incremental.

    ``connection`` must have the settings of ``engine.postgres.connections.session_settings``. An open transaction of the
    caller survives a refusal. Raises ``InvalidQueryError`` for a value its type does not accept, or a comparison PostgreSQL
    has no operator for.
    """
    found = literals(query, table)
    check_length(literal.text for literal in found)
    async with asking(query, table, [literal.type for literal in found], connection) as postgres:
        if found:
            try:
                canonical = await _cast(found, postgres)
            except psycopg.Error as error:
                raise await _blame(found, table, postgres, error) from error
            check_length(canonical)
            query = with_literals(query, canonical)
        if not isinstance(compile_incremental(query, table), IncrementalPlan):
            await check_operators(query, table, postgres)
    return query


async def _cast(found: Sequence[Literal], postgres: Asking) -> list[str]:
    values = await postgres.values([literal.type for literal in found], [literal.text for literal in found])
    return [value for value in values if value is not None]


async def _blame(found: Sequence[Literal], table: Table, postgres: Asking, error: psycopg.Error) -> Exception:
    """An ``InvalidQueryError`` that names field and value at fault; ``error`` itself if no value is."""
    for literal in found if isinstance(error, _REFUSALS) else ():
        try:
            await _cast([literal], postgres)
        except _REFUSALS as refused:
            reason = refused.diag.message_primary or str(refused)
            field = table.by_name[literal.column].field
            return InvalidQueryError(
                f"field {field!r}: {shown(literal.text)} is not a value of type {literal.type}: {reason}"
            )
    return error


# classes 22 and 23 (a domain's constraint), 42 (a name that does not exist, for reg* types), 54 (too long, too deep)
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.errors.ProgramLimitExceeded)


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
