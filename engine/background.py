"""The background tasks of a service: one lifetime, reported failures, and a signal that the service has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from engine.tasks import end

__all__ = ["Background", "BackgroundService"]

_log = structlog.get_logger(__name__)


class Background:
    """Tasks that end with the service called ``name``.

    ``failure`` is the exception of the first task that failed. It is raised in tasks that wait with :meth:`wait_changed`,
    and passed to the callbacks of :meth:`on_failure`.
    """

    def __init__(self, name: str) -> None:
        self.failure: BaseException | None = None
        self._name = name
        self._callbacks: list[Callable[[BaseException], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers: list[asyncio.Future[None]] = []

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def on_failure(self, callback: Callable[[BaseException], None]) -> None:
        """Call ``callback`` with the exception of the first task that fails."""
        self._callbacks.append(callback)

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        await end(self._tasks)

    def changed(self) -> None:
        """The service has changed: wake the tasks that wait with :meth:`wait_changed`."""
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    async def wait_changed(self) -> None:
        """Wait for :meth:`changed`. Raises ``failure`` if a task has failed."""
        if self.failure is not None:
            raise self.failure
        watcher: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append(watcher)
        await watcher

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (failure := task.exception()) is None:
            return
        _log.error("task_failed", service=self._name, exc_info=failure)
        if self.failure is None:
            self.failure = failure
            for callback in self._callbacks:
                callback(failure)
        self.changed()


class BackgroundService:
    """A service whose work is done by background tasks and ends with the first one that fails."""

    def __init__(self, name: str) -> None:
        self._background = Background(name)

    @property
    def failure(self) -> BaseException | None:
        """The exception that ended the service; None while it runs."""
        return self._background.failure

    def on_failure(self, callback: Callable[[BaseException], None]) -> None:
        """Call ``callback`` if an exception ends the service; it does no further work then."""
        self._background.on_failure(callback)
