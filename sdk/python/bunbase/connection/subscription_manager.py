"""Subscriptions and unanswered messages, independent of the current connection.

One link is active: only that one delivers messages and sends them. A second one can be prepared beside it: it opens every
subscription, and its messages are buffered until it takes over; then the first one counts as lost and the buffer is
delivered. So no message is lost or delivered twice, with the same code as for a reconnect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bunbase.connection.link import RETRY_LIMITED, Link
from bunbase.connection.subscription import Raw, Subscription
from bunbase.core.backoff import full_jitter
from bunbase.core.recent_ids import RecentIds
from bunbase.core.send_queue import SendQueue
from bunbase.protocol import codec
from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import ConnectionEndedError, RealtimeError
from bunbase.protocol.model import Message

__all__ = ["SubscriptionManager"]

_TRANSIENT = frozenset((ErrorCode.CONNECTION_FAILED, ErrorCode.RATE_LIMITED))
_RETRY_AFTER = 1.0
_MAX_RETRY_DELAY = 10.0
_CATCH_UP_WITHIN = 1.0
_MESSAGE_SIZE = 128 * 1024


@dataclass(eq=False)
class _Prepared:
    bases: dict[str, object]
    waiting: set[str]
    ready: asyncio.Future[None]
    buffer: list[Raw] = field(default_factory=list)
    left: set[str] = field(default_factory=set)  # whose unsubscribe has no answer yet

    def leave(self, key: str) -> None:
        """It is unsubscribed: nothing of it counts, and who subscribes again has to ask for it."""
        self.bases.pop(key, None)
        self.left.add(key)
        self.buffer = [message for message in self.buffer if _key(message) != key]
        self.answered(key)

    def answered(self, key: str) -> None:
        """There is an answer about it, or none is needed."""
        self.waiting.discard(key)
        if not self.waiting:
            _done(self.ready)


class SubscriptionManager:
    """See the module. ``direct`` gets what is for this connection itself, ``failed`` errors without a subscription."""

    def __init__(self, queue_limit: int) -> None:
        self.active: Link | None = None
        self.hindrance: Callable[[], str] = str
        self.send_queue = SendQueue(queue_limit)
        self.subscriptions: dict[str, Subscription] = {}
        self._prepared: dict[Link, _Prepared] = {}
        self._leaving: dict[str, asyncio.Future[None]] = {}
        self._failures: dict[str, int] = {}  # by subscription: refusals for the moment in a row
        self._limits: Raw = {}
        self._ids = RecentIds()

    def direct(self, event: str, *message: Message) -> None:
        """A ``message`` for this connection itself, or a ``gap``: such a one may be missing. To be overridden."""

    def failed(self, error: RealtimeError) -> None:
        """An error that belongs to no request. To be overridden."""

    def needed(self) -> None:
        """A connection is needed. To be overridden."""

    def here(self) -> None:
        """Raise ``RuntimeError`` in another event loop than the connection's. To be overridden."""

    def late(self, problem: str) -> RealtimeError:
        """The error about what has taken too long: also why, if there is no connection."""
        return RealtimeError(ErrorCode.CONNECTION_FAILED, problem + self.hindrance())

    # Connections.

    def activate(self, link: Link) -> None:
        """A connection serves everything from now on."""
        self._take_over(link)
        for subscription in self.subscriptions.values():
            link.post(subscription.request())
        link.wake()

    def lost(self) -> None:
        """There is no connection."""
        self.active = None
        self.send_queue.restart()
        for future in self._leaving.values():
            _done(future)
        self._leaving.clear()

    async def prepare(self, link: Link) -> None:
        """Subscribe to everything on a second link. Raises ``ConnectionEndedError`` if that cannot be done now."""
        subscriptions = dict(self.subscriptions)
        bases = {key: subscription.base() for key, subscription in subscriptions.items()}
        ready = asyncio.get_running_loop().create_future()
        self._prepared[link] = _Prepared(bases, set(bases), ready)
        link.post(*(subscription.request() for subscription in subscriptions.values()))
        if not subscriptions:
            _done(ready)
        await asyncio.wait({ready, link.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise link.ended.result()
        ready.result()

    def abandon(self, link: Link) -> None:
        """The second link is not wanted any more."""
        self._prepared.pop(link, None)

    def switch(self, link: Link, *, seamless: bool) -> None:
        """The prepared link takes over. ``seamless``: everything the old one had was received."""
        prepared = self._prepared.pop(link)
        before = self.active
        self._take_over(link)
        for key, subscription in self.subscriptions.items():
            if key not in prepared.bases:
                link.post(subscription.request())
        for message in prepared.buffer:
            self._dispatch(message, prepared.bases, seamless=seamless, quiet=True)
        behind = [each for each in self.subscriptions.values() if not each.catch_up(force=False)]
        if behind:
            asyncio.get_running_loop().call_later(_CATCH_UP_WITHIN, _catch_up, behind)
        if before is not None:
            for future in self._leaving.values():
                _done(future)
            self._leaving.clear()
        link.wake()

    def _take_over(self, link: Link) -> None:
        self.active = link
        self._limits = link.connected.get("limits", {})
        self.send_queue.restart()

    # Requests.

    async def send(self, message: Raw) -> Raw:
        """Send, and wait for the answer. Raises ``RealtimeError``; ``TypeError`` or ``ValueError`` if it is no JSON."""
        size, most = len(codec.encode_bytes(message)) + 32, self._limits.get("messageSize", _MESSAGE_SIZE)
        if size > most:
            raise RealtimeError(
                ErrorCode.MESSAGE_TOO_LARGE,
                f"the message has {size} bytes; at most {most} are allowed",
                message.get("channel"),
            )
        self.needed()
        future: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        entry = self.send_queue.add(message, partial(_answer, future), online=self.active is not None)
        if self.active is not None:
            self.active.wake()
        try:
            return await future
        finally:
            if not future.done() or future.cancelled():
                self.send_queue.withdraw(entry)

    def subscribe(self, subscription: Subscription) -> None:
        """Serve it, now and after every reconnect."""
        if self.subscriptions.get(subscription.key, subscription) is not subscription:
            raise ValueError(f"{subscription.key!r} is subscribed to by another object; unsubscribe that one first")
        self.needed()
        self.subscriptions[subscription.key] = subscription
        if self.active is not None:
            self.active.post(subscription.request())

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Serve it no more; waits for the server's word if there is a connection."""
        self.here()
        if self.subscriptions.get(subscription.key) is not subscription:
            return
        del self.subscriptions[subscription.key]
        self._failures.pop(subscription.key, None)
        link = self.active
        if link is None:
            return
        future = self._leaving[subscription.key] = asyncio.get_running_loop().create_future()
        for other, prepared in self._prepared.items():
            prepared.leave(subscription.key)
            other.post(subscription.unsubscribe_request())
        link.post(subscription.unsubscribe_request())
        await future

    def fail(self, error: RealtimeError, *, quiet: bool = False) -> None:
        """The connection failed for good: sending stops, and what waits to be served ends. ``quiet``: as was asked for."""
        self.send_queue.fail(error)
        for subscription in list(self.subscriptions.values()):
            if not subscription.begun:
                self._drop(subscription, error, quiet=quiet)

    # Called by the links.

    def next_message(self, link: Link) -> Raw | None:
        """See ``LinkHandler``."""
        if link is not self.active:
            return None
        entry = self.send_queue.next()
        return None if entry is None else entry.message

    def received(self, link: Link, message: Raw) -> None:
        """See ``LinkHandler``."""
        if link is self.active:
            self._dispatch(message, {}, seamless=False, quiet=False)
        elif (prepared := self._prepared.get(link)) is not None:
            if (key := _key(message)) not in prepared.left:
                prepared.buffer.append(message)
                self._look(prepared, message)
            elif message["type"] == "unsubscribed" or (message["type"] == "error" and "id" in message):
                prepared.left.discard(key)

    def _look(self, prepared: _Prepared, message: Raw) -> None:
        """Is the prepared link ready?"""
        if message["type"] not in ("subscribed", "error"):
            return
        if message["type"] == "error" and message.get("code") in _TRANSIENT and not prepared.ready.done():
            prepared.ready.set_exception(ConnectionEndedError(f"not now: {message.get('message')}"))
            return
        prepared.answered(_key(message))

    def _dispatch(self, message: Raw, bases: dict[str, object], *, seamless: bool, quiet: bool) -> None:
        kind, channel = message["type"], message.get("channel", "")
        key = _key(message)
        if kind in ("ack", "seen", "history"):
            self.send_queue.answered(message.get("ref", ""), message)
        elif kind == "error":
            self._error(message)
        elif kind == "unsubscribed":
            _done(self._leaving.pop(key, None))
        elif channel == "*" and kind == "message":
            self._direct(Message.of(message))
        elif channel == "*" and kind == "gap":
            self.direct("gap")
        elif (subscription := self.subscriptions.get(key)) is not None:
            if kind == "subscribed":
                self._failures.pop(key, None)
                subscription.subscribed(message, bases.get(key), seamless=seamless)
            else:
                subscription.received(message, quiet=quiet)
                if kind == "room:closed" and self.subscriptions.get(key) is subscription:
                    self._drop(subscription, RealtimeError(ErrorCode.NOT_FOUND, "the room was closed", channel))

    def _direct(self, message: Message) -> None:
        """There is no subscription whose positions identify new messages, so the ids of the last ones are kept."""
        if self._ids.is_new(message.id, message.sender):
            self.direct("message", message)

    def _error(self, message: Raw) -> None:
        error, ref = RealtimeError.of(message), message.get("ref", "")
        if ref:  # about a message; one without an entry was answered before
            soon = error.code == ErrorCode.RATE_LIMITED and (error.retry_after or 0.0) <= RETRY_LIMITED
            if not (soon and self.send_queue.refused(ref)):
                self.send_queue.answered(ref, error)
            return
        key, id = _key(message), message.get("id")
        if id and (
            id == message.get("channel") or key not in self.subscriptions
        ):  # of a channel that is no other request's
            _done(self._leaving.pop(key, None))  # it had ended already
        elif key in self._leaving:
            pass  # it ended, or was refused, before the server had the unsubscribe, whose answer follows
        elif (subscription := self.subscriptions.get(key)) is None:
            self.failed(error)
        elif error.code == ErrorCode.CONNECTION_FAILED or (error.code == ErrorCode.RATE_LIMITED and error.retry_after):
            attempt = self._failures[key] = self._failures.get(key, -1) + 1
            delay = (error.retry_after or 0.0) + full_jitter(attempt, _RETRY_AFTER, _MAX_RETRY_DELAY)
            asyncio.get_running_loop().call_later(delay, self._retry, subscription, self.active)
        else:
            self._drop(subscription, error)

    def _retry(self, subscription: Subscription, link: Link | None) -> None:
        if link is not None and link is self.active and self.subscriptions.get(subscription.key) is subscription:
            link.post(subscription.request())

    def _drop(self, subscription: Subscription, error: RealtimeError, *, quiet: bool = False) -> None:
        del self.subscriptions[subscription.key]
        self._failures.pop(subscription.key, None)
        subscription.ended(error, quiet=quiet)


def _key(message: Raw) -> str:
    """The subscription that it is about; those to channels have no id, but ``unsubscribe`` has their name."""
    kind, channel = message["type"], str(message.get("channel", ""))
    return message.get("id") or channel if kind in ("subscribed", "unsubscribed", "snapshot", "error") else channel


def _catch_up(behind: list[Subscription]) -> None:
    for subscription in behind:
        subscription.catch_up(force=True)


def _answer(future: asyncio.Future[Raw], answer: Raw | RealtimeError) -> None:
    if future.done():
        return
    if isinstance(answer, RealtimeError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _done(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
