"""This node's connections: their rows, their presence, and what is addressed to them rather than to a channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Final

import orjson
import structlog

from engine.channels.audience import attributes_of, audience_of
from engine.channels.core import ChannelCore
from engine.channels.events import EndEvent, PlainEvent
from engine.channels.model import Deliver, Disconnected, Member, Unavailable, format_position
from engine.channels.preferences import Mutes
from engine.channels.records import Command, RowChange
from engine.channels.store import Store
from engine.channels.subscription import Subscription
from engine.lsn import Lsn

__all__ = ["Connections"]

log = structlog.get_logger(__name__)

_RETRY: Final = 1.0
_SWEEP_PAUSE: Final = 0.05
_LOOK: Final = 0.1
_LOOK_AT_MOST: Final = 1.0
_ALL: Final = "*"  # the channel of what is sent to connections


class Connections:
    """See the module. ``spawn`` runs a coroutine as a task of the service."""

    def __init__(
        self,
        core: ChannelCore,
        store: Store,
        spawn: Callable[[Coroutine[None, None, None]], object],
        timeout: float,
    ) -> None:
        self._core = core
        self._store = store
        self._spawn = spawn
        self._timeout = timeout
        self._members: dict[str, tuple[Member, Deliver]] = {}
        self._joining: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._mutes: dict[str, Mutes] = {}
        self._mine: set[str] = set()  # connections whose rows are this node's, also those that broke
        self._open: set[tuple[str, str]] = set()  # presence of these that will have to be swept
        self._due = asyncio.Event()

    async def connect(self, member: Member, deliver: Deliver) -> None:
        """Write the connection's row and remember whom to tell."""
        self._mine.add(member.connection_id)
        await self._store.connect(member)
        self._members[member.connection_id] = (member, deliver)

    async def disconnect(self, connection_id: str) -> None:
        """The connection broke: its presence stays until its timeout. Tried again until the database has it."""
        self._members.pop(connection_id, None)
        for subscription in self._core.router.of_connection(connection_id):
            subscription.joined = False
            subscription.cancel()
        try:
            await self._store.rows("engine_drop", id=connection_id)
        except Unavailable:
            self._spawn(self._persist("engine_drop", id=connection_id))

    async def _persist(self, name: str, **parameters: object) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                await self._store.rows(name, **parameters)
                return
            await asyncio.sleep(_RETRY)

    async def admit(self, subscription: Subscription) -> None:
        """Make the member present, if it asked for it or the room counts its members. Returns when the stream shows it."""
        channel, member = subscription.channel, subscription.member
        limited = self._core.rooms.limited(channel)
        if member.user_id is not None:
            subscription.mutes = await self._preferences(member.user_id)
        if subscription.options.presence is None and not limited:
            return
        seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._joining[channel, member.connection_id] = seen
        try:
            await self._store.join(channel, member, subscription.options.presence or {}, limited)
            subscription.joined = True
            async with asyncio.timeout(self._timeout):
                await seen
        except TimeoutError as error:
            raise Unavailable("the database's stream does not answer; try again") from error
        finally:
            self._joining.pop((channel, member.connection_id), None)

    def left(self, subscription: Subscription) -> None:
        """A subscription has ended, the connection goes on: its presence ends now."""
        if subscription.joined:
            subscription.joined = False
            self._spawn(
                self._persist(
                    "engine_leave", channel=subscription.channel, connection=subscription.member.connection_id
                )
            )
        user = subscription.member.user_id
        if user in self._mutes and not any(s.member.user_id == user for s in self._core.router):
            del self._mutes[user]

    # -- preferences -----------------------------------------------------------------------------------------------

    async def _preferences(self, user_id: str) -> Mutes:
        known = self._mutes.get(user_id)
        if known is None:
            known = self._mutes[user_id] = Mutes()
            try:
                known.load(await self._store.rows("engine_preferences", user=user_id))
            except BaseException:
                self._mutes.pop(user_id, None)
                raise
        return known

    def preferred(self, change: RowChange) -> None:
        """A user's preferences changed."""
        for row, old, new in ((change.old, change.old, None), (change.new, None, change.new)):
            known = self._mutes.get((row or {}).get("user_id") or "")
            if known is not None:
                known.apply(old, new)

    # -- from the stream -------------------------------------------------------------------------------------------

    def presence(self, change: RowChange) -> None:
        """A presence row changed."""
        row = change.row
        connection = row.get("connection_id") or ""
        waiting = self._joining.get((row.get("channel") or "", connection))
        if waiting is not None and not waiting.done() and change.new is not None:
            waiting.set_result(None)
        if connection not in self._mine:
            return
        key = (row.get("channel") or "", connection)
        if change.new is not None and (row.get("left_at") is not None or row.get("typing_until") is not None):
            self._open.add(key)
            self._due.set()
        else:
            self._open.discard(key)

    def disconnected(self, connection_id: str) -> None:
        """Somebody deleted the connection's row."""
        self._mine.discard(connection_id)
        found = self._members.pop(connection_id, None)
        if found is None:
            return
        for subscription in self._core.router.of_connection(connection_id):
            subscription.joined = False  # its presence went with the row
            subscription.cancel()
        found[1](EndEvent(Disconnected("this connection was ended by the server")))

    def commanded(self, command: Command, position: Lsn) -> None:
        """A kick, or a message to connections."""
        if command.command == "kick":
            for subscription in self._core.router.kick(command):
                subscription.cancel()
        elif command.command == "broadcast":
            self._send(command, position)

    def _send(self, command: Command, position: Lsn) -> None:
        event = PlainEvent(
            {
                "type": "message",
                "channel": _ALL,
                "event": command.event,
                "data": orjson.Fragment(bytes(command.payload)),
                "sender": command.sender,
                "id": command.id,
                "position": format_position(position),
            }
        )
        text = bytes(command.audience)
        audience = None if text == b"null" else audience_of(text)
        users = None if command.users is None else set(command.users)
        for member, deliver in list(self._members.values()):
            if users is not None and member.user_id not in users:
                continue
            if audience is None or audience.includes(member, attributes_of(member), command.sender, None):
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
            except Unavailable as error:
                log.warning("presence is not swept", error=str(error))
                wait = _RETRY
            if self._open:
                # The stream may show a row before a statement does: what is open and not seen is looked for again.
                wait = _LOOK if wait is None else min(wait, _LOOK_AT_MOST)
            await asyncio.sleep(_SWEEP_PAUSE)
