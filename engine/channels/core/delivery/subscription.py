"""One subscriber's hold on a channel: what is delivered to it, and what waits until it has begun.

Theory of operation. A subscription is *waiting to begin*, *begun* or *ended*.

- Waiting to begin: messages that it wants are kept in order (``_backlog``); presence is not, since the whole list
  follows :meth:`begin`. An end that comes meanwhile is kept (``_ended``) and is delivered by ``begin``, after what waits.
- Begun: every event is delivered in order.
- Ended, from either: by ``cancel`` (the client's), ``finish`` (the channel's), ``review`` (its rights) or ``give_up`` (a
  delivery that failed, so events are missing). Nothing is delivered any more. The final state.

A subscriber with ``options.conflate`` gets what its conflator lets pass, chosen by its filter already (``chosen``).

In both of the first, ``waiting`` marks a read of the past that is under way: messages of the stream are left to it.
Invariant: ``last`` only grows, and a message that is not beyond it is not delivered, so a message that is read and streamed
comes once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Protocol

import structlog

from engine.channels.core.delivery.channel_batch import ChannelBatch
from engine.channels.core.delivery.conflator import Conflator
from engine.channels.core.delivery.events import EndEvent, MessageEvent, PlainEvent
from engine.channels.core.filters.document import Document, Path
from engine.channels.core.filters.filter import Test, compile_filter, path_of
from engine.channels.core.filters.mutes import Mutes
from engine.channels.core.messages.audience import attributes_of, audience_of
from engine.channels.core.messages.model import (
    ChannelEvent,
    ChannelOptions,
    Member,
    OlderMessages,
    Position,
    Receiver,
    UnavailableError,
)

__all__ = ["ChannelSource", "Subscription"]

_log = structlog.get_logger(__name__)

_NOTHING = Mutes()


class ChannelSource(Protocol):
    """What the subscriptions of a node ask of its channels; one object for all of them."""

    @property
    def position(self) -> str:
        """The position of the stream."""

    def presence(self, channel: str) -> bytes:
        """Who is present in ``channel``: ``{"users":[…],"count":n}``."""

    def older(self, subscription: Subscription, before: Position | None, limit: int) -> Awaitable[OlderMessages]:
        """See :meth:`Subscription.older`."""

    def release(self, subscription: Subscription) -> None:
        """``subscription`` has ended."""


class Subscription:
    """Nothing is delivered before :meth:`begin`; from then on every event, in order, until :meth:`cancel` or one with
    ``error``.

    Messages are never missed in between: from the hand-over to ``begin()`` they wait in order. Presence starts at
    ``begin()``. ``recovered``: whether everything after the requested position follows; None if none was requested.
    ``since``: every wanted message after this position follows; None if nothing of the past was requested.
    """

    __slots__ = (
        "_attributes",
        "_backlog",
        "_begun",
        "_conflator",
        "_ended",
        "_events",
        "_lane",
        "_plain",
        "_receiver",
        "_source",
        "_test",
        "channel",
        "joined",
        "last",
        "member",
        "mutes",
        "options",
        "recovered",
        "since",
        "waiting",
    )

    def __init__(
        self, channel: str, options: ChannelOptions, member: Member, receiver: Receiver, source: ChannelSource
    ) -> None:
        self.channel = channel
        self.options = options
        self.member = member
        self.mutes = _NOTHING
        self.recovered: bool | None = None
        self.since: str | None = None
        self.joined = False  # has a presence row
        self.waiting = False  # its past is being read (again): live messages are left to that read
        self.last = (0, 0)  # position of the last message delivered
        self._receiver = receiver
        self._source = source
        self._begun = False
        self._ended: ChannelEvent | None = None
        self._backlog: list[ChannelEvent] | None = None  # as of most: then there is no list
        self._attributes: Document | None = None
        self._events = None if options.events is None else frozenset(options.events)
        self._test: Test | None = compile_filter(options.where) if options.where else None
        self._plain = self._events is None and self._test is None
        self._lane: Path | None = None if options.conflate is None else path_of(options.conflate.key)
        self._conflator: Conflator | None = None

    @property
    def position(self) -> str:
        """Nothing after this one can be missed."""
        return self._source.position

    @property
    def behind(self) -> bool:
        """Whether messages before the stream's position are still to be delivered."""
        return self.waiting or (self._conflator is not None and self._conflator.due is not None)

    @property
    def selection(self) -> tuple[frozenset[str] | None, Test | None]:
        """The names of events and the filter of messages that it asked for, as far as it did."""
        return self._events, self._test

    def conflated_by(self, conflator: Conflator, test: Test | None) -> None:
        """``conflator`` holds its messages from here on; ``test`` is a filter that equals its own."""
        self._conflator = conflator
        self._test = test

    def presence_json(self) -> bytes | None:
        """``{"users":[…],"count":n}`` as of now; None if presence was not asked for."""
        return None if self.options.presence is None else self._source.presence(self.channel)

    def older(self, before: Position | None, limit: int) -> Awaitable[OlderMessages]:
        """The last ``limit`` messages before a position that are wanted here, or fewer; None: up to the stream's."""
        return self._source.older(self, before, limit)

    def begin(self) -> None:
        """Deliver what was asked for of the past, and everything after it in order."""
        if self._begun:
            return
        self._begun = True
        backlog, self._backlog = self._backlog, None
        try:
            for event in backlog or ():
                self.event(event)
        except Exception as problem:  # noqa: BLE001 - as for a later delivery
            self.give_up(problem)
            return
        if self._ended is not None:
            self.end(self._ended)

    def cancel(self) -> None:
        """Deliver nothing more; a member with presence leaves."""
        self._begun = False
        self._backlog = None
        self._source.release(self)

    def event(self, event: ChannelEvent) -> None:
        """A message this subscriber wants, or an event of the channel itself."""
        if self._begun:
            self._receiver.deliver(event)
        elif self._ended is None:
            if self._backlog is None:
                self._backlog = []
            self._backlog.append(event)

    def presences(self, batch: ChannelBatch[PlainEvent]) -> None:
        """Changes of who is present, in order. Before ``begin()`` they are part of the list that is delivered then."""
        if not self._begun or self.options.presence is None:
            return
        if len(batch.events) > 1:
            self._receiver.deliver_batch(batch)
        else:
            self._receiver.deliver(batch.events[0])

    def end(self, event: ChannelEvent) -> None:
        """The last event. Does not raise."""
        self._ended = event
        if self._begun:
            self._begun = False
            try:
                self._receiver.deliver(event)
            except Exception as problem:  # noqa: BLE001 - logged
                _log.error("subscription_end_not_delivered", channel=self.channel, exc_info=problem)

    def finish(self, event: ChannelEvent) -> None:
        """The last event, after whatever waits; then the subscription is let go of."""
        self.end(event)
        self._source.release(self)

    def review(self) -> None:
        """Rules or metadata of the channel changed: end it if the subscriber may not have it any more."""
        if self._ended is None and (refused := self._receiver.access()) is not None:
            self._backlog = None
            self.finish(EndEvent(refused, self.channel))

    def give_up(self, problem: Exception) -> None:
        """A delivery failed, so events are missing: end it. The client may subscribe again from its last position."""
        _log.error("subscription_failed", channel=self.channel, exc_info=problem)
        self._backlog = None
        self.finish(
            EndEvent(UnavailableError("the server failed to go on with this subscription; try again"), self.channel)
        )

    def message(self, event: MessageEvent, *, chosen: bool = False) -> None:
        """The next message of the channel: delivered if it is wanted here."""
        key = event.key
        if self.waiting or key <= self.last:
            return
        self.last = key
        if self._admits(event) if chosen else self.wants(event):
            self.event(event.annotated if self.options.meta else event)

    def chosen(self, batch: ChannelBatch[MessageEvent]) -> None:
        """As :meth:`messages`, of those that its filter has let through."""
        self.messages(batch, chosen=True)

    def messages(self, batch: ChannelBatch[MessageEvent], *, chosen: bool = False) -> None:
        """The next messages of the channel, in order; at once, if they are all wanted here."""
        events = batch.events
        if (
            not self._begun
            or not (self._plain or chosen)
            or batch.addressed
            or self.waiting
            or self.mutes.active
            or events[0].key <= self.last
        ):
            for event in events:
                self.message(event, chosen=chosen)
            return
        self.last = events[-1].key
        if self.options.meta:
            batch = ChannelBatch.annotated(batch)
            events = batch.events
        if len(events) > 1:
            self._receiver.deliver_batch(batch)
        else:
            self._receiver.deliver(events[0])

    def replay(self, events: Iterable[MessageEvent]) -> None:
        """Messages of the past, each later than every one before."""
        for event in events:
            if event.key > self.last:
                self.last = event.key
                if self.wants(event):
                    self.event(event.annotated if self.options.meta else event)

    @property
    def filters(self) -> bool:
        """Whether messages are judged by a filter."""
        return self._test is not None

    def tests(self, event: MessageEvent) -> tuple[Test, ...]:
        """The filter that decides about the message, if it comes to that; for :func:`judge_ahead`."""
        if self._test is None or (self._events is not None and event.row.event not in self._events):
            return ()
        return (self._test,)

    def lanes(self, event: MessageEvent) -> tuple[Path, ...]:
        """The path of the value that the message is conflated by, if it comes to that; for :func:`judge_ahead`."""
        if self._lane is None or (self._events is not None and event.row.event not in self._events):
            return ()
        return (self._lane,)

    def wants(self, event: MessageEvent) -> bool:
        """Whether the message is for this subscriber."""
        if self._events is not None and event.row.event not in self._events:
            return False
        return self._admits(event) and (self._test is None or event.meets(self._test))

    def _admits(self, event: MessageEvent) -> bool:
        """Whether neither the user's mutes nor the message's audience keep it from this subscriber."""
        row = event.row
        if self.mutes.active and self.mutes.mutes(event.channel, row.event):
            return False
        if row.audience is None:
            return True
        if self._attributes is None:
            self._attributes = attributes_of(self.member)
        return audience_of(row.audience).includes(self.member, self._attributes, row.sender, row.connection_id)
