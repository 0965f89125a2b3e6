"""Reads rows together with the snapshot that saw them: the only place where live queries touch the database.

One ``REPEATABLE READ`` transaction, sent as one pipeline (one network round trip): the snapshot, then the query under it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Hashable, Sequence, Set
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import psycopg

from engine.errors import QueryRejectedError
from engine.lsn import Lsn, parse_lsn
from engine.metrics.pools import PoolUsage
from engine.postgres.connections.pool import Pool
from engine.postgres.connections.session_settings import READS_ANYWAY
from engine.postgres.errors import OtherServerError, TableLockedError
from engine.postgres.fair_lane import ReadPlace
from engine.postgres.lock_holders import BLOCKS_READS, holder_in_words, holders_of
from engine.postgres.read_lanes import Lanes
from engine.postgres.reading import (
    Marks,
    ReadBounds,
    is_of,
    is_other_table,
    rows_for_each,
    rows_of,
    run_for_each,
    run_statement,
)
from engine.postgres.snapshot import ReadResult, Snapshot
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.statement import Statement
from engine.work_share import TARGET, WorkShare
from engine.work_turns import User, WorkTurns

__all__ = ["Reader", "ResultTooLargeError"]

_OWN: Final = 30.0  # seconds that a statement of the service itself may take, such as the one that reads the catalog
_AT_ONCE: Final = 2.0  # seconds: what needs no row is answered sooner, or not at all
_CONNECTED: Final = 5.0  # seconds that making a connection may take, however short the reads are


class ResultTooLargeError(QueryRejectedError):
    """A query has more rows than a live query may hold."""


class Reader:
    """A small pool of connections with the canonical session settings.

    Args:
        dsn: where to read.
        size: connections at most that reads use; those beyond that wait. What the service itself has to know
            (snapshots, the catalog) has one more.
        timeout_ms: how long a read may take. The catalog may take half a minute even if that is less.
        quick_timeout_ms: how long one may take that is not known to be slow; None: as long.
        lock_timeout_ms: how long one waits for a lock; None: as long.
        memory: megabytes that a sort or hash of a read may take (``work_mem``).
        temporary: megabytes of temporary files that a read may write, where the role may limit them
            (``temp_file_limit``); None: as the database has it.
        each: reads of one user at the same time, at most (see :class:`engine.postgres.read_lanes.Lanes`).
        saw: called with position and timeline of each snapshot before it is made use of; it may refuse them by raising.
        silent: called when a connection has died without a word.
        pooled: ``dsn`` is that of a pooler.
        work_share: of the processor, see :class:`engine.work_share.WorkShare`.
    """

    def __init__(  # noqa: PLR0913
        self,
        dsn: str,
        *,
        size: int = 8,
        timeout_ms: int = 30_000,
        quick_timeout_ms: int | None = None,
        lock_timeout_ms: int | None = None,
        memory: int = 16,
        temporary: int | None = None,
        each: int = 2,
        saw: Callable[[Lsn, int], None] = lambda *_: None,
        silent: Callable[[], None] = lambda: None,
        pooled: bool = False,
        work_share: float = TARGET,
    ) -> None:
        self._saw = saw
        self.turns = WorkTurns(WorkShare(work_share))
        """When the event loop works at what was read."""
        self.lanes = Lanes(size, each)
        self.connections = self.lanes.most + 1  # that the pool may have
        self._timeout_ms = timeout_ms
        self._quick_ms = min(quick_timeout_ms or timeout_ms, timeout_ms)
        lock_ms = min(lock_timeout_ms or timeout_ms, timeout_ms)
        self._pool = Pool(
            dsn,
            "realtime reader",
            READS_ANYWAY
            | {
                "row_security": "off",
                "lock_timeout": str(lock_ms),
                "synchronous_commit": "local",
                "work_mem": f"{memory}MB",
            },
            # What a query calls can replace statements that were prepared in its session.
            prepare_threshold=None,
            size=self.connections,
            timeout=max(timeout_ms / 1000, _CONNECTED),
            limit=timeout_ms / 1000,
            configure=None if temporary is None or pooled else partial(_limit_temporary_files, temporary),
            silent=silent,
            pooled=pooled,
        )

    async def open(self) -> None:
        """Open the pool; connections are made as they are needed."""
        await self._pool.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    def renew(self) -> None:
        """The way to the database may be another one: use new connections from now on."""
        self._pool.renew()

    async def replace(self) -> None:
        """As :meth:`renew`, done when this returns: for settings that a session gets at its start."""
        await self._pool.replace()

    @property
    def pool_usage(self) -> PoolUsage:
        """How much of its pool is in use."""
        return self._pool.usage

    @property
    def problem(self) -> str | None:
        """Why rows cannot be read, in words; None if nothing is known."""
        return self._pool.problem

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection in autocommit mode, with the canonical session settings, for the service itself.

        PostgreSQL ends its statements as it ends reads, but where ``statement_timeout`` is raised, up to half a minute.
        """
        async with self._pool.connection(max(_OWN, self._timeout_ms / 1000)) as connection:
            yield connection

    @asynccontextmanager
    async def planning(
        self, tables: Set[int], holders: Collection[Hashable] = ()
    ) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection over which a query of a client on ``tables`` (oids) is checked, once the lane has a place.

        Raises ``TableLockedError`` for ``LockNotAvailable``.
        """
        async with self.lane(tables, slow=False, holders=holders), self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def lane(
        self, tables: Set[int], *, slow: bool, holders: Collection[Hashable] = ()
    ) -> AsyncIterator[ReadPlace]:
        """Wait for a place in a lane to read ``tables``; what is known to be ``slow`` has a lane of its own.

        ``holders``: for whom; the read counts for the one with the fewest. None: for the service itself. Raises
        ``TableLockedError`` for ``LockNotAvailable``.
        """
        async with self.lanes.enter(tables, slow=slow, holders=holders) as place:
            try:
                yield place
            except psycopg.errors.LockNotAvailable as error:
                raise TableLockedError(await self._note_locks(tables, str(error))) from error

    async def _note_locks(self, tables: Set[int], message: str) -> str:
        """Remember which of ``tables`` are locked; returns by whom, in words."""
        async with self._pool.connection() as connection:
            held = await holders_of(connection, tables, BLOCKS_READS)
        self.lanes.lock(row["root"] for row in held)
        return "; ".join(map(holder_in_words, held)) or message.strip()

    async def snapshot(self, *, whole: bool = False) -> Snapshot:
        """What a query that starts now would see.

        A snapshot ends at the transaction that ended last: it does not name those that began later and still run. With
        ``whole`` a transaction is ended first, so that it names all that ran before this call.
        """
        async with self._pool.session(_AT_ONCE) as connection:
            if whole:
                await connection.execute(query("end_a_transaction"))
            cursor = await connection.execute(query("current_snapshot"))
            row = await cursor.fetchone()
            assert row is not None
            return self._parse(row)

    async def flushed(self) -> Lsn:
        """Up to where the WAL is flushed: the stream will get there without any further commit."""
        async with self._pool.connection(_AT_ONCE) as connection:
            cursor = await connection.execute(query("flushed"))
            row = await cursor.fetchone()
            assert row is not None
            return parse_lsn(row[0])

    async def read(
        self,
        statement: Statement,
        most: int | None = None,
        *,
        slow: bool = False,
        limit_ms: int | None = None,
        user: User | None = None,
        place: ReadPlace | None = None,
    ) -> ReadResult:
        """Run ``statement`` and return its rows with the snapshot they were read under.

        ``limit_ms``: milliseconds that it may take, if that is less than what a read may take that is not ``slow``.
        ``user``: in whose turns its rows are taken. ``place``: that the read has in a lane, which is free before that.
        Raises ``psycopg.Error`` for what Postgres refuses, ``ResultTooLargeError`` for more than ``most`` rows.
        """
        most_ms = self._timeout_ms if slow else min(self._quick_ms, limit_ms or self._quick_ms)
        limit = None if most_ms == self._timeout_ms else str(most_ms)
        async with (
            self._pool.session(most_ms / 1000) as connection,
            connection.cursor() as first,
            connection.cursor() as granted,
            connection.cursor() as viewed,
            connection.cursor() as rewritten,
            psycopg.AsyncRawCursor(connection) as evaluated,
            psycopg.AsyncRawCursor(connection) as second,
        ):
            origin = statement.origin
            marks = Marks(statement, connection)
            changed = False
            try:
                async with connection.pipeline():
                    await connection.execute(
                        query("begin_view" if origin is not None and origin.view else "begin_read")
                    )
                    await self._pool.apply_settings(connection)
                    if limit is not None:
                        await connection.execute(query("limit_read"), {"statement": limit})
                    await first.execute(query("current_snapshot"))
                    if origin is not None:
                        await granted.execute(query("granted_columns"), {"table": origin.table})
                    if origin is not None and origin.view:
                        await connection.execute(origin.view.encode())
                        await connection.execute(query("show_view"))
                        await viewed.execute(query("view_columns"))
                        await connection.execute(query("only_read"))
                    await run_statement(connection, second, statement, evaluated)
                    await rewritten.execute(query("rewritten"), {"tables": list(statement.tables)})
                    await connection.execute(query("end_read"))
                    await marks.ask()  # later than what was read
            except psycopg.Error as error:
                if origin is None or not is_other_table(error):
                    raise
                changed = True
            # Leaving the pipeline has brought in every result.
            head = await first.fetchone()
            assert head is not None
            snapshot = self._parse(head)
            if changed:
                return ReadResult(snapshot, [], (), as_meant=False)
            result = second.pgresult
            assert result is not None
            types = tuple(result.ftype(column) for column in range(result.nfields))
            seen = await viewed.fetchall() if origin is not None and origin.view else None
            as_meant = origin is None or is_of(origin, await granted.fetchall(), seen)
            as_meant = as_meant and await marks.are_equal() and await rewritten.fetchone() == (False,)
            facts = await evaluated.fetchone() if statement.role is not None and statement.role.facts else None
        if as_meant and most is not None and result.ntuples > most:
            raise ResultTooLargeError(f"the query has more than {most} rows; add a limit")
        if place is not None:
            place.free()
        rows = (await self.turns.do(rows_of(result), user))[0] if as_meant else []
        return ReadResult(snapshot, rows, types, as_meant, facts and facts[0])

    async def read_for_each(
        self,
        statement: Statement,
        claims: Sequence[str],
        params: Sequence[tuple[str | None, ...]],
        most: int,
        bounds: ReadBounds,
    ) -> Sequence[ReadResult | None]:
        """Run ``statement``, which runs as a served role, with each of ``claims`` and ``params`` in turn, all under one
        snapshot.

        A result is None where it has to be read alone: PostgreSQL refused it, or it has more than ``most`` rows or too many
        bytes. There are fewer results than ``claims`` where time, rows or bytes have reached ``bounds`` before. Raises
        ``psycopg.Error`` for what concerns them all, ``QueryCanceled`` when they take too long together.
        """
        role, origin = statement.role, statement.origin
        assert role is not None
        async with (
            self._pool.session(self._quick_ms / 1000) as connection,
            connection.cursor() as first,
            connection.cursor() as granted,
            connection.cursor() as rewritten,
            connection.cursor() as second,
        ):
            marks = Marks(statement, connection)
            async with connection.pipeline():
                await connection.execute(query("begin_read"))
                await self._pool.apply_settings(connection)
                await connection.execute(query("limit_read"), {"statement": str(bounds.timeout_ms)})
                await first.execute(query("current_snapshot"))
                if origin is not None:
                    await granted.execute(query("granted_columns"), {"table": origin.table})
                await run_for_each(connection, second, statement, claims, params, bounds)
                await rewritten.execute(query("rewritten"), {"tables": list(statement.tables)})
                await connection.execute(query("end_read"))
                await marks.ask()
            head = await first.fetchone()
            assert head is not None
            snapshot = self._parse(head)
            as_meant = origin is None or is_of(origin, await granted.fetchall(), None)
            as_meant = as_meant and await marks.are_equal() and await rewritten.fetchone() == (False,)
            result = second.pgresult
            assert result is not None
            return [
                None
                if rows is None or len(rows) > most
                else ReadResult(snapshot, rows if as_meant else [], (), as_meant)
                for rows in rows_for_each(result)
            ]

    def _parse(self, row: tuple[str, str, str]) -> Snapshot:
        snapshot = Snapshot.parse(row[0], parse_lsn(row[1]))
        try:
            self._saw(snapshot.position, int(row[2], 16))
        except OtherServerError:
            self._pool.renew()
            raise
        return snapshot


async def _limit_temporary_files(megabytes: int, connection: psycopg.AsyncConnection) -> None:
    """Bound them as far as the role may: a superuser, or one with ``GRANT SET ON PARAMETER temp_file_limit`` (15 or later).

    Through a pooler nothing can be set: the role's own setting counts there, as for a role that may not.
    """
    statement = "limit_temporary_files" if connection.info.server_version >= 150000 else "limit_temporary_files_14"
    await connection.execute(query(statement), {"limit": megabytes})
