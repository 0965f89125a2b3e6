"""This node's connections: their rows, their presence, and what is addressed to them rather than to a channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import orjson
import structlog

from engine.channels.audience import attributes_of, audience_of
from engine.channels.clients import Clients, Follower
from engine.channels.core import ChannelCore
from engine.channels.events import EndEvent, PlainEvent, iso_time
from engine.channels.model import (
    ChannelEvent,
    ChannelFull,
    Deliver,
    Kicked,
    Member,
    PresenceRefused,
    Unavailable,
    format_position,
)
from engine.channels.records import Command, RowChange
from engine.channels.settings import ChannelSettings
from engine.channels.store import REFUSED, Store
from engine.channels.subscription import Subscription
from engine.channels.tastes import Tastes
from engine.errors import RealtimeError
from engine.lsn import Lsn

__all__ = ["Connections"]

log = structlog.get_logger(__name__)

_RETRY: Final = 1.0
_SWEEP_PAUSE: Final = 0.05
_LOOK: Final = 0.1
_LOOK_AT_MOST: Final = 1.0
_LOOK_AT_THEIRS: Final = 5.0
_ALL: Final = "*"  # the channel of what is sent to connections


class Connections:
    """See the module. ``spawn`` runs a coroutine as a task of the service; ``clients``: the connections' rows."""

    def __init__(
        self,
        core: ChannelCore,
        store: Store,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        stream: Follower,
        settings: ChannelSettings,
    ) -> None:
        self._core = core
        self._store = store
        self._spawn = spawn
        self._timeout = settings.timeout
        self.clients = Clients(store, stream, settings.node_id, self._ended)
        self._joining: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._changing: dict[tuple[str, str], tuple[str, asyncio.Future[None]]] = {}
        self._leaving: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._tastes = Tastes(store, stream.reached)
        self._open: set[tuple[str, str]] = set()  # presence of these that will have to be swept
        self._theirs: set[tuple[str, str]] = set()  # presence of other nodes' broken connections
        self._due = asyncio.Event()

    async def connect(self, member: Member, deliver: Deliver) -> None:
        """Write the connection's row and remember whom to tell."""
        await self.clients.connect(member, deliver)

    async def disconnect(self, connection_id: str) -> None:
        """The connection broke: its presence stays until its timeout. Tried again until the database has it."""
        self.clients.gone(connection_id)
        for subscription in self._core.router.of_connection(connection_id):
            subscription.joined = False
            subscription.cancel()
        try:
            await self._store.rows("engine_drop", id=connection_id)
        except REFUSED:
            self._spawn(self._persist("engine_drop", id=connection_id))

    async def _persist(self, name: str, **parameters: object) -> None:
        await self._store.insist(name, partial(self._store.rows, name, **parameters))

    async def admit(self, subscription: Subscription) -> None:
        """Make the member present, if it asked for it or the room counts its members. Returns when the stream shows it."""
        channel, member = subscription.channel, subscription.member
        limited = self._core.rooms.limited(channel) or await self._is_limited(channel)
        await self._tastes.load(subscription)
        if subscription.options.presence is None and not limited:
            return
        if (leaving := self._leaving.get((channel, member.connection_id))) is not None:
            await asyncio.wait({leaving}, timeout=self._timeout)  # else it would take the new row with it
        seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._joining[channel, member.connection_id] = seen
        try:
            await self._enter(subscription, limited)
            async with asyncio.timeout(self._timeout):
                await seen
        except TimeoutError as error:
            raise Unavailable("the database's stream does not answer; try again") from error
        finally:
            self._joining.pop((channel, member.connection_id), None)

    async def _is_limited(self, channel: str) -> bool:
        with contextlib.suppress(*REFUSED):  # without the database, what the stream has said counts
            return bool((await self._store.rows("engine_is_limited", channel=channel))[0]["limited"])
        return False

    async def _enter(self, subscription: Subscription, limited: bool) -> None:
        """Write the member's row. Whoever does not wait for that to end leaves nobody behind."""
        channel, member = subscription.channel, subscription.member
        join = self._store.join(channel, member, subscription.options.presence or {}, limited)
        entering = asyncio.create_task(join)
        try:
            await asyncio.shield(entering)
            subscription.joined = True
        except (ChannelFull, PresenceRefused):
            raise
        except BaseException:  # perhaps it is written
            self._leave((channel, member.connection_id), entering)
            raise

    def left(self, subscription: Subscription) -> None:
        """A subscription has ended, the connection goes on: its presence ends now."""
        if subscription.joined:
            subscription.joined = False
            self._leave((subscription.channel, subscription.member.connection_id))
        self._tastes.release(subscription)

    def _leave(self, key: tuple[str, str], entering: asyncio.Task[None] | None = None) -> None:
        task = self._leaving[key] = self._spawn(self._leave_after(entering, key))
        task.add_done_callback(lambda done: self._left(key, done))

    async def _leave_after(self, entering: asyncio.Task[None] | None, key: tuple[str, str]) -> None:
        if entering is not None:
            await asyncio.gather(entering, return_exceptions=True)
        await self._persist("engine_leave", channel=key[0], connection=key[1])

    def _left(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        if self._leaving.get(key) is task:
            del self._leaving[key]

    async def set_presence(self, channel: str, member: Member, data: Mapping[str, Any]) -> None:
        """Change what the others see. Returns when the stream has shown it, or does not answer; it is committed then."""
        at = await self._store.set_presence(channel, member.connection_id, data)
        row = self._core.presence.rows_of(member.connection_id, channel, member.presence_id)
        if row is not None and row.updated_at >= at:
            return
        key = (channel, member.connection_id)
        shown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changing[key] = (at, shown)
        try:
            async with asyncio.timeout(self._timeout):
                await shown
        except TimeoutError:
            log.warning("the stream does not show a change of presence", channel=channel)
        finally:
            if self._changing.get(key) == (at, shown):
                del self._changing[key]

    def preferred(self, change: RowChange) -> None:
        """A user's preferences changed."""
        self._tastes.apply(change)

    # -- from the stream -------------------------------------------------------------------------------------------

    def presence(self, change: RowChange) -> None:
        """A presence row changed."""
        row = change.row
        connection = row.get("connection_id") or ""
        waiting = self._joining.get((row.get("channel") or "", connection))
        if waiting is not None and not waiting.done() and change.new is not None:
            waiting.set_result(None)
        key = (row.get("channel") or "", connection)
        at, changing = self._changing.get(key, ("", None))
        if changing is not None and not changing.done() and (change.new is None or at <= (row.get("updated_at") or "")):
            changing.set_result(None)
        if connection not in self.clients:
            self._note_theirs(key, broken=change.new is not None and row.get("left_at") is not None)
        elif change.new is not None and (row.get("left_at") is not None or row.get("typing_until") is not None):
            self._open.add(key)
            self._due.set()
        else:
            self._open.discard(key)

    def _note_theirs(self, key: tuple[str, str], *, broken: bool) -> None:
        """Another node's member; that node may be stopped before the timeout has run out, so we look as well."""
        if not broken:
            self._theirs.discard(key)
        elif key not in self._theirs:
            if not self._theirs:
                self._due.set()
            self._theirs.add(key)

    def _ended(self, member: Member, deliver: Deliver, why: RealtimeError) -> None:
        for subscription in self._core.router.of_connection(member.connection_id):
            subscription.joined = False  # its presence went with the row
            subscription.cancel()
        self._told(deliver, EndEvent(why))

    async def mend(self) -> None:
        """The stream had a gap and everything was read again: do what the changes in it would have made us do."""
        await self.clients.mend()
        for subscription in list(self._core.router):
            if subscription.joined and not self._is_present(subscription.channel, subscription.member):
                subscription.joined = False
                error = Kicked(f"you were removed from {subscription.channel}")
                subscription.finish(EndEvent(error, subscription.channel))
        for (channel, connection_id), waiting in self._joining.items():
            member = self.clients.find(connection_id)
            if member is not None and not waiting.done() and self._is_present(channel, member):
                waiting.set_result(None)
        present = {(row.channel, row.connection_id): row for row in self._core.presence.rows()}
        for key, (at, changing) in self._changing.items():
            if not changing.done() and (key not in present or at <= present[key].updated_at):
                changing.set_result(None)
        while True:
            with contextlib.suppress(Unavailable):
                await self._tastes.reload()
                break
            await asyncio.sleep(_RETRY)
        self.look_again()

    def look_again(self) -> None:
        """Everybody's presence has been read: somebody may have dropped, or begun to type."""
        rows = {(row.channel, row.connection_id): row for row in self._core.presence.rows()}
        self._open &= rows.keys()
        self._theirs = {key for key, row in rows.items() if row.left_at is not None and key[1] not in self.clients}
        self._due.set()

    def _is_present(self, channel: str, member: Member) -> bool:
        return self._core.presence.rows_of(member.connection_id, channel, member.presence_id) is not None

    def commanded(self, command: Command, position: Lsn) -> None:
        """A kick, a message to connections, or the removal of a node."""
        if command.command == "kick":
            for subscription in self._core.router.kick(command):
                subscription.cancel()
        elif command.command == "broadcast":
            self._send(command, position)
        elif command.command == "node_removed":
            self.clients.node_removed(command.node)

    def _send(self, command: Command, position: Lsn) -> None:
        event = PlainEvent(
            {
                "type": "message",
                "channel": _ALL,
                "event": command.event,
                "data": orjson.Fragment(bytes(command.payload)),
                "timestamp": iso_time(command.committed),
                "sender": command.sender,
                "id": command.id,
                "position": format_position(position),
            },
            priority=command.priority,
        )
        text = bytes(command.audience)
        audience = None if text == b"null" else audience_of(text)
        users = None if command.users is None else set(command.users)
        for member, deliver in self.clients.everybody():
            if users is not None and member.user_id not in users:
                continue
            if audience is None or audience.includes(member, attributes_of(member), command.sender, None):
                self._told(deliver, event)

    def _told(self, deliver: Deliver, event: ChannelEvent) -> None:
        """One connection that fails to be told is no reason not to tell the others."""
        with self._core.failures.at(self._core.position, "an event for a connection"):
            deliver(event)

    async def sweep(self) -> None:
        """Take back typing and remove members whose timeout has run out, when it is time."""
        wait: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._due.wait()
            self._due.clear()
            try:
                wait = await self._store.sweep()
            except REFUSED as error:
                log.warning("presence is not swept", error=str(error).strip())
                wait = _RETRY
            if self._open:
                # The stream may show a row before a statement does: what is open and not seen is looked for again.
                wait = _LOOK if wait is None else min(wait, _LOOK_AT_MOST)
            elif self._theirs:
                wait = _LOOK_AT_THEIRS if wait is None else min(wait, _LOOK_AT_THEIRS)
            await asyncio.sleep(_SWEEP_PAUSE)
