"""Notices that the server has done what was asked over a connection, and its answer does not arrive.

A statement may take long for good reasons: it reads much, waits for a lock, or its commit waits for a synchronous standby.
So after some seconds the server is asked, over another connection, whether the backend still works on it. If it is idle or
gone, and nothing has arrived since, the connection is dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from weakref import WeakSet

import psycopg
import structlog
from psycopg.rows import tuple_row
from psycopg_pool import PoolTimeout

from engine.postgres.connections.opening import PooledConnection
from engine.postgres.statements.named_queries import query

__all__ = ["Lifeline"]

_LOOK_EVERY: Final = 1.0  # seconds
_LONG: Final = 3.0  # seconds without an answer after which the server is asked

_log = structlog.get_logger(__name__)

_Watched = PooledConnection[Any]


class Lifeline:
    """The connections that are watched; each leads to a backend of its own, not to a pooler.

    Args:
        another: lends a connection over which the server can be asked.
    """

    def __init__(self, another: Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]]) -> None:
        self._another = another
        self._watched: WeakSet[_Watched] = WeakSet()

    def watch(self, connection: _Watched) -> None:
        """Watch ``connection`` until it is closed, or :meth:`forget`."""
        self._watched.add(connection)

    def forget(self, connection: _Watched) -> None:
        """Watch ``connection`` no more."""
        self._watched.discard(connection)

    async def run(self) -> None:
        """End connections that are found dead, for ever."""
        suspects: dict[_Watched, float] = {}
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            idle = await self._idle()
            for connection, asked in idle.items():
                if suspects.get(connection) == asked:  # nothing has arrived since the last look
                    connection.hang_up("the server has answered, and nothing arrived")
            suspects = idle

    async def _idle(self) -> dict[_Watched, float]:
        """The connections whose backends do not work on what is awaited, with the time of that question."""
        late = asyncio.get_running_loop().time() - _LONG
        waiting = {c: c.asked for c in self._watched if c.asked is not None and c.asked < late and not c.closed}
        if not waiting:
            return {}
        try:
            async with self._another() as connection, connection.cursor(row_factory=tuple_row) as cursor:
                pids = [waiting_one.info.backend_pid for waiting_one in waiting]
                await cursor.execute(query("idle_backends").encode(), {"pids": pids})
                idle = {pid for (pid,) in await cursor.fetchall()}
        except (psycopg.Error, PoolTimeout) as error:
            _log.info("silence_not_explained", error=str(error).strip())
            return {}
        return {c: at for c, at in waiting.items() if c.asked == at and not c.closed and c.info.backend_pid in idle}
