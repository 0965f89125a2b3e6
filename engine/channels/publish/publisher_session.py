"""The publisher's session in the database: one connection of its own, on which each batch is one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row

from engine.channels.db.store import Store
from engine.channels.publish.batch import Waiting, columns, note
from engine.errors import BunbaseError
from engine.feed.decoders.base import HEARTBEAT_PREFIX
from engine.lsn import Lsn, parse_lsn
from engine.metrics.publishing import PublishMetrics
from engine.postgres.connections.conninfo import CONNECT_TIMEOUT
from engine.postgres.connections.opening import Connection, connect
from engine.postgres.errors import rolled_back
from engine.postgres.statements.arrays import text_array
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.prepared import PreparedStatement
from engine.tasks import end

__all__ = ["RESTORE_EVERY", "AmbiguousError", "Ask", "PublishSession"]

_log = structlog.get_logger(__name__)

Ask = Callable[..., Awaitable[list[DictRow]]]

_LOCK_TIMEOUT: Final = "100ms"  # below any deadlock_timeout: of two that block each other the publisher gives way
RESTORE_EVERY: Final = 1.0
"""Seconds between two restorations of a session in which no trigger of others runs."""

_LOOK_AGAIN: Final = 0.02  # seconds between two looks at whether a backend has ended


class AmbiguousError(BunbaseError):
    """Of several messages a trigger skipped some and gave others another channel or id: which is which is not known."""


class PublishSession:
    """Connects when it is first asked, and again after :meth:`hang_up`.

    What triggers on messages have left in the session is undone behind each batch, before the next statement: while the
    next batch gathers, so that no message waits for it. While no trigger of others is attached, which each batch finds out,
    it is undone every :data:`RESTORE_EVERY` seconds in which something was written: a check or a default of the table can
    call a function of others, too.

    Args:
        dsn: where to write; never a pooler, as the session has to be known.
        store: its pool sees to it that a connection that dies without a word is ended.
        metrics: observes the transactions; None: they are not observed.
    """

    def __init__(self, dsn: str, name: str, store: Store, metrics: PublishMetrics | None = None) -> None:
        self._metrics = metrics
        self.leaves_out = False
        """A trigger leaves messages out: each batch is a transaction that can release their ids."""
        self._dsn = dsn
        self._name = name
        self._store = store
        self._connection: Connection[DictRow] | None = None
        self._publish: PreparedStatement | None = None  # over that connection
        self._flushes = ""  # the statement that sees to it that commits are flushed
        self._is_used = False  # since its session began to be restored
        self._has_to = False  # behind the last batch: triggers of others are attached, or commits are not flushed
        self._restored = 0.0  # when its session began to be restored, by the loop's clock
        self._due: asyncio.TimerHandle | None = None
        self._is_writing = False
        self._restoring: asyncio.Task[None] | None = None
        self._backend: dict[str, object] = {}

    def is_rolled_back(self, error: BaseException) -> bool:
        """Whether nothing of the transaction that raised ``error`` is stored, and the session lives."""
        # An error of the driver about a value that it cannot send comes before anything is sent.
        return isinstance(error, psycopg.DataError) or rolled_back(error, self._connection)

    async def ask(self, name: str, **parameters: object) -> list[DictRow]:
        """Run a named query, which fires no trigger."""
        return await _run(await self._connected(), name, **parameters)

    def restore(self) -> None:
        """Begin to undo what functions of others have left in the session, once for each use; without triggers of others not
        before it is due. The next statement waits for that; a session in which it fails ends, and the next statement has
        another one.
        """
        if self._connection is None or not self._is_used or self._is_writing:
            return
        loop = asyncio.get_running_loop()
        if not self._has_to and (wait := self._restored + RESTORE_EVERY - loop.time()) > 0:
            if self._due is None:
                self._due = loop.call_later(wait, self._restore_due)
            return
        self._cancel_due()
        self._is_used, self._restored = False, loop.time()
        self._restoring = asyncio.create_task(self._restore(self._connection))

    def _cancel_due(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _restore_due(self) -> None:
        self._due = None
        self.restore()

    async def _restore(self, connection: Connection[DictRow]) -> None:
        try:
            await connection.restore(self._flushes)
        except psycopg.Error as error:
            _log.warning("publisher_session_replaced", error=str(error).strip())
            self._connection = None
            await connection.close()

    async def write(self, batch: list[Waiting]) -> list[DictRow]:
        """One transaction. Returns what of ``batch`` is not stored under its channel, id and sender.

        Raises ``AmbiguousError``, and what psycopg raises.
        """
        connection = await self._connected()
        self._is_used = self._is_writing = True
        try:
            return await self._write(connection, batch)
        except BaseException:
            self._has_to = True  # it is not known whether a trigger has run
            raise
        finally:
            self._is_writing = False

    async def _write(self, connection: Connection[DictRow], batch: list[Waiting]) -> list[DictRow]:
        began, self._has_to = time.monotonic(), False
        traces = [trace for waiting in batch if (trace := waiting.publication.trace) is not None]
        for trace in traces:
            trace.sent_at = time.time_ns() // 1000
        stored, passing = [w for w in batch if w.history], [w for w in batch if not w.history]
        missing: list[DictRow] = []
        # One statement is a transaction by itself, without BEGIN and COMMIT to wait for.
        several = self.leaves_out or bool(stored and passing)
        async with connection.transaction() if several else contextlib.nullcontext():
            if stored:
                assert self._publish is not None
                rows = await self._publish.rows({**columns(stored), "whole": "f" if self.leaves_out else "t"})
                missing = [row for row in rows if row["channel"] is not None]
                self._has_to = len(missing) < len(rows)
                await self._release(connection, missing)
            if passing:
                rows = await _run(connection, "engine_emit", notes=text_array(map(note, passing)))
                self._has_to = self._has_to or bool(rows[0]["unflushed"])
        for trace in traces:
            trace.committed_at = time.time_ns() // 1000
        if self._metrics is not None:
            self._metrics.batch(len(batch), time.monotonic() - began)
        return missing

    async def _release(self, connection: Connection[DictRow], missing: list[DictRow]) -> None:
        """Release the ids of messages that a trigger skipped, in the transaction that claimed them. Raises
        ``AmbiguousError`` if others were stored under another channel or id: each is then written by itself.
        """
        fresh = [row for row in missing if row["fresh"]]
        if not fresh or fresh[0]["elsewhere"] >= len(fresh):
            return
        if fresh[0]["elsewhere"]:
            raise AmbiguousError
        await _run(
            connection,
            "engine_release_ids",
            channels=text_array(row["channel"] for row in fresh),
            ids=text_array(row["id"] for row in fresh),
            scopes=text_array(row["scope"] for row in fresh),
        )

    async def begin_anew(self, old: dict[str, object]) -> Lsn:
        """Connect again after a connection was lost. Returns a position behind everything that it may have committed, once
        ``old`` (see :meth:`lose`) has ended.
        """
        await self._connected()
        while old and not (await self.ask("engine_backend_ended", **old))[0]["ended"]:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN)
        return parse_lsn((await self.ask("engine_flush", prefix=HEARTBEAT_PREFIX))[0]["position"])

    async def lose(self) -> dict[str, object]:
        """Hang up, and return what identifies the backend, which may still be at work."""
        old, self._backend = self._backend, {}
        await self.hang_up()
        return old

    async def hang_up(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        restoring, self._restoring = self._restoring, None
        self._cancel_due()
        try:
            if restoring is not None:
                await end([restoring])
        finally:
            if connection is not None:
                await connection.close()

    async def _connected(self) -> Connection[DictRow]:
        self.restore()
        restoring, self._restoring = self._restoring, None
        if restoring is not None:
            await restoring
        if self._connection is None:
            connection = await connect(
                self._dsn,
                self._name,
                {"lock_timeout": _LOCK_TIMEOUT},
                answer_timeout=CONNECT_TIMEOUT,
                autocommit=True,
                row_factory=dict_row,
            )
            try:
                await self._begin(connection)
            except BaseException:
                await connection.close()
                raise
            connection.answer_timeout = None  # a commit may wait for a synchronous standby
            self._store.watch(connection)
            self._connection, self._is_used = connection, False
            self._restored = asyncio.get_running_loop().time()
        return self._connection

    async def _begin(self, connection: Connection[DictRow]) -> None:
        self._flushes = psycopg.AsyncClientCursor(connection).mogrify(
            query("engine_at_least_local"), {"transaction": False}
        )
        await connection.execute(self._flushes.encode())
        self._publish = PreparedStatement(connection, "engine_publish", query("engine_publish"))
        row = await (await connection.execute(query("engine_backend").encode())).fetchone()
        self._backend = dict(row or {})


async def _run(connection: Connection[DictRow], name: str, **parameters: object) -> list[DictRow]:
    cursor = await connection.execute(query(name).encode(), parameters or None)
    return await cursor.fetchall() if cursor.description else []
