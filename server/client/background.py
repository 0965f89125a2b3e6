"""Tasks that outlast the connection that started them; the server waits for them when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from engine.errors import RealtimeError

__all__ = ["Background"]

_log = structlog.get_logger("realtime.background")
_Result = TypeVar("_Result")


class Background:
    """Keeps tasks alive; a failure that is not awaited is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Start ``work``. Tasks begin in the order in which they were spawned."""
        task = asyncio.create_task(work)
        self.follow(task)
        return task

    def follow(self, work: asyncio.Future[Any]) -> None:
        """As ``spawn``, for what is under way."""
        self._tasks.add(work)
        work.add_done_callback(self._done)

    def keep(self, work: asyncio.Future[_Result]) -> None:
        """Wait for ``work``, too, when the server stops. Its failure is its owner's to handle."""
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)

    async def drain(self, timeout: float) -> None:
        """Wait for the running tasks; cancel those that have not ended after ``timeout`` seconds."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (failure := task.exception()) is None:
            return
        if isinstance(failure, RealtimeError):  # such as an unreachable database; callers get it too
            _log.warning("background_task_refused", error=str(failure))
        else:
            _log.error("background_task_failed", exc_info=failure)
