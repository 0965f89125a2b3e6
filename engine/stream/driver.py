"""The stream driver: takes the events of the change feed in order and delivers each to every consumer.

Theory of operation
-------------------
The live queries and the channels are consumers, independent of each other. One task reads the feed. For each transaction it

1. acquires ``apply_lock``;
2. lets each consumer process the transaction, in the order in which the consumers were added;
3. appends the transaction to the transaction tail, and releases the lock;
4. confirms the slot up to the first position that the tail or a consumer still needs.

A task that holds the lock sees all consumers before the transaction or all of them after it, and ``passed`` is a position
that every consumer has reached. No event is requested from the feed meanwhile: a slow consumer holds back the walsender.
Several transactions that have waited are taken through these steps together (:mod:`engine.stream.gathering`).

A ``Progress`` event only advances ``passed``. A ``Discontinuity`` is delivered between two transactions, and every result is
read again. Earlier snapshots no longer remove tail entries; if the server has another history, the tail is emptied. If
transactions are missing, tasks that wait for a position continue, because the position may belong to a history that was
lost, and ``passed`` restarts at the new slot's position, which can be lower. ``position`` never goes back.

An exception in this task ends the driver: ``failure`` is set, and waiting tasks raise it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Set

import structlog

from engine.background import BackgroundService
from engine.errors import RealtimeError
from engine.lsn import Lsn
from engine.metrics.stages import Stages
from engine.postgres.snapshot_reader import Reader
from engine.stream.change_feed import ChangeFeed
from engine.stream.consumer import StreamConsumer
from engine.stream.gathering import Gathering
from engine.stream.tail import TransactionTail
from engine.stream.trimmer import Trimmer
from engine.transaction import Discontinuity, Progress, Transaction

__all__ = ["RecorderTakenError", "StreamDriver"]

_log = structlog.get_logger(__name__)

_GATHERING = Gathering()
_YIELD_INTERVAL = 0.005  # seconds of work between two yields to other tasks


class RecorderTakenError(RealtimeError):
    """Another consumer records the commits of this slot already: a fault of the program that made both."""


class StreamDriver(BackgroundService):
    """The driver, one per process. All calls are made in its event loop.

    Args:
        feed: the events.
        reader: takes the snapshots that let the tail release transactions; its connections are renewed after a reconnect.
        trim_interval: seconds between two such snapshots.
        stages: observes when transactions arrive; None: they are not observed.
        gathering: when several transactions are applied together.

    ``tail``: the transactions that a snapshot might not show; consumers use it to join a snapshot to the stream.
    ``apply_lock``: held while a transaction is being applied.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        reader: Reader,
        trim_interval: float = 1.0,
        stages: Stages | None = None,
        gathering: Gathering = _GATHERING,
    ) -> None:
        self._stages = stages
        self._gathering = gathering
        self.tail = TransactionTail()
        self.apply_lock = asyncio.Lock()
        self.interest = feed.interest
        """The tables that consumers look at; see :meth:`follow`."""
        self._followed = 0
        self._feed = feed
        super().__init__("stream")
        self._trimmer = Trimmer(self.tail, reader, trim_interval, self.confirm)
        self._consumers: list[StreamConsumer] = []
        self._late: list[Callable[[Transaction], None]] = []
        self._origin = feed.received
        self._passed: Lsn = 0
        self._position: Lsn = 0
        self._discontinuities = 0
        self.interruptions = 0
        """How often all results were read again."""
        self.behind = False
        """True while other tasks have their turn although transactions wait: there are too many to apply at once."""
        self._recorder = ""
        self._reported: Callable[[Lsn], None] = lambda position: None
        feed.on_reconnect(reader.renew)

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to consume the feed. The reader must be open, and every consumer ready for the first transaction."""
        self._background.spawn(self._consume())
        self._background.spawn(self._trimmer.run())

    async def stop(self) -> None:
        """Stop consuming the feed. Stop the driver before its consumers."""
        await self._background.stop()

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
        """Wait until the stream has advanced or was discontinuous. Raises ``failure`` if the driver has failed."""
        await self._background.wait_changed()

    async def reached(self, position: Lsn) -> None:
        """Wait until every commit before ``position`` has been applied, or until a discontinuity with missing transactions
        has been delivered to the consumers: the position may belong to a history that was lost.

        Raises ``failure`` if the driver has failed.
        """
        discontinuities = self._discontinuities
        if self._passed < position:
            self._feed.request_progress()
        while self._passed < position and self._discontinuities == discontinuities:
            await self._background.wait_changed()

    async def follow(self, relations: Set[int]) -> None:
        """Wait until a snapshot that is read from now on can be joined to the stream for these relations, which ``interest``
        holds. At once with a feed that brings everything. Raises ``failure`` if the driver has failed.
        """
        while not self.follows(relations):
            await self._background.wait_changed()

    def follows(self, relations: Set[int]) -> bool:
        """Whether :meth:`follow` would return at once."""
        return self.interest.follows(relations, self._followed)

    def confirm(self) -> None:
        """Confirm the slot up to the first position that the tail or a consumer still needs.

        The feed keeps the position (:mod:`engine.feed.positions`) and sends it with its next status update.
        """
        position = self.tail.confirmable
        for consumer in self._consumers:
            held = consumer.confirmable
            if held is not None:
                position = min(position, held)
        self._feed.confirm(position)

    # -- consumers -------------------------------------------------------------------------------------------------

    def add_consumer(self, consumer: StreamConsumer, late: Callable[[Transaction], None] | None = None) -> Lsn:
        """Deliver every later transaction to ``consumer``, after the consumers that were added before it. ``late`` takes
        those that come behind others which committed after them (:attr:`Transaction.late`); they are in the tail, too.

        Returns the position from which it sees every commit. Earlier transactions are in the tail, where the consumer has to
        read them.
        """
        self._consumers.append(consumer)
        self._late.extend([] if late is None else [late])
        return self._passed or self._feed.confirmed

    def claim_recording(self, recorder: str, reported: Callable[[Lsn], None]) -> Callable[[], None]:
        """Make the caller the one commit recorder of this stream. ``recorder``: its name, for the error of the next claim;
        ``reported``: called with ``Progress.recorded``, in the order of the stream.

        A slot is not confirmed past a message that has not been recorded. Two recorders would write each commit twice, and
        each would release what the other still has to write. So the call that confirms the slot is given to one of them
        only, and is the return value. Raises ``RecorderTakenError`` for a second claim.
        """
        if self._recorder:
            raise RecorderTakenError(
                f"{recorder} cannot record the commits of this slot: {self._recorder} records them"
            )
        self._recorder, self._reported = recorder, reported
        return self.confirm

    @property
    def leads_recording(self) -> bool:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        return self._feed.leads_recording

    @property
    def reports_recorded(self) -> bool:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        return self._feed.reports_recorded

    def request_recording(self) -> None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        self._feed.request_recording()

    def commit_of(self, xid: int) -> Lsn | None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        return self._feed.commit_of(xid)

    # -- the feed, for consumers with connections of their own -------------------------------------------------------

    def saw(self, position: Lsn, timeline: int) -> None:
        """A consumer has read a snapshot; see :meth:`engine.feed.feed.Feed.saw`."""
        self._feed.saw(position, timeline)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after each reconnect; see :meth:`engine.feed.feed.Feed.on_reconnect`."""
        self._feed.on_reconnect(callback)

    # -- the loop --------------------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        began = time.monotonic()
        async for event in self._feed:
            if isinstance(event, Transaction):
                if event.late:
                    self.tail.insert(event)
                    for take in self._late:
                        take(event)
                elif self._stages is not None and self._stages.traced is not None:
                    await self._apply([event])  # a trace is of one transaction
                else:
                    await self._apply(self._gathering.gather(event, self._feed))
            elif isinstance(event, Progress):
                self._followed = max(self._followed, event.followed)
                self._pass(event.position)
                if event.recorded:
                    self._reported(event.recorded)
            elif isinstance(event, Discontinuity):
                self._interrupt(event)
            if time.monotonic() - began > _YIELD_INTERVAL:
                self.behind = True
                await asyncio.sleep(0)
                self.behind = False
                began = time.monotonic()

    async def _apply(self, transactions: list[Transaction]) -> None:
        stages = self._stages
        if stages is not None:
            for transaction in transactions:
                if transaction.received_at:
                    stages.received(transaction.commit_time, transaction.received_at)
        # Acquired before the first change: a hand-over that waits for the lock happens before a transaction or after it.
        async with self.apply_lock:
            began = time.monotonic()
            for consumer in self._consumers:
                for must in consumer.process(*transactions):
                    if must or time.monotonic() - began > _YIELD_INTERVAL:
                        await asyncio.sleep(0)
                        began = time.monotonic()
            for transaction in transactions:
                self.tail.append(transaction)
                self._position = max(self._position, transaction.position)
        for transaction in transactions:
            if stages is not None:
                stages.applied(transaction)
            transaction.annotation, transaction.published = None, ()
        self._trimmer.look()
        self._pass(transactions[-1].end)

    def _interrupt(self, event: Discontinuity) -> None:
        _log.warning("rereading_all", reason=event.reason)
        self.interruptions += 1
        self.tail.distrust()
        if event.other_history:
            self.tail.forget()
        position = self._feed.confirmed if event.missing else self.position
        for consumer in self._consumers:
            consumer.discontinuity(event, position)
        if event.missing:
            self._discontinuities += 1
            self._passed = self._feed.confirmed  # another history may begin below what the last one had reached
            self._background.changed()

    def _pass(self, position: Lsn) -> None:
        self._passed = max(self._passed, position)
        self.tail.advance(position)
        self.confirm()
        self._background.changed()
