"""Channels that are being opened, of all connections: so many at once, and the others wait without a task of their own.

A task that waits takes several kilobytes, five times what an open subscription keeps, and after a restart all clients
subscribe at once. Connections take turns, so one that asks for many channels does not keep the others waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final

__all__ = ["Joins"]

_AT_ONCE: Final = 2048

Start = Callable[[], asyncio.Task[None]]


class Joins:
    """``places``: how many are opened at once."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, places: int = _AT_ONCE) -> None:
        self._free = places
        self._waiting: dict[Hashable, list[tuple[asyncio.Future[None], Start]]] = {}  # ordered: whose turn is next

    def begin(self, owner: Hashable, start: Start) -> asyncio.Future[None]:
        """Call ``start``, at once or when it is the turn of ``owner``. The result is done with the task that it makes; if it
        is cancelled before, ``start`` is not called.
        """
        if self._free > 0:
            return self._run(start)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, []).append((future, start))
        return future

    def _run(self, start: Start) -> asyncio.Task[None]:
        self._free -= 1
        task = start()
        task.add_done_callback(self._ended)
        return task

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._free += 1
        while self._free > 0 and self._waiting:
            owner, line = next(iter(self._waiting.items()))
            del self._waiting[owner]
            future, start = line.pop(0)
            if line:
                self._waiting[owner] = line
            if not future.cancelled():
                self._run(start).add_done_callback(partial(_resolve, future))


def _resolve(future: asyncio.Future[None], _: asyncio.Task[None]) -> None:
    if not future.done():
        future.set_result(None)
