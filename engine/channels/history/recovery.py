"""From the tables to the stream: how a subscription gets its history, and how channels recover from a discontinuity.

A read's rows and the unrecorded messages together are every message up to the stream's position. So between two transactions
the history is: rows with a position not later than the stream's, plus the unrecorded messages, sorted, each once. Everything
later comes by the stream.

Theory of operation. Channels are *synced* (rooms, presence and routes are those of the stream's position) or *recovering*:

- synced -> recovering: the stream reports a discontinuity, also at its start. ``interrupt`` marks all subscriptions as
  waiting, so that they queue events, and remembers from which position they miss messages.
- recovering: ``recover`` checks the epoch (another one ends all subscriptions, and the stream is followed up to the present
  first), gives transactions that no node has recorded a position (``missed.py``), reads rooms, presence, routes, rules and
  removals of users again, ends subscriptions that are not allowed any more, and sends each channel's waiting subscriptions
  what they miss. What fails is repeated. New subscriptions wait. Messages without history that come meanwhile are held
  (:mod:`engine.channels.core.delivery.held_messages`); those that the stream lacks are lost, and subscribers are informed.
- recovering -> recovering: another discontinuity. ``_generation`` stops the older recovery; the new one begins at
  the older one's position.
- recovering -> synced: all channels have caught up.

In another history the stream may go back. The copy of a slot that a promoted standby has can be older than the slot that it
is a copy of was when it was dropped, and brings again transactions that have got other positions than the stream's meanwhile
(``missed.py``). What is recorded counts, since clients have it. So no subscription begins before the stream has passed all
that may have been recorded, and a read prefers the recorded position (:mod:`engine.channels.history.shared_pasts`).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from heapq import merge
from operator import attrgetter
from typing import Any

import structlog

from engine.channels.core.delivery.events import EndEvent, MessageEvent, gap_event
from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.model import Position, UnavailableError, just_before, position_text
from engine.channels.core.settings import ChannelSettings
from engine.channels.core.state_machine import ChannelCore
from engine.channels.db.refusals import WAITS, in_time
from engine.channels.db.store import Store
from engine.channels.history.epochs import Epochs
from engine.channels.history.missed import MissedMessages
from engine.channels.history.reader import HistoryPage, HistoryReader, ResumeCheck
from engine.channels.history.shared_pasts import SharedPage, SharedPasts, delivered, judge
from engine.lsn import Lsn
from engine.postgres.errors import AWAY, in_words
from engine.stream.driver import StreamDriver

__all__ = ["Recovery"]

_log = structlog.get_logger(__name__)

_TABLES = (
    "engine_presence_rows",
    "engine_rooms",
    "engine_defaults",
    "engine_routes",
    "engine_rules",
    "engine_connection_rows",
    "engine_kicks",
)
_MAX_EXAMINED = 10_000  # messages looked at in search of those that a subscriber wants
_READS = 4  # pasts read at once: each may be as large as max_replay_bytes


class Recovery:
    """See the module. ``interrupt`` and ``recover`` are called at a discontinuity of the stream."""

    def __init__(
        self,
        core: ChannelCore,
        stream: StreamDriver,
        store: Store,
        replay: HistoryReader,
        epochs: Epochs,
        settings: ChannelSettings,
        missed: MissedMessages,
    ) -> None:
        self._core = core
        self._epochs = epochs
        self._missed = missed
        self._stream = stream
        self._store = store
        self._replay = replay
        self._settings = settings
        self._synced = asyncio.Event()
        self._generation = 0
        self._repeats = False  # the stream may bring again what has been recorded
        self._lacks = False  # messages that no table has may be missing in the stream
        self._pasts = SharedPasts(core.unrecorded, _READS)
        self._resume: Lsn | None = None

    @property
    def generation(self) -> int:
        """Another number after each discontinuity of the stream: what was read before may lack messages."""
        return self._generation

    async def loaded(self) -> None:
        """Wait until rooms and presence are those of the stream's position. Raises ``UnavailableError`` if that takes long:
        after a change of history it takes a relay that leads.
        """
        async with in_time(WAITS):
            await self._synced.wait()

    # -- one subscription ------------------------------------------------------------------------------------------

    async def ready(self, since: Position | None, history: int) -> None:
        """Wait for all that a subscription needs before its past is read. Raises ``UnavailableError``."""
        if since is not None or min(history, self._settings.max_history):
            await self.reach(since)
        await self.loaded()

    async def begin(self, subscription: Subscription, since: Position | None, history: int) -> None:
        """Give ``subscription`` its past and let it take part from then on, after :meth:`ready`. Raises
        ``UnavailableError``.
        """
        history = min(history, self._settings.max_history)
        if since is None and not history:
            await self.loaded()
            return self._add(subscription, Position(self._core.position))
        while not await self._began(subscription, since, history):
            pass

    async def _began(self, subscription: Subscription, since: Position | None, history: int) -> bool:
        """As :meth:`begin`; False if the stream was interrupted meanwhile. The past is read once for all who ask at once."""
        await self.loaded()
        generation = self._generation
        try:
            async with AsyncExitStack() as reads:
                past, recovered = await self._read(reads, subscription, since, history)
                if generation != self._generation:
                    return False
                events = past.up_to(self._core.position, self._core.unrecorded)
                last = events[-1].key if events else (0, 0)
                if since is not None and recovered:
                    last = max(last, since)
                    events = events[bisect_right(events, since, key=_key) :]
                else:
                    if past.page.more:  # cut by its size: unrecorded messages from before that would leave a hole
                        events = events[bisect_left(events, past.events[0].key, key=_key) :]
                    if not (history and self._core.rooms.history(subscription.channel)):
                        last = Position(self._core.position)
                    events = [event for event in events[-_MAX_EXAMINED:] if subscription.wants(event)]
                    events = events[-history:] if history else []
                subscription.recovered = None if since is None else recovered
                subscription.since = position_text(self._start(since if recovered else None, events))
                subscription.replay(events)
                if subscription.filters:
                    delivered(events)
                self._add(subscription, last)
                return True
        except AWAY as error:
            raise UnavailableError(in_words(error)) from error

    def _add(self, subscription: Subscription, last: tuple[Lsn, int]) -> None:
        """It has its past up to ``last``, and takes part from here on: of what is read again after a discontinuity it gets
        what is behind. With a past that may be from before the stream's position: where the stream lacks a message and
        nothing has shown it yet, the past may lack it, too. Without one it begins behind all that has that position.
        """
        subscription.last = max(subscription.last, last)
        self._core.hub.add(subscription)

    async def reach(self, since: Position | None) -> None:
        """Wait for the position ``since``, or for all that is committed. Another node may have delivered or acknowledged a
        message that this one has not received yet. Raises ``UnavailableError`` if the stream does not get there in time.
        """
        if since is None or since.lsn > self._core.position:
            flushed = await self._store.flushed()
            async with in_time(WAITS):
                await self._stream.reached(flushed if since is None else min(since.lsn + 1, flushed))

    async def _read(
        self, reads: AsyncExitStack, subscription: Subscription, since: Position | None, history: int
    ) -> tuple[SharedPage, bool]:
        """The past, judged by the subscription's filter, and whether it is everything after ``since``. The past is in use
        until ``reads`` ends.
        """
        channel, generation = subscription.channel, self._generation
        if since is not None:
            past = await reads.enter_async_context(
                self._pasts.read(channel, (generation, since), lambda: self._since(channel, since))
            )
            check = past.page.check
            if check is not None and await self._recoverable(channel, since, subscription.options.epoch, check):
                await judge(past.events, [subscription])
                return past, True
        # Without history a snapshot is needed all the same, for messages that are recorded and released meanwhile.
        count = history
        while True:
            await reads.aclose()
            past = await reads.enter_async_context(
                self._pasts.read(channel, (generation, count), self._last(channel, count))
            )
            await judge(past.events, [subscription])
            wanted = sum(map(subscription.wants, past.events))
            if wanted >= history or len(past.events) < count or count >= _MAX_EXAMINED:
                return past, False
            count = min(count * 8, _MAX_EXAMINED)

    async def _since(self, channel: str, since: Position) -> HistoryPage:
        page = await self._replay.since(channel, since, self._settings.max_replay, self._settings.max_replay_bytes)
        return page if page.more else replace(page, check=await self._replay.check(channel, since))

    def _last(self, channel: str, count: int) -> Callable[[], Awaitable[HistoryPage]]:
        return lambda: self._replay.last(
            channel, count, Position(self._core.position), self._settings.max_history_bytes
        )

    async def _recoverable(self, channel: str, since: Position, epoch: str | None, check: ResumeCheck) -> bool:
        if not await self._epochs.covers(epoch, since.lsn):
            return False
        if check.epoch != self._epochs.current:
            raise UnavailableError("the database was restored or another one took over a moment ago; subscribe again")
        if since.lsn > max(check.flushed, self._core.position):
            return False  # of another cluster, or of a future that a restore took back
        if (check.removed is not None and since < check.removed) or not self._core.rooms.history(channel):
            return False  # what came since has expired, or is in no table
        if since.seq == Position(0).seq:
            return True  # where a subscription began, not a message
        if epoch is not None and self._core.rooms.history(channel):
            return True  # of this history, so it may as well be a message of another channel
        return check.known or since == check.removed or any(each.lsn == since.lsn for each in self._core.unrecorded)

    def _start(self, recovered: Position | None, events: list[MessageEvent]) -> Position:
        """The position after which everything follows: the one ``recovered``, or where the history begins."""
        if recovered is not None:
            return recovered
        return just_before(events[0].key) if events else Position(self._core.position)

    # -- discontinuities of the stream -----------------------------------------------------------------------------

    def interrupt(self, position: Lsn, whole: Lsn | None = None) -> Lsn:
        """The stream continues at ``position``; ``whole``: see :class:`engine.transaction.Discontinuity`. Returns the
        position from which subscribers have to catch up.
        """
        self._synced.clear()
        self._core.unrecorded.distrust()
        self._generation += 1
        known = self._core.proven(whole)
        self._resume = known if self._resume is None else min(self._resume, known)
        self._lacks = self._lacks or position - 1 > known
        # What is in the tables and not in the stream gets a position just before that.
        self._core.position = max(self._core.position, position - 1)
        self._core.hub.interrupt()
        return self._resume

    async def recover(self, position: Lsn, resume: Lsn) -> None:
        """Recover as the module describes; subscribers catch up from ``resume``. Returns early if the stream is interrupted
        meanwhile: the next recovery completes it.
        """
        generation = self._generation

        async def attempt() -> None:
            if generation != self._generation:
                return  # a cancellation can get lost in a failing query
            if (parted := await self._epochs.refresh()) is not None:
                self._remove((await self._store.tables("engine_kicks"))[1][0])
                self._start_over(position, parted)
            self._repeats = self._repeats or self._core.again.in_doubt
            if self._repeats:
                async with in_time(WAITS):
                    await self._stream.reached(await self._store.flushed())
                self._core.reach(self._stream.passed - 1)  # also without a transaction there: recorded positions may be
            await self._missed.record(position)
            await self._load()
            for _ in self._core.hub.review(self._core.hub.channels):
                await asyncio.sleep(0)
            for channel in self._core.hub.channels:
                await self._catch_up(channel, Position(resume), position)
            if generation == self._generation:
                self._resume, self._repeats, self._lacks = None, False, False
                self._core.hub.held.clear()  # of channels without subscribers by now
                self._synced.set()  # not before: a new subscriber would get what earlier ones still miss

        await self._store.insistence.done("the recovery of channels", attempt)

    def _start_over(self, position: Lsn, parted: Lsn) -> None:
        """Another history begins behind ``parted``: what was delivered may never have been, and positions begin anew."""
        _log.warning("epoch_changed", epoch=self._epochs.current)
        self._core.unrecorded.keep(parted)
        self._core.parted(parted, position - 1)
        self._repeats = True
        error = UnavailableError("the database was restored or another one took over; subscribe again")
        for subscription in list(self._core.hub):
            subscription.finish(EndEvent(error, subscription.channel))
        self._core.hub.held.clear()

    async def _load(self) -> None:
        ticket = self._stream.tail.begin_read()
        snapshot = None
        try:
            watched = self._core.watched
            queries = (*_TABLES, *(f"engine_{table}" for table in watched))
            snapshot, found = await self._store.tables(*queries)
            (*tables, connections, kicks), rows = found[: len(_TABLES)], found[len(_TABLES) :]
            for kept, each in zip(watched.values(), rows, strict=True):
                kept.load(each)
            self._core.census.load(connections)
            self._core.load(snapshot, tables, self._stream.tail.unseen_by(snapshot))
            self._remove(kicks)
        finally:
            self._stream.tail.end_read(ticket, snapshot)

    def _remove(self, kicks: Iterable[Mapping[str, Any]]) -> None:
        """End the subscriptions that the stream has not ended, before others may come back in the place of these."""
        for kick in self._core.kicks.load(kicks):
            for subscription in self._core.hub.kick(kick):
                subscription.cancel()

    async def _catch_up(self, channel: str, since: Position, begun: Lsn) -> None:
        """Deliver to the subscribers of ``channel`` what they miss after ``since``, and inform them if that may not be all.
        ``begun``: the stream has everything from there on.
        """
        generation, hub = self._generation, self._core.hub
        ticket = self._core.unrecorded.begin_read()
        page: HistoryPage | None = None
        try:
            page = await self._replay.since(channel, since, 1 << 30)
            past = SharedPage(channel, page)
            await judge(past.events, hub.of(channel))
            if generation != self._generation:
                return  # another recovery is under way
            held, lost = hub.held.take(channel)
            events = merge(past.up_to(self._core.position, self._core.unrecorded), held, key=_key)
            missed = [event for event in events if event.key > since]
            had = max((each.last[0] for each in hub.of(channel)), default=0)  # some of it behind a hole, perhaps
            gap = gap_event(channel, self._core.position if lost else max(begun - 1, had), self._epochs.current)
            informed = lost or (self._lacks and not self._core.rooms.history(channel))
            for subscription in hub.of(channel):
                if subscription.waiting:
                    subscription.waiting = False
                    try:
                        if informed:
                            subscription.event(gap)
                        subscription.replay(missed)
                    except Exception as problem:  # noqa: BLE001 - of one subscriber's filter or connection
                        subscription.give_up(problem)
            delivered(missed)
        finally:
            self._core.unrecorded.end_read(ticket, page.snapshot if page is not None else None)


_key = attrgetter("key")
