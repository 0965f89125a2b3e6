"""The transaction in which Postgres is asked about a client's SQL: its role, its search path, how statements are sent.

It is always rolled back, runs as the role ``realtime_reader``, with short timeouts, and finds the names in a client's text
where the reader does. Changes of role and search path wait and go with the next statement, in one round trip. The client's
text is only ever sent through the extended protocol, which takes exactly one statement.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq.abc import PGresult

from engine.postgres.connections.session_settings import OWN_NAMES
from engine.postgres.identifiers import quoted_name
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.one_statement import Setting, describe
from engine.query.sql.safety.calls import CatalogQuery
from engine.query.sql.safety.refusals import writes

__all__ = ["Described", "ReaderTransaction"]

STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 1_000

_ENTER: Setting = query("plan_enter").encode(), [str(STATEMENT_TIMEOUT_MS), str(LOCK_TIMEOUT_MS)]


@dataclass(frozen=True, slots=True)
class Described:
    """What Postgres describes of a prepared statement: output ``columns`` and the types of ``$1``, ``$2`` and so on."""

    columns: tuple[str, ...]
    parameter_oids: tuple[int, ...]


class ReaderTransaction:
    """See the module. Errors of Postgres come out as ``psycopg.Error``."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._owner = ""
        self._schemas: list[str] = []  # in which the reader finds names without schema
        self._path = OWN_NAMES  # of a client's text only while Postgres reads or plans that
        self._settings: list[Setting] = []  # that are sent with the next statement, before it

    async def begin(self) -> None:
        """Become the reader, and see where it finds names."""
        entered = psycopg.AsyncRawCursor(self._connection)
        async with self._connection.pipeline():
            await entered.execute(*_ENTER, prepare=False)
            await self._connection.execute(query("path_of_role_here"))
            schemas = await self._connection.execute(query("plan_schemas"))
        [(self._owner, *_)] = await entered.fetchall()
        [(self._schemas,)] = await schemas.fetchall()
        self._path = self._client_path

    @property
    def _client_path(self) -> str:
        return ", ".join(map(quoted_name, self._schemas))

    def _enter(self) -> None:
        """Become the reader, with the next statement."""
        self._settings.append(_ENTER)

    def _leave(self) -> None:
        """Become the connection's own role, with the next statement."""
        self._settings.append((query("plan_leave").encode(), [self._owner]))

    def _find_names(self, search_path: str) -> None:
        """Names without schema are found there from the next statement on."""
        if search_path != self._path:
            self._settings.append((query("plan_path").encode(), [search_path]))
            self._path = search_path

    async def describe(self, sql: str) -> Described:
        """Prepare ``sql``: Postgres's verdict on syntax, names and types."""
        self._find_names(self._client_path)
        settings, self._settings = self._settings, []
        result = await describe(self._connection, sql, settings)
        return Described(
            tuple((result.fname(i) or b"").decode() for i in range(result.nfields)),
            tuple(result.param_type(i) for i in range(result.nparams)),
        )

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        """A savepoint: what is done in it, and what fails in it, leaves the transaction as it was."""
        path, settings = self._path, list(self._settings)
        try:
            async with self._connection.transaction(force_rollback=True):
                yield
        finally:
            self._path, self._settings = path, settings

    async def _as_reader(self, name: str, sql: str, params: Sequence[str | None]) -> list[Any]:
        """The rows of a query of ours that has Postgres read ``sql``, a client's, in ``realtime.read_as_reader()``."""
        self._find_names(self._client_path)
        try:
            async with self._pipeline():
                cursor = await self._connection.execute(query(name).encode(), {"sql": sql, "params": list(params)})
            return await cursor.fetchall()
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise writes(error) from error

    async def _rows(self, name: str, values: Mapping[str, object]) -> list[Any]:
        """The rows of a query of ours, which finds nothing by name that others could have made."""
        [rows] = await self._run_queries((name, values))
        return rows

    async def _run_queries(self, *queries: CatalogQuery) -> list[list[Any]]:
        """As :meth:`_rows`, of several queries in one round trip: none of them needs the answer of another."""
        if not queries:
            return []
        self._find_names(OWN_NAMES)
        async with self._pipeline():
            cursors = [await self._connection.execute(query(name).encode(), values) for name, values in queries]
        return [await cursor.fetchall() for cursor in cursors]

    async def _run(self, sql: str, params: Sequence[str | None]) -> PGresult:
        """Run a text of a client's, which finds names as the reader does."""
        self._find_names(self._client_path)
        cursor = psycopg.AsyncRawCursor(self._connection)
        async with self._pipeline():  # takes the extended protocol, also without values
            await cursor.execute(sql.encode(), list(params) or None, prepare=False)
        assert cursor.pgresult is not None
        return cursor.pgresult

    @asynccontextmanager
    async def _pipeline(self) -> AsyncIterator[None]:
        """One round trip for the settings that wait and what is executed inside."""
        async with self._connection.pipeline():
            await self._send_settings()
            yield

    async def _send_settings(self) -> None:
        """Send the settings that wait, in a pipeline."""
        settings, self._settings = self._settings, []
        for sql, values in settings:
            await psycopg.AsyncRawCursor(self._connection).execute(sql, list(values) or None, prepare=False)
