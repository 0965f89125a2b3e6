"""A channel as the application sees it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self, overload
from weakref import WeakSet

from bunbase.client.emitter import Emitter
from bunbase.client.held_events import EVENTS, OWN, HeldEvents, is_reserved
from bunbase.client.messages import Messages
from bunbase.client.subscribing import Subscribing
from bunbase.connection.subscription import Raw
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.core.channel_state import ChannelOptions, ChannelState
from bunbase.core.use_count import BLOCK, Use, UseCount
from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.expected import expect_mapping, expect_optional_text, expect_text, expect_trace, expect_type
from bunbase.protocol.model import Ack, HistoryPage, Presence
from bunbase.protocol.type_variables import T

__all__ = ["ChannelBase"]


class ChannelBase(Emitter):
    """What a ``Channel`` does; ``typed_channel`` has its types."""

    _EVENTS, _OWN = EVENTS, OWN

    def __init__(self, manager: SubscriptionManager, state: ChannelState) -> None:
        super().__init__()
        self._manager = manager
        self._state = state
        self._uses = UseCount()
        self._ready: asyncio.Future[None] | None = None  # of the subscription, from its first use on
        self._leaving = 0  # calls of unsubscribe that wait for the server
        self._events = HeldEvents(self._deliver_one)
        self._readers = WeakSet[Messages[Any]]()

    def __repr__(self) -> str:
        return f"<Channel {self.name!r} {'subscribed' if self.is_subscribed else 'not subscribed'}>"

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._state.name

    def _configure(self, options: ChannelOptions) -> str:
        """Take other options. Returns the names of those that have to wait for the next subscription."""
        return ", ".join(self._state.configure(options, subscribed=self._ready is not None))

    @property
    def is_subscribed(self) -> bool:
        """Whether it is subscribed to; a connection that is just being re-established does not matter."""
        return self._manager.subscriptions.get(self.key) is self and self._state.begun

    def subscribe(self, use: object = None) -> Subscribing[Self]:
        """Subscribe, and wait until no later message can be missed: await what it returns. That names the use, too.

        Calls are counted, so parts of an application can share a channel: each needs its own ``unsubscribe``, also where the
        server has ended it since; one that raises needs none. After a reconnect it resumes from the last message. What comes
        with it waits for the first listener of its event. Returns also when it was unsubscribed or disconnected before.

        Args:
            use: names the use: any object, such as the component's ``self``. Only ``unsubscribe`` with that object ends it.

        Raises:
            RealtimeError: it is rejected, or the connection fails for good.
        """
        begun = Use(use)
        return Subscribing(begun, self._subscribe(begun))

    async def _subscribe(self, use: Use) -> Self:
        self._manager.here()
        if not self._uses.begin(use):
            return self
        try:
            await asyncio.shield(self._begin())
        except asyncio.CancelledError:
            if self._uses.withdraw(use):
                await self._leave()
            raise
        return self

    def _begin(self) -> asyncio.Future[None]:
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            if not self._leaving:  # else behind that
                self._manager.subscribe(self)
        return self._ready

    async def unsubscribe(self, use: object = None) -> None:
        """Leave once it was called as often as ``subscribe``; other clients see it at once. Iterators end, listeners stay.

        Args:
            use: which use it ends: what ``subscribe`` returned, or the name that it got; nothing if that has ended or was
                refused. Without it any use that has no name and is no ``with`` block, of the oldest subscription first.
        """
        self._manager.here()
        known = Subscribing.use_of(use)
        if self._uses.leave(use) if known is None else self._uses.withdraw(known):
            await self._leave()

    async def _leave(self) -> None:
        self._forget(None)
        for reader in tuple(self._readers):
            reader.end(None)
        self._leaving += 1
        try:
            await self._manager.unsubscribe(self)
        finally:
            self._leaving -= 1
            if self._ready is not None and not self._leaving:
                self._manager.subscribe(self)

    def _forget(self, error: RealtimeError | None) -> bool:
        """There is no subscription any more. Returns whether a ``subscribe`` was waiting for it; that raises ``error``."""
        ready, self._ready = self._ready, None
        waiting = ready is not None and not ready.done()
        self._uses.end(refused=waiting and error is not None)
        self._state.forget()
        self._events.drop()
        if ready is None or not waiting:
            return False
        if error is None:
            ready.set_result(None)
        else:
            ready.set_exception(error)
        return True

    async def send(
        self,
        event: str,
        data: object = None,
        *,
        id: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Ack:
        """Publish, and wait until it is committed. Subscribing is not needed for that.

        Without a connection it waits for one, and after a lost one it is sent again: it is stored once all the same. If the
        waiting task is cancelled, a message that has not been sent yet is dropped.

        Args:
            event: the event's name.
            data: any JSON value.
            id: an id of the application, unique in the channel; generated by default.
            traceparent: the W3C trace context that the message continues; subscribers with ``meta`` get it.
            tracestate: of that context.

        Raises:
            RealtimeError: rejected, or ``RT_001``: too many messages wait offline, or the connection failed for good.
            TypeError, ValueError: ``data`` is no JSON, or ``event`` no name.
        """
        expect_text("event", event)
        expect_optional_text("id", id)
        expect_trace(traceparent, tracestate)
        sealed, id = self._state.encrypt(event, data), id or str(uuid.uuid4())
        message = {"type": "message", "channel": self.name, "event": event, "data": sealed, "id": id}
        trace = {"traceparent": traceparent, "tracestate": tracestate}
        message |= {name: value for name, value in trace.items() if value is not None}
        answer = await self._manager.send(message)
        return Ack(answer.get("id"), answer.get("position"))

    async def history(self, *, before: str | None = None, limit: int = 50) -> HistoryPage:
        """Messages from before the subscription, a page at a time: those that it would have received, by its filter too.

        With a filter a page may have few messages, or none, although there are earlier ones: ``before`` of the page shows
        that. What cannot be decrypted is skipped, and emitted as ``error``. Waits for a ``subscribe`` that is under way, and
        is sent again after a reconnect.

        Args:
            before: the ``before`` of the last page, or the position of a message; the latest messages without it.
            limit: how many at most, up to 1000. A page has at most 1 MiB.

        Raises:
            RealtimeError: ``RT_004``: not subscribed; ``RT_007``: ``before`` or ``limit`` is invalid.
        """
        if not await self._is_settled():
            raise RealtimeError(ErrorCode.NOT_FOUND, "subscribe to the channel first", self.name)
        request = {"type": "history", "channel": self.name, "limit": limit}
        answer = await self._manager.send(request | ({} if before is None else {"before": before}))
        events = [self._state.opened(raw) for raw in answer["messages"]]
        for error in (payload for kind, payload in events if kind == "error"):
            self._report_error(error)
        return HistoryPage(tuple(payload for kind, payload in events if kind == "message"), answer["before"])

    async def update_presence(self, data: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Change the presence of this client; other fields stay. Sent again after a reconnect, unless it was refused.

        Raises:
            RealtimeError: ``RT_009``: not subscribed with presence, or the data is invalid.
        """
        expect_mapping("presence", {} if data is None else data)
        await self._require_subscription()
        update = {**(data or {}), **fields}
        await self._manager.send({"type": "presence:update", "channel": self.name, "data": update})
        self._state.keep_presence(update)

    @property
    def presence(self) -> Presence:
        """The present users as of the last message of the server."""
        return self._state.presence.current

    async def get_presence(self) -> Presence:
        """The present users, kept from the server's messages: no request. Waits for a ``subscribe`` that is under way.

        Raises:
            RealtimeError: ``RT_009``: not subscribed, or the channel was made without ``presence``.
        """
        if not self._state.with_presence:
            raise RealtimeError(
                ErrorCode.PRESENCE_REJECTED, "make the channel with presence=True to see who is there", self.name
            )
        await self._require_subscription()
        return self.presence

    async def _require_subscription(self) -> None:
        if not await self._is_settled():
            raise RealtimeError(ErrorCode.PRESENCE_REJECTED, "subscribe to the channel first", self.name)

    async def _is_settled(self) -> bool:
        """Whether it is subscribed to, once a ``subscribe`` that is under way has its answer. Raises what that raises."""
        if self._ready is not None:
            await asyncio.shield(self._ready)
        return self.is_subscribed

    @overload
    def messages(
        self, event: str | None = None, *, buffer: int = 1000, overflow: Literal["error", "drop-oldest"] = "error"
    ) -> Messages: ...

    @overload
    def messages(
        self,
        event: str | None,
        data: type[T],
        *,
        buffer: int = 1000,
        overflow: Literal["error", "drop-oldest"] = "error",
    ) -> Messages[T]: ...

    def messages(
        self,
        event: str | None = None,
        data: type[object] | None = None,
        *,
        buffer: int = 1000,
        overflow: Literal["error", "drop-oldest"] = "error",
    ) -> Messages[Any]:
        """An async iterator over the messages from now on, and those that have waited for a listener; it ends when the
        channel is unsubscribed. A loop over it while the channel is not subscribed to raises ``RT_004``.

        Args:
            event: only messages with this event; all by default.
            data: the type of their data, such as a ``TypedDict``, for type checkers: no data is checked or converted.
            buffer: how many messages may wait for the loop's body.
            overflow: the reaction to a full buffer: ``error`` ends the iteration with a ``RealtimeError``
                (RT_001) after those that wait; ``drop-oldest`` skips the oldest, and counts them in ``dropped``.
        """
        expect_type("data", data)
        self._events.release(of_messages=True)
        return Messages(self.name, self._readers, lambda: self._ready is not None, event, buffer, overflow)

    async def __aenter__(self) -> Self:
        return await self.subscribe(BLOCK)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.unsubscribe(BLOCK)

    # Called by the subscription manager.

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
        return {"type": "unsubscribe", "channel": self.name, "id": self.key}

    def base(self) -> object:
        """See ``Subscription``."""
        return None

    def subscribed(self, message: Raw, base: object, *, seamless: bool) -> None:
        """See ``Subscription``."""
        first = not self._state.begun
        self._take(self._state.subscribed(message, seamless=seamless))
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        self._events.put("subscribed")
        if first:
            self._events.pause()

    def received(self, message: Raw, *, quiet: bool) -> None:
        """See ``Subscription``. Messages of any connection are in order and new, so ``quiet`` has no effect."""
        if self._state.begun:
            self._take(self._state.receive(message))

    def catch_up(self, *, force: bool) -> bool:
        """See ``Subscription``."""
        return True

    def ended(self, error: RealtimeError, *, quiet: bool = False) -> None:
        """See ``Subscription``."""
        self._events.flush()
        readers = tuple(self._readers)
        for reader in readers:
            reader.end(None if quiet else error)
        if self._forget(None if quiet else error) or quiet:
            return
        if readers:  # which raise it
            self._deliver("error", error)
        else:
            self._report_error(error)

    def _listened(self, event: str) -> None:
        self._events.release(of_messages=event == "*" or not is_reserved(event))

    def _take(self, events: list[tuple[str, Any]]) -> None:
        for event, payload in events:
            self._events.put(event, payload)

    def _deliver_one(self, event: str, *payload: Any) -> bool:
        if event == "error":
            self._report_error(payload[0])
        elif event == "message":
            message, readers = payload[0], tuple(self._readers)
            listened = self._deliver("*" if is_reserved(message.event) else message.event, message, also="*")
            return any([listened, *(reader.take(message) for reader in readers)])
        else:
            return self._deliver(event, *payload) or not OWN.match(event)
        return True
