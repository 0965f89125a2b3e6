"""Asks PostgreSQL about a builder query's values and operators; user-defined functions never run as the server's role.

For built-in types, and types composed of them, reading a value and finding an operator calls built-in functions only. Other
types have functions of their own: checks of domains, operators, casts to json. Queries that use such types are first checked
as SQL queries are, and PostgreSQL is then asked as ``realtime_reader``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any, Protocol

import psycopg
import structlog

from engine.catalog.model import Table
from engine.errors import PrivilegeLostError
from engine.postgres.errors import is_raised
from engine.postgres.statements.one_statement import describe
from engine.query.compile.to_sql import calls_own, render_documents
from engine.query.ir.model import Query
from engine.query.sql.safety.dry_run import SqlSession, sql_session
from engine.query.sql.safety.functions import refuse_unsafe
from engine.query.sql.safety.refusals import changes_session

__all__ = ["Asking", "asking"]

_log = structlog.get_logger("realtime.query")

Connection = psycopg.AsyncConnection[Any]


class Asking(Protocol):
    """How PostgreSQL is asked. A refusal, a ``psycopg.Error``, leaves the transaction as it was."""

    version: int

    async def values(self, types: Sequence[str], texts: Sequence[str]) -> list[str | None]:
        """The values as PostgreSQL prints them, each read as its type."""

    async def describe(self, sql: str) -> None:
        """Let PostgreSQL analyse the statement; nothing is run, no row read."""


@asynccontextmanager
async def asking(query: Query, table: Table, types: Sequence[str], connection: Connection) -> AsyncIterator[Asking]:
    """How to ask about ``query``, whose values are read as ``types``.

    Raises ``InvalidQueryError`` if it calls functions that a client's query may not call, ``PrivilegeLostError`` if
    ``realtime_reader`` may not use what the query's columns are made of.
    """
    if not calls_own(query, table):
        yield _Directly(connection)
        return
    async with sql_session(connection) as session:
        if types:
            await _judge(session, "select " + ", ".join(f"null::{name} as c{n}" for n, name in enumerate(types)))
        try:
            await _judge(session, render_documents(query, table, nulls=True).sql)
        except (
            psycopg.ProgrammingError
        ) as error:  # an operator that PostgreSQL does not have; the caller's query fails too
            _log.debug("query_not_analysed", error=str(error))
        yield _AsReader(session, connection.info.server_version)


async def _judge(session: SqlSession, sql: str) -> None:
    async with session.undone():
        refuse_unsafe(await session.functions(await session.analyse(sql)))


class _Directly:
    """Over the connection as it is."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.version = connection.info.server_version

    async def values(self, types: Sequence[str], texts: Sequence[str]) -> list[str | None]:
        async with self._guarded(), psycopg.AsyncRawCursor(self._connection) as cursor:
            await cursor.execute(f"select {', '.join(_casts(types))}".encode(), list(texts), prepare=False)
            result = cursor.pgresult
            found = [result.get_value(0, column) for column in range(len(texts))] if result else []
        if len(found) != len(texts):  # a connection that is out of step with its answers
            await self._connection.close()
            raise psycopg.OperationalError(f"{len(found)} answers to {len(texts)} values; the connection is closed")
        return [None if value is None else value.decode() for value in found]

    async def describe(self, sql: str) -> None:
        async with self._guarded():
            await describe(self._connection, sql)

    def _guarded(self) -> AbstractAsyncContextManager[object]:
        """Keeps a failure from spoiling the caller's transaction; costs nothing where there is none."""
        idle = self._connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        return nullcontext() if self._connection.autocommit and idle else self._connection.transaction()


class _AsReader:
    """As ``realtime_reader``, with names resolved by the operator's search path."""

    def __init__(self, session: SqlSession, version: int) -> None:
        self._session = session
        self.version = version

    async def values(self, types: Sequence[str], texts: Sequence[str]) -> list[str | None]:
        # format() gives a value's own output, too
        with _ours():
            return await self._session.values([f"pg_catalog.format('%s', {value})" for value in _casts(types)], texts)

    async def describe(self, sql: str) -> None:
        with _ours():
            await self._session.describe_only(sql)


@contextmanager
def _ours() -> Iterator[None]:
    """The engine writes these statements, so a missing privilege is an error of the server, not of the client."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        if is_raised(error) or changes_session(error):
            raise
        raise PrivilegeLostError from error


def _casts(types: Sequence[str]) -> list[str]:
    # the type's own output, as in the stream; a cast to text is another spelling for bool and char(n)
    return [f"${number}::{name}" for number, name in enumerate(types, 1)]
