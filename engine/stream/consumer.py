"""The stream driver: takes the events of the change feed, one after the other, and gives each to every consumer.

The live queries and the channels are consumers; neither knows of the other. For each transaction the driver

1. takes ``apply_lock``;
2. lets each consumer process it, in the order in which they were added;
3. adds it to the transaction tail, and releases the lock;
4. confirms the slot up to what neither the tail nor a consumer holds back.

So whatever holds the lock sees all consumers before the transaction or after it, and a position that was reached was reached
by all of them. The feed is not asked for another event meanwhile: a slow consumer holds back the walsender.

A discontinuity is passed on between two transactions. What waits for a position goes on then, because the position may be
one of a history that was lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from engine.background import Background
from engine.lsn import Lsn
from engine.postgres.snapshot_reader import Reader
from engine.stream.change_feed import ChangeFeed
from engine.stream.interfaces import StreamConsumer
from engine.stream.tail import TransactionTail
from engine.stream.trimmer import Trimmer
from engine.transaction import Discontinuity, Progress, Transaction

__all__ = ["StreamDriver"]

log = structlog.get_logger(__name__)

_YIELD_INTERVAL = 0.005  # seconds of work between two chances for other tasks


class StreamDriver:
    """See the module. One per process, all calls in its event loop.

    Args:
        feed: the events.
        reader: takes the snapshots that let the tail release transactions; its connections are renewed after a reconnect.
        trim_interval: seconds between two such snapshots.

    ``tail``: what a snapshot might not show yet; a consumer that reads under a snapshot joins it to the stream with this.
    ``apply_lock``: held while a transaction is being applied.
    """

    def __init__(self, feed: ChangeFeed, reader: Reader, trim_interval: float = 1.0) -> None:
        self.tail = TransactionTail()
        self.apply_lock = asyncio.Lock()
        self._feed = feed
        self._background = Background("stream")
        self._trimmer = Trimmer(self.tail, reader, trim_interval, self.confirm)
        self._consumers: list[StreamConsumer] = []
        self._origin = feed.received
        self._passed: Lsn = 0
        self._position: Lsn = 0
        self._discontinuities = 0
        feed.on_reconnect(reader.renew)

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to consume the feed. The reader is open, and every consumer ready for the first transaction."""
        self._background.spawn(self._consume())
        self._background.spawn(self._trimmer.run())

    async def stop(self) -> None:
        """Consume nothing more. Stop the driver before its consumers."""
        await self._background.stop()

    @property
    def failure(self) -> BaseException | None:
        """What ended the driver by itself, if anything has."""
        return self._background.failure

    def on_failure(self, tell: Callable[[BaseException], None]) -> None:
        """Call ``tell`` if something ends the driver by itself: nothing follows the stream any more then."""
        self._background.on_failure(tell)

    # -- positions -------------------------------------------------------------------------------------------------

    @property
    def position(self) -> Lsn:
        """The commit LSN of the last transaction that every consumer has applied; before the first one, where the stream
        stood. It never goes back.
        """
        return self._position or self._passed or self._origin

    @property
    def passed(self) -> Lsn:
        """Every commit before this position has been applied; 0 before the first event."""
        return self._passed

    async def changed(self) -> None:
        """Wait until the stream has got on or has had a discontinuity. Raises what ended the driver, if anything has."""
        await self._background.next_move()

    async def reached(self, position: Lsn) -> None:
        """Wait until every commit before ``position`` has been applied, or until the stream has a discontinuity with missing
        transactions: the consumers know of it by then, everything is read again, and the position may be one of a history
        that was lost.

        Raises what ended the driver, if anything has.
        """
        discontinuities = self._discontinuities
        while self._passed < position and self._discontinuities == discontinuities:
            await self._background.next_move()

    def confirm(self) -> None:
        """Confirm what neither the tail nor a consumer needs any more."""
        position = self.tail.confirmable
        for consumer in self._consumers:
            held = consumer.confirmable
            if held is not None:
                position = min(position, held)
        self._feed.confirm(position)

    # -- consumers -------------------------------------------------------------------------------------------------

    def add_consumer(self, consumer: StreamConsumer) -> Lsn:
        """Give every transaction from now on to ``consumer``, after those that were added before.

        Returns the position from which on it sees every commit. What came before and is in the tail it has to take from
        there.
        """
        self._consumers.append(consumer)
        return self._passed or self._feed.confirmed

    # -- the feed, for consumers with connections of their own -------------------------------------------------------

    def saw(self, position: Lsn, timeline: int) -> None:
        """A consumer has read a snapshot; see :meth:`engine.feed.feed.Feed.saw`."""
        self._feed.saw(position, timeline)

    def on_reconnect(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` when the server was reached again; see :meth:`engine.feed.feed.Feed.on_reconnect`."""
        self._feed.on_reconnect(tell)

    # -- the loop --------------------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        began = time.monotonic()
        async for event in self._feed:
            if isinstance(event, Transaction):
                await self._apply(event)
            elif isinstance(event, Progress):
                self._pass(event.position)
            elif isinstance(event, Discontinuity):
                self._interrupt(event)
            if time.monotonic() - began > _YIELD_INTERVAL:
                await asyncio.sleep(0)
                began = time.monotonic()

    async def _apply(self, transaction: Transaction) -> None:
        # Taken before the first change, also by a small transaction: what waits for the lock hands over before it or after
        # it, never in its middle.
        async with self.apply_lock:
            for consumer in self._consumers:
                for _ in consumer.process(transaction):
                    await asyncio.sleep(0)
            self.tail.append(transaction)
            self._position = max(self._position, transaction.position)
        self._trimmer.look()
        self._pass(transaction.end)

    def _interrupt(self, event: Discontinuity) -> None:
        log.warning("everything is read again", reason=event.reason)
        self.tail.distrust()
        if event.other_history:
            self.tail.forget()
        position = self._feed.confirmed if event.missing else self.position
        for consumer in self._consumers:
            consumer.discontinuity(event, position)
        if event.missing:
            self._discontinuities += 1
            self._passed = self._feed.confirmed  # another history may begin below what the last one had reached
            self._background.moved()

    def _pass(self, position: Lsn) -> None:
        self._passed = max(self._passed, position)
        self.tail.advance(position)
        self.confirm()
        self._background.moved()
