"""Group commit of small writes: statements of many callers become one transaction, so one flush, and one step in the stream.
Those of one query become one statement where it has a bulk form (:mod:`engine.channels.db.bulk_statements`).

The first goes at once; those that come while it is under way share the next. While many come, those in no haste
(``_GATHERED``) wait for others for some milliseconds (:mod:`engine.channels.db.commit_pace`). If a transaction fails, each
of its statements is run again alone, so only the caller of the faulty one gets the error.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import psycopg
from psycopg.rows import DictRow

from engine.channels.core.messages.model import UnavailableError
from engine.channels.db.bulk_statements import BULK, BulkStatement
from engine.channels.db.commit_pace import CommitPace
from engine.channels.db.locked_queries import LockedQueries
from engine.postgres.statements.named_queries import query

__all__ = ["WriteBatcher"]

T = TypeVar("T")
Rows = list[dict[str, Any]]
Connection = psycopg.AsyncConnection[DictRow]

_MAX_STATEMENTS: Final = 256  # statements per transaction
_GATHERED: Final = frozenset(("engine_connect", "engine_is_limited", "engine_drop", "engine_close_connection"))
"""What comes with each connection, and may be some milliseconds later. Presence is seen by others at once."""


class Runner(Protocol):
    """What is needed of :class:`engine.channels.db.store.Store`."""

    async def attempt(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do ``work`` with a connection."""
        ...

    async def rows(self, name: str, **parameters: object) -> Rows:
        """Run one named query in a transaction of its own."""
        ...


@dataclass(slots=True, eq=False)
class _Write:
    name: str
    parameters: dict[str, object]
    done: asyncio.Future[Rows]
    rows: Rows | None = None  # once it is committed with others

    @property
    def order(self) -> tuple[str, str]:
        """Two nodes that touch the same rows do so in the same order."""
        return str(self.parameters.get("channel", "")), str(self.parameters.get("connection", ""))


class WriteBatcher:
    """One transaction at a time. It holds locks on many rows, so it never waits long for one: a transaction of others
    that takes them in another order must not become the victim of a deadlock.
    """

    def __init__(self, runner: Runner, locked: LockedQueries, pace: CommitPace | None = None) -> None:
        self._runner = runner
        self._locked = locked
        self._waiting: list[_Write] = []
        self._pace = pace or CommitPace()
        self._haste = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def rows(self, name: str, **parameters: object) -> Rows:
        """Run a named query. Returns its rows when they are committed; raises what it raises when run by itself."""
        return await self.begin(name, parameters)

    def begin(self, name: str, parameters: dict[str, object]) -> asyncio.Future[Rows]:
        """The same, as a future; a query whose future is cancelled before its turn is not run.

        Raises ``UnavailableError`` at once for a query that has just met a locked table.
        """
        self._locked.check(name)
        write = _Write(name, parameters, asyncio.get_running_loop().create_future())
        self._waiting.append(write)
        if name not in _GATHERED or len(self._waiting) >= _MAX_STATEMENTS:
            self._haste.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return write.done

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                batch, self._waiting = self._waiting[:_MAX_STATEMENTS], self._waiting[_MAX_STATEMENTS:]
                await self._commit([write for write in batch if not write.done.done()])
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Wait for more, if commits come fast and none of these has to be soon."""
        seconds = self._pace.wait(asyncio.get_running_loop().time())
        if seconds > 0 and not self._haste.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._haste.wait()
        self._haste.clear()
        self._pace.begin(asyncio.get_running_loop().time())

    async def _commit(self, batch: list[_Write]) -> None:
        if len(batch) > 1:
            batch.sort(key=lambda write: write.order)
            with contextlib.suppress(psycopg.Error, UnavailableError):  # whose fault it was is found below
                await self._runner.attempt(partial(_write, batch))
        for write in batch:
            if write.rows is None:
                await self._alone(write)
            elif not write.done.done():
                write.done.set_result(write.rows)
        self._locked.passed({write.name for write in batch if write.rows is not None})

    async def _alone(self, write: _Write) -> None:
        try:
            rows = await self._runner.rows(write.name, **write.parameters)
        except Exception as error:  # noqa: BLE001 - the caller's, whatever it is
            if not write.done.done():
                write.done.set_exception(error)
        else:
            if not write.done.done():
                write.done.set_result(rows)


async def _write(batch: list[_Write], connection: Connection) -> None:
    """Give each its rows, which it has not got if a lock was not to be had at once."""
    done: list[tuple[list[_Write], BulkStatement | None, psycopg.AsyncCursor[DictRow]]] = []
    try:
        async with connection.pipeline(), connection.transaction():
            await connection.execute(query("engine_limit_lock_wait").encode())
            for together, bulk in _statements(batch):
                name, parameters = together[0].name, together[0].parameters
                if bulk is not None:
                    name, parameters = bulk.name, bulk.parameters([write.parameters for write in together])
                done.append((together, bulk, await connection.execute(query(name).encode(), parameters)))
    except psycopg.errors.LockNotAvailable:
        return
    for together, bulk, cursor in done:
        rows = await cursor.fetchall() if cursor.description else []
        each = [rows] if bulk is None else bulk.results([write.parameters for write in together], rows)
        for write, its in zip(together, each, strict=True):
            write.rows = its


def _statements(batch: list[_Write]) -> Iterator[tuple[list[_Write], BulkStatement | None]]:
    """What becomes one statement each, in the order of the first write of each. A query with a bulk form moves forward by
    that: no write of a batch may need another one's, as the callers of both wait.
    """
    groups: dict[str, list[_Write]] = {}
    for number, write in enumerate(batch):
        groups.setdefault(write.name if write.name in BULK else f"{number}", []).append(write)
    for group in groups.values():
        yield group, BULK[group[0].name] if len(group) > 1 else None
