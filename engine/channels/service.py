"""The channel service: joins the stream, the core and the writers. One per process, all calls in its event loop.

What clients do is written to tables and comes back through the stream; nothing is told to anybody before it did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

import structlog

from engine.channels.connections import Connections
from engine.channels.core import ChannelCore
from engine.channels.handover import HandOver
from engine.channels.maintenance import Maintenance
from engine.channels.model import (
    Ack,
    ChannelOptions,
    Deliver,
    Member,
    MessageTooLarge,
    Position,
    Publication,
    UnknownChannel,
    format_position,
    parse_position,
)
from engine.channels.publisher import Publisher
from engine.channels.recorder import Recorder
from engine.channels.records import Command, MessageRow, RowChange
from engine.channels.replay import Replay
from engine.channels.settings import ChannelSettings
from engine.channels.store import Store
from engine.channels.subscription import Subscription
from engine.errors import InvalidQuery
from engine.live.reader import Reader
from engine.live.service import LiveQueries
from engine.lsn import Lsn
from engine.types import Transaction

__all__ = ["ChannelSettings", "Channels"]

log = structlog.get_logger(__name__)


class Channels:
    """Channels, presence and messages of one node.

    Make it before ``live.start()``, start it after. ``failure`` is what ended it by itself, if anything has.
    """

    def __init__(self, dsn: str, live: LiveQueries, settings: ChannelSettings) -> None:
        self.settings = settings
        self.failure: BaseException | None = None
        self._live = live
        self._began: Lsn = live.add_tap(self)
        self.core = ChannelCore(self, self._began - 1)
        self.core.seed(live.tail)
        self._reader = Reader(dsn, size=settings.connections, timeout_ms=int(settings.timeout * 1000))
        self._store = Store(dsn, settings.node_id, settings.connections, settings.timeout)
        self._recorder = Recorder(
            self._store, self.core.ledger, live.confirm, settings.record_interval, settings.trim_interval
        )
        self._publisher = Publisher(
            dsn,
            settings.node_id,
            live.reached,
            self.core.ledger.position_of,
            gather=settings.gather,
            batch=settings.batch,
            queue=settings.queue,
        )
        self._handover = HandOver(
            self.core, live, self._store, Replay(self._reader, self._store, settings.connections), settings
        )
        self._connections = Connections(self.core, self._store, self._spawn, settings.timeout)
        self._maintenance = Maintenance(self._store, settings)
        self._tasks: set[asyncio.Task[None]] = set()
        self._recovery: asyncio.Task[None] | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load who is present, mend what no stream will bring any more, and begin to write.

        Raises ``Unavailable`` if the database cannot be reached.
        """
        await self._store.open()
        await self._reader.open()
        await self._maintenance.prepare(self.core.reader)
        self._spawn(self._recorder.record())
        self._spawn(self._recorder.trim())
        self._recorder.wake()
        await self._handover.recover(self._began, self._began - 1)
        self._spawn(self._publisher.run())
        self._spawn(self._connections.sweep())
        self._spawn(self._maintenance.run())

    async def stop(self) -> None:
        """Stop everything; subscribers are told nothing, publishers that the server stops."""
        await self._publisher.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reader.close()
        await self._store.close()

    def status(self) -> Mapping[str, int]:
        """Figures for ``/health``."""
        return {
            "channels": len(self.core.router.channels),
            "subscriptions": len(self.core.router),
            "messages": self.core.messages,
            "publishing": len(self._publisher),
            "unrecorded": len(self.core.ledger.unrecorded),
        }

    # -- connections and presence ----------------------------------------------------------------------------------

    async def connect(self, member: Member, deliver: Deliver) -> None:
        """Make the connection known. ``deliver`` gets what is sent to it without a subscription, and its end."""
        await self._connections.connect(member, deliver)

    async def disconnect(self, connection_id: str) -> None:
        """The connection is gone; its presence may come back within the channel's timeout."""
        await self._connections.disconnect(connection_id)

    async def set_presence(self, channel: str, member: Member, data: Mapping[str, Any]) -> None:
        """Change what the others see of a member. Raises ``PresenceRefused``. Returns when it is committed."""
        await self._store.set_presence(channel, member.connection_id, data)

    def is_present(self, channel: str, connection_id: str) -> bool:
        """Whether the connection is subscribed to ``channel`` with presence here."""
        return any(s.joined and s.channel == channel for s in self.core.router.of_connection(connection_id))

    def presence(self, channel: str) -> dict[str, Any]:
        """Who is present, as of the stream's position."""
        users = self.core.presence.users(channel)
        return {"users": users, "count": len(users)}

    # -- publishing ------------------------------------------------------------------------------------------------

    async def publish(self, message: Publication) -> Ack:
        """Store a message; returns when the stream has brought it back. The order of the calls is the order of the messages.

        Waits while too many are under way. Raises ``RealtimeError`` with the protocol's code.
        """
        if len(message.data) > self.settings.max_payload:
            raise MessageTooLarge(f"the message has {len(message.data)} bytes; at most {self.settings.max_payload}")
        await self._check(message.channel)
        return await self._publisher.publish(message, self.core.rooms.history(message.channel))

    async def _check(self, channel: str) -> None:
        """Refuse an unknown or closed channel; but it may have been made a moment ago."""
        try:
            self.core.rooms.check(channel)
        except UnknownChannel:
            await self._live.reached(await self._store.flushed())
            self.core.rooms.check(channel)

    # -- subscribing -----------------------------------------------------------------------------------------------

    async def subscribe(self, channel: str, options: ChannelOptions, member: Member, deliver: Deliver) -> Subscription:
        """Open a subscription; nothing is delivered before ``begin()``. Raises ``RealtimeError`` if it is refused."""
        since = _position(options.since)
        subscription = Subscription(
            channel, options, member, deliver, self._position, self.core.presence.json, self._release
        )
        await self._check(channel)
        try:
            await self._connections.admit(subscription)
            await self._handover.begin(subscription, since, min(options.history, self.settings.max_history))
        except BaseException:
            self._connections.left(subscription)
            raise
        return subscription

    def _position(self) -> str:
        return format_position(self.core.position)

    def _release(self, subscription: Subscription) -> None:
        if self.core.router.remove(subscription):
            self._connections.left(subscription)

    # -- the stream (see engine.live.tap) --------------------------------------------------------------------------

    def process(self, transaction: Transaction) -> Iterator[None]:
        """Take a transaction."""
        return self.core.process(transaction)

    def discontinuity(self, reason: str, position: Lsn) -> None:
        """Messages may be missing: they are in their table."""
        self._publisher.uncertain()
        resume = self._handover.interrupt(position)
        if self._recovery is not None:
            self._recovery.cancel()
        self._recovery = self._spawn(self._handover.recover(position, resume))

    @property
    def confirmable(self) -> Lsn | None:
        """How far the slot may be confirmed."""
        return self.core.ledger.confirmable

    # -- effects (see engine.channels.core) ------------------------------------------------------------------------

    def stored(self, rows: list[MessageRow]) -> None:
        """Messages were delivered."""
        self._recorder.wake()
        if len(self._publisher):
            for row in rows:
                self._publisher.delivered(row)

    def presence_changed(self, change: RowChange) -> None:
        """A presence row changed."""
        self._connections.presence(change)

    def disconnected(self, connection_id: str) -> None:
        """A connection's row is gone."""
        self._connections.disconnected(connection_id)

    def preferred(self, change: RowChange) -> None:
        """A row of preferences changed."""
        self._connections.preferred(change)

    def commanded(self, command: Command) -> None:
        """A kick, or a message to connections."""
        self._connections.commanded(command, self.core.position)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()
            log.error("a task of the channels failed", exc_info=self.failure)


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    try:
        return parse_position(text)
    except ValueError as error:
        raise InvalidQuery(f"'since' is not a position: {text!r}") from error
