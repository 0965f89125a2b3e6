"""A thread with an event loop, in which the coroutines of other threads run.

The thread is a daemon, so that a program that forgets to close its client ends all the same; anyio's portal of this kind
waits for its thread when the interpreter ends.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import BunbaseError, RealtimeError

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """Begins with the first ``run``, and ends with ``close``. Any thread but this one may call it."""

    def __init__(self) -> None:
        self.closed = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._background: set[asyncio.Future[None]] = set()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it there. Returns what it returns, and raises what it raises, without the frames of this package.

        A caller that is interrupted cancels it. Raises ``RealtimeError`` (``RT_001``) if the thread ends before.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("called in the thread of the client itself, which would wait for itself for ever")
        with self._lock:
            if self.closed:
                coroutine.close()
                raise _closed()
            future = self._schedule(coroutine)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise _closed() from None
        except BunbaseError as error:
            raise error.with_traceback(None) from None
        finally:
            future.cancel()

    def post(self, function: Callable[[], Awaitable[None]]) -> None:
        """Call it there and do not wait for it, nor take a lock: the garbage collector may call this at any point."""
        if self._thread is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._begin, function)

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run ``last``, cancel all else, and wait until the thread has ended. Without effect a second time."""
        with self._lock:
            if self.closed or self._thread is None:
                self.closed = True
                last.close()
                return
            self.closed = True  # what was scheduled before is begun before the loop stops, and cancelled then
            future = self._schedule(last)
        try:
            future.result()
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _schedule(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if self._thread is None:
            started = threading.Event()
            self._thread = threading.Thread(
                target=lambda: asyncio.run(self._serve(started)), name="bunbase", daemon=True
            )
            self._thread.start()
            started.wait()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        started.set()
        await self._stop.wait()

    def _begin(self, function: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(function())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _closed() -> RealtimeError:
    return RealtimeError(ErrorCode.CONNECTION_FAILED, "the client is closed")
