"""This node's connections: their rows, their presence, and messages addressed to them rather than to a channel.

Theory of operation. A connection is connecting (its row of ``realtime.connections`` is being inserted), open (the row is
committed, and is shown by the stream soon after), or broken (the client is away; the row stays until the presence timeouts
of its channels have passed, so that the client may resume). It ends when its row is deleted: by a clean close, by the
sweep, by ``realtime.disconnect()`` or with its node. The stream shows the deletion, and ``_ended`` sends the reason to the
client if it is still here. After a discontinuity ``reconcile`` compares everything with the tables.

:class:`~engine.channels.presence.connection_registry.ConnectionRegistry` keeps the rows,
:class:`~engine.channels.presence.membership.Membership` the presence in channels, and
:class:`~engine.channels.presence.sweeper.PresenceSweeper` removes it after the presence timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Final

import orjson
import structlog

from engine.channels.core.delivery.events import EndEvent, PlainEvent, iso_time
from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.effects import (
    ConnectionDeleted,
    ConnectionInserted,
    ControlReceived,
    Effect,
    MutesChanged,
    PresenceChanged,
    TableTruncated,
)
from engine.channels.core.messages.audience import attributes_of, audience_of
from engine.channels.core.messages.decode import ControlMessage, RowChange, commit_text
from engine.channels.core.messages.fault_barrier import FaultBarrier
from engine.channels.core.messages.model import (
    ChannelEvent,
    Deliver,
    Member,
    format_position,
)
from engine.channels.core.settings import ChannelSettings
from engine.channels.core.state_machine import ChannelCore
from engine.channels.db.insistence import REFUSED
from engine.channels.db.refusals import refusals
from engine.channels.db.schema_watch import SchemaWatch
from engine.channels.db.store import Store
from engine.channels.presence.connection_registry import ConnectionRegistry, Follower
from engine.channels.presence.membership import Membership
from engine.channels.presence.mute_rules import MuteRules
from engine.channels.presence.sweeper import PresenceSweeper
from engine.errors import RealtimeError
from engine.feed.leases import NodeLease
from engine.lsn import Lsn

__all__ = ["ClientLifecycle"]

_log = structlog.get_logger(__name__)

_ALL: Final = "*"  # the channel of what is sent to connections


class ClientLifecycle:
    """See the module. ``spawn`` runs a coroutine as a task of the service; ``clients``: the connections' rows."""

    def __init__(  # noqa: PLR0913
        self,
        core: ChannelCore,
        store: Store,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        stream: Follower,
        lease: NodeLease,
        settings: ChannelSettings,
        failures: FaultBarrier,
        schema: SchemaWatch,
    ) -> None:
        self._core = core
        self._failures = failures
        self._schema = schema
        self._watchers: list[Callable[[ConnectionInserted], None]] = []
        self._store = store
        self._node_id = settings.node_id
        self._spawn = spawn
        self.clients = ConnectionRegistry(store, stream, lease, settings.node_id, self._ended)
        self.membership = Membership(core, store, spawn, settings.timeout)
        self._mute_rules = MuteRules(store, stream.reached)
        self.sweeper = PresenceSweeper(core.presence, self.clients, store, settings.node_id)

    def connect(self, member: Member, deliver: Deliver) -> asyncio.Future[None]:
        """Insert the connection's row and keep ``deliver`` for its events. Done when the row is committed; raises
        ``UnavailableError`` or ``InvalidQueryError``.
        """
        begun = self.clients.begin(member, deliver, self._connect)
        return asyncio.create_task(self._connect(member, deliver)) if begun is None else begun

    async def _connect(self, member: Member, deliver: Deliver) -> None:
        with refusals("the user of this connection", self._schema):
            await self.clients.connect(member, deliver)

    async def disconnect(self, connection_id: str, clean: bool) -> None:
        """The connection broke, or its close was ``clean``; see ``Store.drop``. Repeated until the database has it."""
        self.clients.closed(connection_id)
        for subscription in self._core.hub.of_connection(connection_id):
            subscription.joined = False
            subscription.cancel()
        try:
            await self._store.drop(connection_id, clean)
        except REFUSED:
            drop = partial(self._store.drop, connection_id, clean)
            self._spawn(self._store.insistence.done("the removal of a connection", drop))

    async def admit(self, subscription: Subscription) -> None:
        """Give the subscription its user's mute rules, and insert the member's presence if it is visible or counted."""
        await self._mute_rules.load(subscription)
        await self.membership.join(subscription)

    def leave(self, subscription: Subscription) -> None:
        """A subscription has ended, the connection goes on: its presence ends now."""
        self.membership.leave(subscription)
        self._mute_rules.release(subscription)

    # -- from the stream -------------------------------------------------------------------------------------------

    def carry_out(self, effect: Effect) -> None:
        """Do what the core asks for about connections and presence. Nothing here waits."""
        match effect:
            case PresenceChanged(change):
                self._presence(change)
            case ConnectionInserted(connection_id, node_id):
                self.clients.shown(connection_id, node_id)
                self._announce(effect)
            case ConnectionDeleted(connection_id):
                self.clients.deleted(connection_id)
            case TableTruncated("connections"):
                self.clients.emptied()
            case TableTruncated("presence"):
                self.sweeper.rescan()
            case MutesChanged(change):
                self._mute_rules.apply(change)
            case ControlReceived(message):
                self._control(message, self._core.position)

    def on_connection(self, call: Callable[[ConnectionInserted], None]) -> None:
        """Call ``call`` with each connection, of any node, whose row the stream shows, and with those of this node whose row
        a stream has lacked; the census counts it by then.
        """
        self._watchers.append(call)

    def _announce(self, connection: ConnectionInserted) -> None:
        for call in self._watchers:
            call(connection)

    def _presence(self, change: RowChange) -> None:
        row = change.row
        key = (row.get("channel") or "", row.get("connection_id") or "")
        self.membership.shown(key, change)
        self.sweeper.apply(key, change)

    def _ended(self, member: Member, deliver: Deliver, why: RealtimeError) -> None:
        for subscription in self._core.hub.of_connection(member.connection_id):
            subscription.joined = False  # its presence went with the row
            subscription.cancel()
        self._deliver(deliver, EndEvent(why))

    async def reconcile(self) -> None:
        """After a discontinuity, when all tables are read again: apply the changes that the stream did not show."""
        if self._core.again.lost:
            self._core.again.lost = False
            self.lacks_messages()
        effects, self._core.passed_over = self._core.passed_over, []
        for effect in effects:
            with self._failures.at(self._core.position, type(effect).__name__):
                self.carry_out(effect)
        written = self.membership.written()
        for connection_id in await self.clients.reconcile():  # waits until the stream has caught up
            self._announce(ConnectionInserted(connection_id, self._node_id))
        self.membership.reconcile(written)
        await self._store.insistence.done("the look for preferences", self._mute_rules.reload)
        self.sweeper.rescan()

    def _control(self, control: ControlMessage, position: Lsn) -> None:
        """A kick, a message to connections, or the removal of a node."""
        if control.command == "kick":
            for subscription in self._core.hub.kick(control) if self._core.kicks.take(control) else ():
                subscription.cancel()
        elif control.command == "broadcast":
            self._send(control, position)
        elif control.command == "node_removed":
            self.clients.node_removed(control.node)

    def _send(self, control: ControlMessage, position: Lsn) -> None:
        event = PlainEvent(
            {
                "type": "message",
                "channel": _ALL,
                "event": control.event,
                "data": orjson.Fragment(bytes(control.payload)),
                "timestamp": iso_time(commit_text(control.committed_at)),
                "sender": control.sender,
                "id": control.id,
                "position": format_position(position),
            },
            priority=control.priority,
        )
        event.committed_at = control.committed_at
        text = bytes(control.audience)
        audience = None if text == b"null" else audience_of(text)
        users = None if control.users is None else set(control.users)
        for member, deliver in self.clients.connected():
            if users is not None and member.user_id not in users:
                continue
            if audience is None or audience.includes(member, attributes_of(member), control.sender, None):
                self._deliver(deliver, event)

    def lacks_messages(self) -> None:
        """The stream may have lacked messages to connections. No table has them, so their loss is made known."""
        event = PlainEvent({"type": "gap", "channel": _ALL})
        for _, deliver in self.clients.connected():
            self._deliver(deliver, event)

    def _deliver(self, deliver: Deliver, event: ChannelEvent) -> None:
        """Deliver to one connection. Its failure does not stop the delivery to others."""
        with self._failures.at(self._core.position, "an event for a connection"):
            deliver(event)
