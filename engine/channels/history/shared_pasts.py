"""Reads of a channel's past, one for all who ask for the same at the same time.

After a restart a thousand clients resume the same channel from the same position within a moment. The first has the past
read; those who ask while it is being read get the same messages, each encoded once.

Reads are shared out among users (:mod:`engine.postgres.fair_lane`): each may bring as many bytes as a past may have, and a
client may ask for a hundred a second, each from another position. A read waits for a place in the name of each user who
wants it, and is done with the first: so one that waits behind many of its first user is not late for the others.

A read that was begun before a subscriber asked is as good as one of its own, unless the stream was interrupted between: with
the unrecorded messages it is every message up to the stream's position at the moment of use. So none of these may be
released until the last user is done: the ticket of the read is kept until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager

from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.delivery.judging import judge_ahead
from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.decode import MessageRow
from engine.channels.core.messages.model import Position
from engine.channels.core.unrecorded import UnrecordedMessages
from engine.channels.history.reader import HistoryPage
from engine.lsn import Lsn
from engine.postgres.fair_lane import FairLane

__all__ = ["SharedPage", "SharedPasts", "delivered", "judge"]


class SharedPage:
    """A page of a channel's history, and its messages."""

    def __init__(self, channel: str, page: HistoryPage) -> None:
        self.page = page
        self.events = [MessageEvent(row) for row in page.rows]
        self._channel = channel
        self._whole: tuple[Lsn, list[MessageEvent]] | None = None

    def up_to(self, position: Lsn, unrecorded: UnrecordedMessages) -> list[MessageEvent]:
        """Every message of the past, and of ``unrecorded``, up to ``position``, that of the stream: in order, each once.

        One that has a position in the table keeps it, whatever the stream's is: others may have received it there.
        """
        if self._whole is None or self._whole[0] != position:
            events = {event.key: event for event in self.events if event.row.lsn <= position}
            recorded = {_identity(event.row) for event in events.values()}
            for entry in unrecorded:
                for row in entry.messages:
                    if (
                        row.channel == self._channel
                        and (row.lsn, row.seq) not in events
                        and _identity(row) not in recorded
                    ):
                        events[row.lsn, row.seq] = MessageEvent(row)
            self._whole = position, [events[key] for key in sorted(events)]
        return self._whole[1]


class _Read:
    """One read: its users, who waits for a place for it, and the ticket that keeps what it may not show."""

    __slots__ = ("begun", "page", "ticket", "users", "waiting")

    def __init__(self, ticket: int) -> None:
        self.ticket = ticket
        self.page: asyncio.Future[SharedPage] = asyncio.get_running_loop().create_future()
        self.waiting: dict[str | None, asyncio.Task[None]] = {}
        self.begun = False
        self.users = 0

    def resolve(self, found: SharedPage | Exception) -> None:
        """The page was read, or cannot be."""
        if self.page.done():  # its users have been cancelled
            return
        if isinstance(found, Exception):
            self.page.set_exception(found)
        else:
            self.page.set_result(found)


class SharedPasts:
    """See the module. ``at_once``: reads at the same time; half of them of one user, and half of all who read much."""

    def __init__(self, unrecorded: UnrecordedMessages, at_once: int) -> None:
        self._unrecorded = unrecorded
        self._lane = FairLane(at_once, max(1, at_once // 2), spare=at_once // 2)
        self._running: dict[Hashable, _Read] = {}

    @asynccontextmanager
    async def read(
        self,
        channel: str,
        asked: tuple[Position | int | None, ...],
        read: Callable[[], Awaitable[HistoryPage]],
        user: str | None = None,
    ) -> AsyncIterator[SharedPage]:
        """What ``read`` returns, or returns to another one who has ``asked`` the same of ``channel``. ``user``: for whom;
        None: one that is not limited.

        Inside, the past and the unrecorded messages have no hole. Raises as ``read``.
        """
        key = (channel, asked)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = _Read(self._unrecorded.begin_read())
        if not running.begun and user not in running.waiting:
            running.waiting[user] = asyncio.create_task(self._wait(running, key, channel, read, user))
        running.users += 1
        try:
            yield await asyncio.shield(running.page)
        finally:
            running.users -= 1
            if not running.users:
                self._end(key, running)

    async def _wait(
        self,
        running: _Read,
        key: Hashable,
        channel: str,
        read: Callable[[], Awaitable[HistoryPage]],
        user: str | None,
    ) -> None:
        """Read in a place of ``user``, unless it is read in another one's."""
        async with self._lane.place(() if user is None else (user,)):
            if running.begun:
                return
            running.begun = True
            for other, waiting in running.waiting.items():
                if other != user:
                    waiting.cancel()
            try:
                running.resolve(SharedPage(channel, await read()))
            except Exception as error:  # noqa: BLE001 - raised where the page is waited for
                running.resolve(error)
            finally:
                del self._running[key]  # who comes now has another one begun
                if not running.users:
                    self._end(key, running)

    def _end(self, key: Hashable, read: _Read) -> None:
        snapshot = None
        if not read.page.done():  # its users have been cancelled
            if read.begun:
                return  # to cut it off would cost its connection; it is in use until it ends
            read.page.cancel()
            for waiting in read.waiting.values():
                waiting.cancel()
            del self._running[key]
        elif read.page.exception() is None:
            snapshot = read.page.result().page.snapshot
        self._unrecorded.end_read(read.ticket, snapshot)


def _identity(row: MessageRow) -> tuple[str, int]:
    """The primary key of ``realtime.messages``."""
    return row.inserted_at, row.seq


async def judge(events: Sequence[MessageEvent], subscriptions: Sequence[Subscription]) -> None:
    """Have messages of the past judged by the subscribers' filters; the event loop runs meanwhile."""
    if any(subscription.filters for subscription in subscriptions):
        for _ in judge_ahead(events, lambda _: subscriptions, smallest=0):
            await asyncio.sleep(0)


def delivered(events: list[MessageEvent]) -> None:
    """No filter will be asked about them any more, or only late ones."""
    for event in events:
        event.delivered()
