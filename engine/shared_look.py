"""A look at something that is asked for often and costs the same however many ask: one at a time, for all who asked before
it began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from engine.tasks import end

__all__ = ["SharedLook"]

T = TypeVar("T")

_TIMEOUT: Final = 1.0  # seconds after which a look is not waited for: its connection alone may be dead


class SharedLook(Generic[T]):
    """Calls of it give what ``look`` gives, or raise what it raises. Invariant: what a call gets was looked at after the
    call, so nothing that the caller knew of is missing in it.

    One look is under way and one waits for it, whatever the number of calls; more only if looks take longer than a second.
    """

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        self._look = look
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None
        self._tasks: set[asyncio.Task[T]] = set()

    async def __call__(self) -> T:
        """The result of a look that begins after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
            self._tasks.add(self._next)
            self._next.add_done_callback(self._done)
        return await asyncio.shield(self._next)

    async def close(self) -> None:
        """End the looks. Calls that wait are cancelled."""
        await end(self._tasks)

    async def _after(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait({before}, timeout=_TIMEOUT)
        self._running, self._next = self._next, None
        return await self._look()

    def _done(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # for those who wait, who may have gone
