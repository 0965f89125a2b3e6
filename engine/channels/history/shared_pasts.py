"""Reads of a channel's past, one for all who ask for the same at the same time.

After a restart a thousand clients resume the same channel from the same position within a moment. The first has the past
read; those who ask while it is being read get the same messages, each encoded once.

A read that was begun before a subscriber asked is as good as one of its own, unless the stream was interrupted between: with
the unrecorded messages it is every message up to the stream's position at the moment of use. So none of these may be
released until the last user is done: the ticket of the read is kept until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager

from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.messages.model import Position
from engine.channels.core.unrecorded import UnrecordedMessages
from engine.channels.history.reader import HistoryPage
from engine.lsn import Lsn

__all__ = ["SharedPage", "SharedPasts"]


class SharedPage:
    """A page of a channel's history, and its messages."""

    def __init__(self, channel: str, page: HistoryPage) -> None:
        self.page = page
        self.events = [MessageEvent(row) for row in page.rows]
        self._channel = channel
        self._whole: tuple[Lsn, list[MessageEvent]] | None = None

    def up_to(self, position: Lsn, unrecorded: UnrecordedMessages) -> list[MessageEvent]:
        """Every message of the past, and of ``unrecorded``, up to ``position``, that of the stream: in order, each once."""
        if self._whole is None or self._whole[0] != position:
            events = {event.key: event for event in self.events if event.row.lsn <= position}
            for entry in unrecorded:
                for row in entry.messages:
                    if row.channel == self._channel and (row.lsn, row.seq) not in events:
                        events[row.lsn, row.seq] = MessageEvent(row)
            self._whole = position, [events[key] for key in sorted(events)]
        return self._whole[1]


class _Read:
    """One read: its users, and the ticket that keeps what it may not show."""

    __slots__ = ("task", "ticket", "users")

    def __init__(self, ticket: int, task: asyncio.Task[SharedPage]) -> None:
        self.ticket = ticket
        self.task = task
        self.users = 0


class SharedPasts:
    """See the module. ``at_once``: reads at the same time, each of which may have as many bytes as a past may have."""

    def __init__(self, unrecorded: UnrecordedMessages, at_once: int) -> None:
        self._unrecorded = unrecorded
        self._places = asyncio.Semaphore(at_once)
        self._running: dict[Hashable, _Read] = {}

    @asynccontextmanager
    async def read(
        self, channel: str, asked: tuple[Position | int, ...], read: Callable[[], Awaitable[HistoryPage]]
    ) -> AsyncIterator[SharedPage]:
        """What ``read`` returns, or returns to another one who has ``asked`` the same of ``channel``.

        Inside, the past and the unrecorded messages have no hole. Raises as ``read``.
        """
        key = (channel, asked)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = self._begin(key, channel, read)
        running.users += 1
        past: SharedPage | None = None
        try:
            past = await asyncio.shield(running.task)
            yield past
        finally:
            running.users -= 1
            if not running.users:
                self._end(key, running)

    def _begin(self, key: Hashable, channel: str, read: Callable[[], Awaitable[HistoryPage]]) -> _Read:
        ticket = self._unrecorded.begin_read()

        async def run() -> SharedPage:
            try:
                async with self._places:
                    return SharedPage(channel, await read())
            finally:
                self._running.pop(key, None)  # who comes now has another one begun

        return _Read(ticket, asyncio.create_task(run()))

    def _end(self, key: Hashable, read: _Read) -> None:
        snapshot = None
        if not read.task.done():  # its users have been cancelled
            read.task.cancel()
            if self._running.get(key) is read:
                del self._running[key]
        elif not read.task.cancelled() and read.task.exception() is None:
            snapshot = read.task.result().page.snapshot
        self._unrecorded.end_read(read.ticket, snapshot)
