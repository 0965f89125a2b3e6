"""Reads rows together with the snapshot that saw them: the only place where live queries touch the database.

One ``REPEATABLE READ`` transaction, sent as one pipeline (one network round trip): the snapshot, then the query under it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg import pq

from engine.connecting import connection_pool
from engine.errors import QueryRejected
from engine.live.snapshot import Snapshot
from engine.lsn import Lsn, parse_lsn
from engine.query.model import Statement
from engine.session_settings import READS_ANYWAY
from engine.sql import query
from engine.types import Value

__all__ = ["ReadResult", "Reader", "ResultTooLarge"]


class ResultTooLarge(QueryRejected):
    """A query has more rows than a live query may hold."""

    code = "RT_008"


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Rows as text, the type oids of their columns, and the snapshot that saw them."""

    snapshot: Snapshot
    rows: list[tuple[Value, ...]]
    types: tuple[int, ...]


class Reader:
    """A small pool of connections with the canonical session settings.

    Args:
        dsn: where to read.
        size: connections at most; reads beyond that wait their turn.
        timeout_ms: ``statement_timeout`` of a read.
        saw: called with the position of each snapshot before anybody can make use of it.
    """

    def __init__(
        self, dsn: str, *, size: int = 8, timeout_ms: int = 30_000, saw: Callable[[Lsn], None] = lambda _: None
    ) -> None:
        self._saw = saw
        self._pool = connection_pool(
            dsn,
            "realtime reader",
            READS_ANYWAY | {"statement_timeout": str(timeout_ms), "lock_timeout": str(timeout_ms)},
            size=size,
            timeout=timeout_ms / 1000,
        )

    async def open(self) -> None:
        """Open the pool; connections are made as they are needed."""
        await self._pool.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection in autocommit mode, with the canonical session settings."""
        async with self._pool.connection() as connection:
            yield connection

    async def snapshot(self, *, whole: bool = False) -> Snapshot:
        """What a query that starts now would see.

        A snapshot ends at the transaction that ended last: it does not name those that began later and still run. With
        ``whole`` a transaction is ended first, so that it names all that ran before this call.
        """
        async with self._pool.connection() as connection:
            if whole:
                await connection.execute(query("end_a_transaction"))
            cursor = await connection.execute(query("current_snapshot"))
            row = await cursor.fetchone()
            assert row is not None
            return self._parse(row)

    async def flushed(self) -> Lsn:
        """Up to where the WAL is flushed: the stream will get there without any further commit."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query("flushed"))
            row = await cursor.fetchone()
            assert row is not None
            return parse_lsn(row[0])

    async def read(self, statement: Statement, most: int | None = None) -> ReadResult:
        """Run ``statement`` and return its rows with the snapshot they were read under.

        Raises ``psycopg.Error`` for what Postgres refuses, ``ResultTooLarge`` for more than ``most`` rows.
        """
        async with (
            self._pool.connection() as connection,
            connection.cursor() as first,
            psycopg.AsyncRawCursor(connection) as second,
        ):
            async with connection.pipeline():
                await connection.execute(query("begin_read"))
                if statement.as_reader:
                    await connection.execute(query("become_reader"))
                await first.execute(query("current_snapshot"))
                await second.execute(statement.sql.encode(), list(statement.params) or None, prepare=False)
                await connection.execute(query("end_read"))
            # Leaving the pipeline has brought in every result.
            head = await first.fetchone()
            result = second.pgresult
            assert head is not None
            assert result is not None
            types = tuple(result.ftype(column) for column in range(result.nfields))
            return ReadResult(self._parse(head), _rows(result, most), types)

    def _parse(self, row: tuple[str, str]) -> Snapshot:
        snapshot = Snapshot.parse(row[0], parse_lsn(row[1]))
        self._saw(snapshot.position)
        return snapshot


def _rows(result: pq.abc.PGresult, most: int | None) -> list[tuple[Value, ...]]:
    if most is not None and result.ntuples > most:
        raise ResultTooLarge(f"the query has more than {most} rows; add a limit")
    columns = range(result.nfields)
    value = result.get_value
    return [tuple([value(row, column) for column in columns]) for row in range(result.ntuples)]
