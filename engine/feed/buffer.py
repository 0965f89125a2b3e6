"""The events that wait between socket and consumer, bounded by bytes. One reader, one writer, one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

from engine.feed.decoders.change_log import ChangeLog
from engine.transaction import FeedEvent, Progress, Transaction

__all__ = ["EVENT_OVERHEAD", "EventBuffer", "size_of"]

EVENT_OVERHEAD: Final = 512
"""Bytes that an event takes beside its changes, roughly."""


def size_of(transaction: Transaction) -> int:
    """Bytes of memory that ``transaction`` takes, roughly."""
    changes = transaction.changes
    return EVENT_OVERHEAD + (changes.memory if isinstance(changes, ChangeLog) else 0)


class EventBuffer:
    """Events in order. A Progress takes the place of a Progress before it; an empty buffer accepts an event of any size."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: deque[tuple[FeedEvent, int]] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._error: BaseException | None = None
        self._closed = False

    @property
    def full(self) -> bool:
        """True if nothing should be added now."""
        return not self._drained.is_set()

    @property
    def empty(self) -> bool:
        """True if the consumer has taken everything."""
        return not self._events

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: FeedEvent, size: int) -> None:
        """Append an event that occupies ``size`` bytes of memory."""
        if isinstance(event, Progress) and self._events and isinstance(before := self._events[-1][0], Progress):
            recorded, followed = max(event.recorded, before.recorded), max(event.followed, before.followed)
            self._events[-1] = (Progress(event.position, recorded, followed), size)
            return
        self._events.append((event, size))
        self._bytes += size
        if self._bytes >= self._limit:
            self._drained.clear()
        self._filled.set()

    def close(self, error: BaseException | None = None) -> None:
        """End the events: the consumer gets the buffered ones, then ``error`` or the end."""
        self._closed, self._error = True, error
        self._filled.set()

    async def get(self) -> FeedEvent | None:
        """The next event; None at the end. Raises the ``error`` of :meth:`close`."""
        while not self._events:
            if self._closed:
                if self._error is not None:
                    raise self._error
                return None
            self._filled.clear()
            await self._filled.wait()
        return self._take()

    def get_transaction(self, wanted: Callable[[Transaction], bool]) -> Transaction | None:
        """The next event, if it is here and a ``wanted`` transaction."""
        event = self._events[0][0] if self._events else None
        if isinstance(event, Transaction) and wanted(event):
            self._take()
            return event
        return None

    def _take(self) -> FeedEvent:
        event, size = self._events.popleft()
        self._bytes -= size
        if self._bytes <= self._limit // 2:
            self._drained.set()
        return event

    async def drained(self, timeout: float) -> bool:
        """Wait until there is room again, at most ``timeout`` seconds; returns whether there is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._drained.wait()
        return not self.full
