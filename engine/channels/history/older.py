"""Pages of a channel's past for its subscribers: the messages before a position, as far as a subscriber wants them.

A page is read in steps: a subscriber's filter may let only few messages pass, so a step that brings too few is followed by a
larger one, from where it ended, up to a bound. Clients that ask for the same at the same time share the reads
(:mod:`engine.channels.history.shared_pasts`).

Invariant: the pages of a subscriber, each asked for with the ``before`` of the last one, have every message that it wants
and that has not expired, each once. Whatever is before a position that the stream has passed is either in a later snapshot
or among the unrecorded messages, so between two steps no earlier message appears.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.model import OlderMessages, Position, UnavailableError, position_text
from engine.channels.core.settings import ChannelSettings
from engine.channels.core.state_machine import ChannelCore
from engine.channels.history.reader import HistoryPage, HistoryReader
from engine.channels.history.recovery import Recovery
from engine.channels.history.shared_pasts import SharedPage, SharedPasts, judge
from engine.postgres.errors import AWAY, in_words

__all__ = ["MAX_PAGE", "OlderPages"]

MAX_PAGE: Final = 1 << 20
"""Bytes of JSON that a page has at most, unless its only message has more. A client with channels may have 4 MiB waiting."""

_MAX_EXAMINED: Final = 10_000  # messages looked at for one page
_READS: Final = 2  # at once, fewer than the connections: those who subscribe come first


class OlderPages:
    """See the module. A page has at most ``max_history`` messages, and ``max_history_bytes`` of payload are read for it."""

    def __init__(self, core: ChannelCore, recovery: Recovery, reader: HistoryReader, settings: ChannelSettings) -> None:
        self._core = core
        self._recovery = recovery
        self._reader = reader
        self._settings = settings
        self._pasts = SharedPasts(core.unrecorded, _READS)

    async def read(self, subscription: Subscription, before: Position | None, limit: int) -> OlderMessages:
        """The last ``limit`` messages before a position (None: up to the stream's) that ``subscription`` wants; fewer if
        they have more than :data:`MAX_PAGE`, or if it does not want most of those that are examined. Raises
        ``UnavailableError``.
        """
        await self._recovery.reach(before)
        while True:
            await self._recovery.loaded()
            generation = self._recovery.generation
            page = _Page(subscription, min(limit, self._settings.max_history))
            try:
                if await self._fill(page, before, generation):
                    return page.result()
            except AWAY as error:
                raise UnavailableError(in_words(error)) from error

    async def _fill(self, page: _Page, before: Position | None, generation: int) -> bool:
        """Read until ``page`` is done. False: the stream was interrupted meanwhile."""
        channel, user = page.subscription.channel, page.subscription.member.counted_as
        count, examined, size = page.limit + 1, 0, 0
        while True:
            asked = generation, before, count
            read = partial(self._last, channel, count, before)
            async with self._pasts.read(channel, asked, read, user) as past:
                await judge(past.events, [page.subscription])
                if generation != self._recovery.generation:
                    return False
                cut = past.page.more or len(past.events) >= count
                events = self._contiguous(past, before, cut=cut)
            page.add(events, last=not cut)
            examined += len(events)
            size += sum(len(event.row.payload) for event in events)
            if page.done:
                return True
            before = Position(*events[0].key)
            page.before = position_text(before)
            if page.full or examined >= _MAX_EXAMINED or size >= self._settings.max_history_bytes:
                return True
            count = min(count * 8, _MAX_EXAMINED - examined)

    async def _last(self, channel: str, count: int, before: Position | None) -> HistoryPage:
        now = Position(self._core.position)
        return await self._reader.last(channel, count, now if before is None else min(before, now), MAX_PAGE)

    def _contiguous(self, past: SharedPage, before: Position | None, *, cut: bool) -> list[MessageEvent]:
        """The messages before the position. ``cut``: there are earlier ones than those read; unrecorded messages from before
        that would leave a hole.
        """
        events = past.up_to(self._core.position, self._core.unrecorded)
        first = past.events[0].key if cut else (0, 0)
        return [event for event in events if event.key >= first and (before is None or event.key < before)]


class _Page:
    """What was found for a subscriber. ``before``: where the next page begins; None: at the beginning of what is kept."""

    def __init__(self, subscription: Subscription, limit: int) -> None:
        self.subscription = subscription
        self.limit = limit
        self.before: str | None = None
        self.done = False
        self._found: list[MessageEvent] = []  # the latest first
        self._size = 0

    @property
    def full(self) -> bool:
        """Whether it has as many messages as were asked for."""
        return len(self._found) >= self.limit

    def add(self, events: list[MessageEvent], *, last: bool) -> None:
        """Take what is wanted of ``events``, from their end on. ``last``: there are none before them."""
        for event in reversed(events):
            if not self.subscription.wants(event):
                continue
            size = len(event.json)
            if self.full or (self._found and self._size + size > MAX_PAGE):
                self.before, self.done = self._found[-1].position, True
                return
            self._found.append(event)
            self._size += size
        self.before, self.done = None, last

    def result(self) -> OlderMessages:
        """The page."""
        return OlderMessages(self._found[::-1], self.before)
