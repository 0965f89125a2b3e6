"""Group commit of small writes: statements of many callers become one transaction, so one flush, and one step in the stream.

The first goes at once; those that come while it is under way share the next. If a transaction fails, each of its
statements is run again alone, so only the caller of the faulty one gets the error.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import psycopg
from psycopg.rows import DictRow

from engine.channels.core.messages.model import UnavailableError
from engine.channels.db.locked_queries import LockedQueries
from engine.postgres.statements.named_queries import query

__all__ = ["WriteBatcher"]

T = TypeVar("T")
Rows = list[dict[str, Any]]
Connection = psycopg.AsyncConnection[DictRow]

_MAX_STATEMENTS: Final = 256  # statements per transaction


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

    @property
    def order(self) -> tuple[str, str]:
        """Two nodes that touch the same rows do so in the same order."""
        return str(self.parameters.get("channel", "")), str(self.parameters.get("connection", ""))


class WriteBatcher:
    """One transaction at a time. It holds locks on many rows, so it never waits long for one: a transaction of others
    that takes them in another order must not become the victim of a deadlock.
    """

    def __init__(self, runner: Runner, locked: LockedQueries) -> None:
        self._runner = runner
        self._locked = locked
        self._waiting: list[_Write] = []
        self._task: asyncio.Task[None] | None = None

    async def rows(self, name: str, **parameters: object) -> Rows:
        """Run a named query. Returns its rows when they are committed; raises what it raises when run by itself.

        Raises ``UnavailableError`` at once for a query that has just met a locked table.
        """
        self._locked.check(name)
        write = _Write(name, parameters, asyncio.get_running_loop().create_future())
        self._waiting.append(write)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await write.done

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MAX_STATEMENTS], self._waiting[_MAX_STATEMENTS:]
                await self._commit([write for write in batch if not write.done.done()])
        finally:
            self._task = None

    async def _commit(self, batch: list[_Write]) -> None:
        results: list[Rows] | None = None
        if len(batch) > 1:
            batch.sort(key=lambda write: write.order)
            with contextlib.suppress(psycopg.Error, UnavailableError):  # whose fault it was is found below
                results = await self._runner.attempt(partial(_write, batch))
        if results is None:
            for write in batch:
                await self._alone(write)
            return
        self._locked.passed({write.name for write in batch})
        for write, rows in zip(batch, results, strict=True):
            if not write.done.done():
                write.done.set_result(rows)

    async def _alone(self, write: _Write) -> None:
        try:
            rows = await self._runner.rows(write.name, **write.parameters)
        except Exception as error:  # noqa: BLE001 - the caller's, whatever it is
            if not write.done.done():
                write.done.set_exception(error)
        else:
            if not write.done.done():
                write.done.set_result(rows)


async def _write(batch: list[_Write], connection: Connection) -> list[Rows] | None:
    """The rows of each; None if a lock was not to be had at once."""
    try:
        async with connection.pipeline(), connection.transaction():
            await connection.execute(query("engine_limit_lock_wait").encode())
            cursors = [await connection.execute(query(write.name).encode(), write.parameters) for write in batch]
    except psycopg.errors.LockNotAvailable:
        return None
    return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]
