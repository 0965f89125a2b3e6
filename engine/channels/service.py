"""The channel service: joins the stream, the core and the writers. One per process, all calls in its event loop.

What clients do is written to tables and returns through the stream; clients get events only from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from engine.background import BackgroundService
from engine.channels.commit_waits import CommitWaits
from engine.channels.conflation_timers import ConflationTimers
from engine.channels.core.access_rules import AccessRules
from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.effects import ConnectionInserted, Effect, MessagesDelivered, MessagesRefused
from engine.channels.core.messages.fault_barrier import FaultBarrier
from engine.channels.core.messages.model import (
    Ack,
    Answer,
    ChannelOptions,
    Deliver,
    Member,
    Publication,
    Receiver,
)
from engine.channels.core.settings import ChannelSettings
from engine.channels.core.state_machine import ChannelCore
from engine.channels.core.watched_rows import WatchedRows
from engine.channels.db.refusals import in_time, refusals
from engine.channels.db.schema_watch import SchemaWatch
from engine.channels.db.store import Store
from engine.channels.db.table_locks import TableLocks
from engine.channels.followed_channels import FollowedChannels
from engine.channels.history.epochs import Epochs
from engine.channels.history.missed import MissedMessages
from engine.channels.history.older import OlderPages
from engine.channels.history.reader import HistoryReader
from engine.channels.history.recorder import CommitRecorder
from engine.channels.history.recovery import Recovery
from engine.channels.history.recovery_runs import RecoveryRuns
from engine.channels.history.retention import Retention
from engine.channels.presence.client_lifecycle import ClientLifecycle
from engine.channels.publish.publisher import Publisher
from engine.channels.subscriptions import Subscriptions
from engine.feed.leases import NodeLease
from engine.lsn import Lsn
from engine.metrics.pools import PoolUsage
from engine.metrics.publishing import PublishMetrics
from engine.postgres.connections.pool import LOCK_TIMEOUT
from engine.postgres.snapshot_reader import Reader
from engine.stream.driver import StreamDriver
from engine.transaction import Discontinuity, Transaction

__all__ = ["ChannelSettings", "Channels"]

_log = structlog.get_logger(__name__)

_LAST_RECORDS = 2.0  # seconds that a stop waits for them


class Channels(BackgroundService):
    """Channels, presence and messages of one node.

    Make it before ``stream.start()``, start it after. ``lease``: the node's, on whose row its connections hang.
    ``pooled_dsn``: a pooler before the same database, for all but the publisher, which has to know its session.
    """

    def __init__(
        self,
        dsn: str,
        stream: StreamDriver,
        lease: NodeLease,
        settings: ChannelSettings,
        *,
        pooled_dsn: str | None = None,
        metrics: PublishMetrics | None = None,
    ) -> None:
        super().__init__("channels")
        self.settings = settings
        self._stream = stream
        self._began: Lsn = stream.add_consumer(self, lambda transaction: self.core.late(transaction))
        self._timers = ConflationTimers(lambda channel: self.core.hub.conflation.release(channel))
        self.core = ChannelCore(self._began - 1, settings.node_id, sessions=settings.sessions, timers=self._timers)
        self._failures = FaultBarrier()
        self.core.seed(stream.tail)
        shared, pooled = pooled_dsn or dsn, pooled_dsn is not None
        self._reader = Reader(
            shared,
            size=settings.connections,
            timeout_ms=int(settings.timeout * 1000),
            lock_timeout_ms=int(min(LOCK_TIMEOUT, settings.timeout / 2) * 1000),
            saw=stream.saw,
            pooled=pooled,
        )
        self._locks = TableLocks(self._reader.connection)
        self.store = Store(shared, settings.node_id, settings.connections, settings.timeout, stream.saw, pooled=pooled)
        self._epochs = Epochs(self.store)
        self._schema = SchemaWatch(self.store)
        self.recorder = CommitRecorder(
            self.store, self.core.unrecorded, self._epochs, stream, settings.record_interval, settings.trim_interval
        )
        self._publisher = Publisher(
            dsn,
            settings.node_id,
            self.store,
            self._locks,
            stream.reached,
            self.core.unrecorded.position_of,
            linger=settings.linger,
            batch=settings.batch,
            queue=settings.queue,
            timeout=settings.publish_timeout,
            metrics=metrics,
        )
        history = HistoryReader(self._reader)
        missed = MissedMessages(self.core, stream, self.store, history, self._epochs, self.recorder, settings)
        recovery = Recovery(self.core, stream, self.store, history, self._epochs, settings, missed)
        older = OlderPages(self.core, recovery, history, settings)
        self._connections = ClientLifecycle(
            self.core, self.store, self._background.spawn, stream, lease, settings, self._failures, self._schema
        )
        self._retention = Retention(self.store, settings)
        self._followed = FollowedChannels(stream, self.core, settings.publish_timeout)
        self._subscriptions = Subscriptions(
            self.core, stream, self.store, self._schema, recovery, self._connections, older, self._followed
        )
        self._commits = CommitWaits(self.store, stream, self._background.spawn)
        self._recovery = RecoveryRuns(recovery, self._background.spawn, self._recovered)

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load presence, apply what the stream will not show any more, and begin to write.

        Raises ``UnavailableError`` if the database cannot be reached.
        """
        await self.store.open()
        await self._reader.open()
        for pool in (self.store, self._reader):
            self._stream.on_reconnect(pool.renew)
        self._background.spawn(self._locks.run())
        insistence = self.store.insistence
        await insistence.unlocked("the look at the database's history", self._epochs.refresh)
        prepare = partial(self._retention.prepare, self.core.reader)
        await insistence.unlocked("the removal of connections of an earlier run", prepare)
        await self._recovery.first(self._began)
        self._background.spawn(self.recorder.record())  # not before the routes are known
        self._background.spawn(self.recorder.trim())
        self.recorder.wake()
        # What committed while this node was down may have got its position from others: the table has it, not our stream.
        await self._stream.reached(await self.store.flushed())
        await self.recorder.recorded()
        await self.recorder.release_shown()
        for job in self._publisher.jobs():
            self._background.spawn(job)
        self._background.spawn(self._schema.run())
        self._background.spawn(self._followed.forget())
        self._connections.sweeper.rescan()
        self._background.spawn(self._connections.sweeper.run())
        self._background.spawn(self._retention.run())
        self._background.spawn(self._retention.clear())

    async def stop(self) -> None:
        """Stop everything; subscribers get no event, publishers an error."""
        await self._publisher.close()
        self._timers.close()
        with contextlib.suppress(TimeoutError):  # what subscribers have received is to be known to the other nodes
            async with asyncio.timeout(_LAST_RECORDS):
                await self.recorder.finish()
        await self._background.stop()
        for each in (self._epochs, self._reader, self.store):
            await each.close()

    def status(self) -> Mapping[str, int]:
        """Figures for ``/health``. ``malformed``: rows and logical messages that made no sense;
        ``failures``: what could not be done about one connection."""
        return {
            "channels": len(self.core.hub.channels),
            "subscriptions": len(self.core.hub),
            "messages": self.core.messages,
            "publishing": len(self._publisher),
            "unrecorded": len(self.core.unrecorded.pending),
            "malformed": self.core.reader.faults.count,
            "failures": self._failures.count,
        }

    @property
    def pools(self) -> Mapping[str, PoolUsage]:
        """How much of its pools is in use."""
        return {"channels": self.store.pool_usage, "history": self._reader.pool_usage}

    @property
    def problems(self) -> list[str]:
        """Problems that an operator has to solve, in words."""
        parts = self._schema, self._locks, self._publisher, self.recorder, self.store, self._reader
        found = [part.problem for part in parts]
        return [each for each in found if each is not None]

    @property
    def epoch(self) -> str:
        """What positions belong to. Another one after a restore; see :mod:`engine.channels.history.epochs`."""
        return self._epochs.current

    async def recorded(self) -> None:
        """Wait until everything that is committed now can be read by ``realtime.history()``. Raises ``UnavailableError``."""
        async with in_time():
            await self._stream.reached(committed := await self.store.committed())
            await self.recorder.recorded(0 if self._followed.all else committed)

    async def caught_up(self) -> None:
        """As ``passed(None)``, for at most some seconds. Raises ``UnavailableError``."""
        async with in_time():
            await self._commits.passed(None)

    async def passed(self, position: str | None) -> Lsn:
        """Wait for a transaction or a position; see :meth:`engine.channels.commit_waits.CommitWaits.passed`."""
        return await self._commits.passed(position)

    # -- connections and presence ----------------------------------------------------------------------------------

    def connect(self, member: Member, deliver: Deliver) -> asyncio.Future[None]:
        """Make the connection known. ``deliver`` gets what is sent to it without a subscription, and its end."""
        return self._connections.connect(member, deliver)

    async def disconnect(self, connection_id: str, *, clean: bool = False) -> None:
        """The connection has ended. Its presence may return within the channel's timeout, unless it was ``clean``."""
        await self._connections.disconnect(connection_id, clean)

    def on_connection(self, call: Callable[[ConnectionInserted], None]) -> None:
        """Call ``call`` with each connection, of any node, whose row the stream shows. See ``core.census``, too."""
        self._connections.on_connection(call)

    async def set_presence(self, channel: str, member: Member, data: Mapping[str, Any]) -> None:
        """Change a member's presence. Raises ``PresenceRefusedError``. Returns when the stream has shown the change."""
        with refusals("presence", self._schema):
            await self._connections.membership.change(channel, member, data)

    @property
    def policies(self) -> WatchedRows:
        """The rows of ``realtime.content_policies``, as of the stream's position."""
        return self.core.policies

    @property
    def api_keys(self) -> WatchedRows:
        """The rows of ``realtime.api_keys``, as of the stream's position."""
        return self.core.api_keys

    @property
    def sessions(self) -> WatchedRows:
        """The rows of ``realtime.sessions``, as of the stream's position; none unless the settings ask for them."""
        return self.core.sessions

    def presence(self, channel: str) -> dict[str, Any]:
        """Who is present, as of the stream's position."""
        users = self.core.presence.users(channel)
        return {"users": users, "count": len(users)}

    # -- publishing ------------------------------------------------------------------------------------------------

    async def publish(self, message: Publication) -> Ack:
        """Store a message; returns when the stream has brought it back. Messages of one client keep the order of calls.

        Waits while too many are under way. Raises ``RealtimeError`` with the protocol's code.
        """
        await self._subscriptions.check(message.channel)
        await self._followed.publishing(message.channel)
        return await self._publisher.publish(message, self.core.rooms.history(message.channel))

    def submit(self, messages: Sequence[tuple[Publication, Answer]]) -> int:
        """As ``publish``, without a task. Returns how many were taken, from the first on: the next one has to wait, or is
        refused; use ``publish`` for it.
        """
        return self._publisher.submit(self._followed.ready(messages), self.core.rooms)

    # -- subscribing -----------------------------------------------------------------------------------------------

    async def subscribe(
        self, channel: str, options: ChannelOptions, member: Member, receiver: Receiver
    ) -> Subscription:
        """Open a subscription; nothing is delivered before ``begin()``. Raises ``RealtimeError`` if it is refused."""
        return await self._subscriptions.open(channel, options, member, receiver)

    # -- rules -----------------------------------------------------------------------------------------------------

    @property
    def rules(self) -> AccessRules:
        """The rules of channels, as of the stream."""
        return self.core.access

    def room(self, channel: str) -> Mapping[str, str | None] | None:
        """The channel's row of ``realtime.channels`` as PostgreSQL's text, as of the stream; None: it has none. The same
        object until it changes.
        """
        return self.core.rooms.row(channel)

    async def current(self) -> None:
        """Wait until rules and rooms are those that are committed now. Raises ``UnavailableError``."""
        await self._subscriptions.current()

    # -- the stream (see engine.stream.consumer) ------------------------------------------------------------------

    def process(self, *transactions: Transaction) -> Iterator[bool | None]:
        """Take transactions, and carry out their effects. One that fails is logged and does not stop the others."""
        for transaction in transactions:
            credentials = self.core.credentials
            for effect in (yield from self.core.process(transaction)):
                with self._failures.at(transaction.position, type(effect).__name__):
                    self._carry_out(effect)
            yield self.core.credentials != credentials  # whose have ended is disconnected before the next transaction

    def discontinuity(self, event: Discontinuity, position: Lsn) -> None:
        """Messages may be missing: they are in their table."""
        if event.missing:
            self._publisher.uncertain()
            self.recorder.interrupted()
            if event.other_history or position - 1 > self.core.proven(event.whole):
                self._connections.lacks_messages()
        self.core.interrupted(other_history=event.other_history, whole=event.whole)
        self._recovery.restart(position, event.whole)

    async def _recovered(self) -> None:
        self.recorder.wake()
        await self._connections.reconcile()

    @property
    def confirmable(self) -> Lsn | None:
        """How far the slot may be confirmed."""
        return self.core.unrecorded.confirmable

    # -- effects ---------------------------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        """Do what the core asks for. Called between two transactions: nothing here waits."""
        match effect:
            case MessagesDelivered(rows):
                self.recorder.wake()
                if len(self._publisher):
                    self._publisher.delivered(rows)
            case MessagesRefused(rows):
                self.recorder.wake()
                for row in rows:
                    self._publisher.refused(row)
            case _:
                self._connections.carry_out(effect)
