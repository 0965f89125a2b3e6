"""A channel as the application sees it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self

from bunbase.codes import ErrorCode
from bunbase.core.channel import ChannelState
from bunbase.emitter import Emitter
from bunbase.errors import RealtimeError
from bunbase.messages import Messages
from bunbase.model import Ack, Presence
from bunbase.subscription import Raw
from bunbase.subscription_manager import SubscriptionManager

__all__ = ["Channel"]


class Channel(Emitter):
    """Made by ``Realtime.channel``; ``async with channel:`` subscribes and unsubscribes.

    Events:
        *an event's name*: a ``Message`` with that event. ``*``: every message.
        ``presence:join``, ``presence:update``, ``presence:leave``: a ``User``.
        ``room:created``, ``room:updated``, ``room:closed``: the room's settings as a dictionary.
        ``subscribed``: the subscription is (again) open.
        ``gap``: messages between the given position and now have been lost, since they had expired; read the page anew.
        ``error``: a ``RealtimeError``: the subscription has ended, or a message could not be decrypted (``RT_007``).
    """

    def __init__(self, manager: SubscriptionManager, state: ChannelState) -> None:
        super().__init__()
        self._manager = manager
        self._state = state
        self._turn = asyncio.Lock()
        self._opening: asyncio.Future[None] | None = None
        self._leaving = 0  # calls of unsubscribe
        self._readers: set[Messages] = set()

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._state.name

    @property
    def is_subscribed(self) -> bool:
        """Whether it is subscribed to; a connection that is just being re-established does not matter."""
        return self._manager.subscriptions.get(self.key) is self and self._state.begun

    async def subscribe(self) -> Self:
        """Subscribe, and wait until nothing can be missed any more.

        Subscribing twice does nothing. After a reconnect it goes on from the last message by itself.

        Raises:
            RealtimeError: it is refused, the connection is given up, or ``unsubscribe`` is called before it is done.
            ValueError: another ``Channel`` of that name, made with other options, is subscribed.
        """
        async with self._turn:
            if self.is_subscribed:
                return self
            if self._leaving:
                raise self._left()
            self._opening = asyncio.get_running_loop().create_future()
            try:
                self._manager.subscribe(self)
                await self._opening
            except asyncio.CancelledError:
                await self._manager.unsubscribe(self)
                raise
            finally:
                self._opening = None
            return self

    async def unsubscribe(self) -> None:
        """Subscribe no more; others see this client leave at once. Iterators end."""
        if self._opening is not None and not self._opening.done():
            self._opening.set_exception(self._left())
        self._leaving += 1
        try:
            async with self._turn:
                await self._manager.unsubscribe(self)
                self._state.forget()
                for reader in tuple(self._readers):
                    reader.end(None)
        finally:
            self._leaving -= 1

    def _left(self) -> RealtimeError:
        return RealtimeError(ErrorCode.CONNECTION_FAILED, "unsubscribed before it was subscribed", self.name)

    async def send(self, event: str, data: object = None, *, id: str | None = None) -> Ack:
        """Publish, and wait until it is committed. Subscribing is not needed for that.

        Without a connection it waits for one, and after a lost one it is sent again: it is stored once all the same. If the
        waiting task is cancelled, a message that has not been sent yet is forgotten.

        Args:
            event: the event's name.
            data: any JSON value.
            id: of your own choice, unique in the channel; made up if left out.

        Raises:
            RealtimeError: refused, or ``RT_001``: too many wait offline, or the connection was given up.
            TypeError, ValueError: ``data`` is no JSON.
        """
        sealed = self._state.encrypt(event, data)
        message = {
            "type": "message",
            "channel": self.name,
            "event": event,
            "data": sealed,
            "id": id or str(uuid.uuid4()),
        }
        answer = await self._manager.send(message)
        return Ack(answer.get("id"), answer.get("position"))

    async def update_presence(self, data: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Change what others see of this client; what is not mentioned stays. Said again after a reconnect.

        Raises:
            RealtimeError: ``RT_009``: not subscribed with presence, or the data cannot be.
        """
        said = {**(data or {}), **fields}
        await self._manager.send({"type": "presence:update", "channel": self.name, "data": said})
        self._state.say(said)

    @property
    def presence(self) -> Presence:
        """Who is there, as far as this client has been told."""
        return self._state.presence.current

    async def get_presence(self) -> Presence:
        """Who is there; subscribes first if that has not been done."""
        await self.subscribe()
        return self.presence

    def messages(
        self, event: str | None = None, *, buffer: int = 1000, overflow: Literal["error", "drop-oldest"] = "error"
    ) -> Messages:
        """An async iterator over the messages from now on; it ends when the channel is unsubscribed.

        Args:
            event: only these; all if left out.
            buffer: how many may wait for the loop's body.
            overflow: what happens when more would have to: ``error`` ends the iteration with a ``RealtimeError``
                (RT_001) after those that wait; ``drop-oldest`` leaves out the oldest, and counts them in ``dropped``.
        """
        return Messages(self._readers, event, buffer, overflow)

    async def __aenter__(self) -> Self:
        return await self.subscribe()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.unsubscribe()

    # What the subscription manager calls.

    @property
    def key(self) -> str:
        """See ``Subscription``."""
        return self._state.name

    @property
    def begun(self) -> bool:
        """See ``Subscription``."""
        return self._state.begun

    def request(self) -> Raw:
        """See ``Subscription``."""
        return self._state.request()

    def unsubscribe_request(self) -> Raw:
        """See ``Subscription``."""
        return {"type": "unsubscribe", "channel": self.name}

    def base(self) -> object:
        """See ``Subscription``."""
        return None

    def subscribed(self, message: Raw, base: object, *, seamless: bool) -> None:
        """See ``Subscription``."""
        self._tell(self._state.subscribed(message, seamless=seamless))
        if self._opening is not None and not self._opening.done():
            self._opening.set_result(None)
        self._emit("subscribed")

    def received(self, message: Raw, *, quiet: bool) -> None:
        """See ``Subscription``. Messages are in order and new whichever connection brought them, so ``quiet`` is nothing."""
        if self._state.begun:
            self._tell(self._state.receive(message))

    def settle(self, *, force: bool) -> bool:
        """See ``Subscription``."""
        return True

    def ended(self, error: RealtimeError) -> None:
        """See ``Subscription``."""
        self._state.forget()
        for reader in tuple(self._readers):
            reader.end(error)
        if self._opening is not None and not self._opening.done():
            self._opening.set_exception(error)
        else:
            self._emit("error", error)

    def _tell(self, events: list[tuple[str, Any]]) -> None:
        for event, payload in events:
            if event != "message":
                self._emit(event, payload)
                continue
            self._emit(payload.event, payload)
            self._emit("*", payload)
            for reader in tuple(self._readers):
                reader.take(payload)
