"""Waits until the stream has brought a transaction, or everything up to a position, to all consumers.

A client names a transaction as ``realtime.position()`` does in it, ``xid:763``: its commit has no position yet, and may be
written in any order with others. So the database is asked whether it has ended. From then on, a position behind every commit
is behind that one, too. Transactions in progress are asked for again, all of them at once, in growing intervals.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Final

import psycopg

from engine.channels.core.messages.model import UnavailableError, parse_position
from engine.channels.db.store import Store
from engine.errors import ErrorCode, InvalidQueryError, RealtimeError
from engine.lsn import Lsn
from engine.stream.driver import StreamDriver

__all__ = ["CommitWaits", "RolledBackError"]

_XID: Final = re.compile(r"xid:([1-9][0-9]{0,18})", re.ASCII)
_FIRST_PAUSE: Final = 0.02  # seconds
_LONGEST_PAUSE: Final = 0.5
_RUNNING: Final = "in progress"


class RolledBackError(RealtimeError):
    """The transaction that a client waits for was rolled back: nothing of it will come."""

    code = ErrorCode.NOT_FOUND


class CommitWaits:
    """See the module. ``spawn`` runs the task that asks again."""

    def __init__(
        self,
        store: Store,
        stream: StreamDriver,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
    ) -> None:
        self._store = store
        self._stream = stream
        self._spawn = spawn
        self._running: dict[str, list[asyncio.Future[str | None]]] = {}
        self._pause = _FIRST_PAUSE
        self._asking = False

    async def passed(self, position: str | None) -> Lsn:
        """Wait until every consumer has applied what ``position`` names: ``xid:763``, the position of a message or a change,
        or any LSN; None: all that is committed by now. Returns the position of the stream.

        Raises ``InvalidQueryError`` if it is no position of this database, ``RolledBackError``, and ``UnavailableError`` if
        the database cannot be asked.
        """
        if position is None:
            await self._stream.reached(await self._store.committed())
        elif (xid := _XID.fullmatch(position)) is not None:
            if await self._end(xid[1]) == "aborted":
                raise RolledBackError(f"the transaction {xid[1]} was rolled back")
            await self._stream.reached(await self._store.committed())
        else:
            await self._reached(position)
        return self._stream.position

    async def _reached(self, position: str) -> None:
        try:
            lsn = parse_position(position).lsn
        except ValueError as wrong:
            raise InvalidQueryError(f"{position!r} is no position") from wrong
        if self._stream.passed <= lsn:
            committed = await self._store.committed()
            if committed < lsn:
                raise InvalidQueryError(f"the database has not reached the position {position!r}")
            await self._stream.reached(min(lsn + 1, committed))

    async def _end(self, xid: str) -> str | None:
        """How the transaction has ended; None: that is not known any more. Waits for the end."""
        try:
            [status] = (await self._statuses([xid])).values()
        except psycopg.errors.InvalidParameterValue as future:
            raise InvalidQueryError(f"the database has no transaction {xid}") from future
        if status != _RUNNING:
            return status
        ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._running.setdefault(xid, []).append(ended)
        self._pause = _FIRST_PAUSE
        if not self._asking:
            self._asking = True
            self._spawn(self._ask())
        try:
            return await ended
        finally:
            if waiting := self._running.get(xid):
                waiting.remove(ended)
                if not waiting:
                    del self._running[xid]

    async def _ask(self) -> None:
        try:
            while self._running:
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)
                try:
                    statuses = await self._statuses(list(self._running))
                except (UnavailableError, psycopg.Error) as error:
                    self._fail(
                        UnavailableError(f"the database cannot be asked whether a transaction has ended: {error}")
                    )
                    continue
                for xid, status in statuses.items():
                    if status != _RUNNING:
                        for ended in self._running.pop(xid, ()):
                            _resolve(ended, status)
        finally:
            self._asking = False

    def _fail(self, error: UnavailableError) -> None:
        running, self._running = self._running, {}
        for waiting in running.values():
            for ended in waiting:
                if not ended.done():
                    ended.set_exception(error)

    async def _statuses(self, xids: list[str]) -> dict[str, str | None]:
        rows = await self._store.rows("engine_transaction_status", xids=xids)
        return {row["xid"]: row["status"] for row in rows}


def _resolve(ended: asyncio.Future[str | None], status: str | None) -> None:
    if not ended.done():
        ended.set_result(status)
