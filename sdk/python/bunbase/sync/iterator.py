"""Messages and snapshots for a loop of synchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from bunbase.client.realtime import Realtime
from bunbase.protocol.errors import RealtimeError
from bunbase.sync.loop_thread import LoopThread

__all__ = ["SyncIterator"]

T = TypeVar("T")


class SyncIterator(Generic[T]):
    """Made by ``SyncChannel.messages`` and ``SyncQuery.snapshots``.

    It ends after ``timeout`` seconds without anything new; another loop over it goes on where that one ended. It is closed
    with ``with``, by ``close``, or when the program drops it.

    Raises:
        RealtimeError: the channel or query has ended, or the connection has failed for good.
    """

    def __init__(
        self,
        thread: LoopThread,
        realtime: Realtime,
        source: AsyncIterator[T],
        close: Callable[[], Awaitable[None]],
        timeout: float | None,
    ) -> None:
        self._thread = thread
        self._realtime = realtime
        self._source = source
        self._close = close
        self._timeout = timeout
        self._closed = False

    def __repr__(self) -> str:
        closed = ", closed" if self._closed or self._thread.closed else ""
        return f"<{type(self).__name__} of {self._source!r}{closed}>"

    def close(self) -> None:
        """Collect no more; of a live query: unsubscribe. Loops over it end, in other threads, too."""
        self._closed = True
        if not self._thread.closed:
            self._thread.run(_awaited(self._close))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._closed or self._thread.closed:
            raise StopIteration
        try:
            found = self._thread.run(self._next())
        except RealtimeError:
            if self._closed or self._thread.closed:
                raise StopIteration from None
            raise
        if not found:
            raise StopIteration
        return found[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed:
            self._thread.post(self._close)

    async def _next(self) -> tuple[()] | tuple[T]:
        """The next one, or none."""
        waiting = asyncio.ensure_future(_one(self._source))
        failed = asyncio.get_running_loop().create_future()

        def look(_: object = None) -> None:
            if self._realtime.state in ("needs-auth", "failed") and not failed.done():
                failed.set_result(None)

        self._realtime.on("status", look)
        try:
            await asyncio.sleep(0)  # what is there already comes first
            look()
            await asyncio.wait({waiting, failed}, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            if failed.done() and self._realtime._reason is not None:
                raise self._realtime._reason
            return ()
        finally:
            self._realtime.off("status", look)
            waiting.cancel()  # which loses nothing: what comes stays with its source


async def _one(source: AsyncIterator[T]) -> tuple[()] | tuple[T]:
    try:
        return (await anext(source),)
    except StopAsyncIteration:
        return ()


async def _awaited(function: Callable[[], Awaitable[None]]) -> None:
    await function()
