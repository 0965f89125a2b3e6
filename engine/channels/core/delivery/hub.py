"""From a transaction to its subscribers: which event goes to whom, in which order. No I/O.

Invariant: every subscriber of a channel gets the channel's messages in commit order, each exactly once, or its end. A
subscriber to which a delivery fails gets nothing more; the others are not affected. Within one transaction channels
with messages of higher priority come first; a channel's own messages never change their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from engine.channels.core.delivery.channel_batch import message_batches, presence_batches
from engine.channels.core.delivery.conflation import Conflation, Timers
from engine.channels.core.delivery.events import EndEvent, MessageEvent, PlainEvent
from engine.channels.core.delivery.held_messages import HeldMessages
from engine.channels.core.delivery.judging import judge_ahead
from engine.channels.core.delivery.kinds import ChannelKinds
from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.decode import ControlMessage
from engine.channels.core.messages.model import ChannelEvent, KickedError, Member

__all__ = ["ChannelHub"]

T = TypeVar("T")

_REVIEWED: Final = 100  # subscriptions between two turns of the loop


class ChannelHub:
    """The subscriptions of this node by channel and by connection.

    ``timers``: those of its ``conflation``.
    """

    def __init__(self, timers: Timers | None = None) -> None:
        self._channels: dict[str, dict[Subscription, None]] = {}
        self._by_connection: dict[str, dict[Subscription, None]] = {}
        self.delivered = 0
        self.kinds = ChannelKinds()
        self.held = HeldMessages()
        self.conflation = Conflation(lambda each, batch: self._deliver(each, Subscription.chosen, batch), timers)

    def __iter__(self) -> Iterator[Subscription]:
        for subscriptions in self._channels.values():
            yield from subscriptions

    def __len__(self) -> int:
        return sum(map(len, self._channels.values()))

    @property
    def channels(self) -> list[str]:
        """The channels with subscribers on this node."""
        return list(self._channels)

    def sizes(self) -> Iterator[tuple[str, int]]:
        """The channels, each with its number of subscriptions."""
        return ((channel, len(subscriptions)) for channel, subscriptions in self._channels.items())

    def of(self, channel: str) -> list[Subscription]:
        """The subscriptions to one channel."""
        return list(self._channels.get(channel, ()))

    def of_connection(self, connection_id: str) -> list[Subscription]:
        """The subscriptions of one connection."""
        return list(self._by_connection.get(connection_id, ()))

    def add(self, subscription: Subscription) -> None:
        """Deliver to ``subscription`` from the next transaction on."""
        mine = self._by_connection.setdefault(subscription.member.connection_id, {})
        if subscription not in mine:
            self.kinds.count(subscription.channel, (each.channel for each in mine), 1)
            mine[subscription] = None
            self.conflation.add(subscription, self._channels.get(subscription.channel, ()))
        self._channels.setdefault(subscription.channel, {})[subscription] = None

    def remove(self, subscription: Subscription) -> bool:
        """Stop delivery to ``subscription``. False if it was removed already."""
        subscriptions = self._channels.get(subscription.channel, {})
        if subscription not in subscriptions:
            return False
        self.conflation.remove(subscription)
        del subscriptions[subscription]
        if not subscriptions:
            del self._channels[subscription.channel]
        mine = self._by_connection[subscription.member.connection_id]
        del mine[subscription]
        self.kinds.count(subscription.channel, (each.channel for each in mine), -1)
        if not mine:
            del self._by_connection[subscription.member.connection_id]
        return True

    def interrupt(self) -> None:
        """Messages may be missing in the stream: all wait until their past was read."""
        self.conflation.flush()  # what is held is from before: no read brings it again
        self.held.begin(self._channels)
        for subscription in self:
            subscription.waiting = True

    def judge(self, events: Sequence[MessageEvent]) -> Iterator[None]:
        """Ask the subscribers' filters about one transaction's messages, and find what they are conflated by, ahead of
        :meth:`messages`. Yields now and then.
        """
        return judge_ahead(events, self.of, lanes=True)

    def messages(self, events: list[MessageEvent]) -> None:
        """Deliver one transaction's messages."""
        if self.held:
            self.held.hold(events)
        if any(event.row.priority for event in events):
            highest: dict[str, int] = {}
            for event in events:
                highest[event.channel] = max(highest.get(event.channel, -32768), event.row.priority)
            events.sort(key=lambda event: -highest[event.channel])
        for batch in message_batches(events):
            conflated = self.conflation.of(batch.channel)
            if conflated is None:
                self._each(batch.channel, Subscription.messages, batch)
            else:
                self._deliver(list(conflated.direct), Subscription.messages, batch)
                self.conflation.take(batch.channel, conflated, batch)
            for event in batch.events:
                event.delivered()

    def presence(self, events: Iterable[PlainEvent]) -> None:
        """Deliver to the subscribers that asked for presence."""
        for batch in presence_batches(events):
            self._each(batch.channel, Subscription.presences, batch)

    def review(self, channels: Iterable[str]) -> Iterator[None]:
        """Judge again the subscriptions to these channels; who may not stay gets its end. Yields now and then."""
        judged = 0
        for channel in channels:
            for subscription in self.of(channel):
                subscription.review()
                judged += 1
                if judged % _REVIEWED == 0:
                    yield

    def to_channel(self, channel: str, event: ChannelEvent) -> None:
        """Deliver to every subscriber of a channel."""
        self._each(channel, Subscription.event, event)

    def _each(self, channel: str, deliver: Callable[[Subscription, T], None], what: T) -> None:
        self._deliver(self.of(channel), deliver, what)

    def _deliver(self, to: Iterable[Subscription], deliver: Callable[[Subscription, T], None], what: T) -> None:
        for subscription in to:
            try:
                deliver(subscription, what)
            except Exception as problem:  # noqa: BLE001 - whatever one subscriber's filter or connection does
                subscription.give_up(problem)

    def kick(self, control: ControlMessage) -> list[Subscription]:
        """End the subscriptions a ``kick`` names; returns them."""
        channel = control.channel
        if channel is None or (control.user_id is None and control.connection_id is None):
            return []
        kicked = [subscription for subscription in self.of(channel) if _is_meant(subscription.member, control)]
        reason = f"you were removed from {channel}" + (f": {control.reason}" if control.reason else "")
        for subscription in kicked:
            subscription.end(EndEvent(KickedError(reason), channel))
        return kicked


def _is_meant(member: Member, control: ControlMessage) -> bool:
    if control.connection_id is not None and member.connection_id != control.connection_id:
        return False
    return control.user_id is None or control.user_id in (member.user_id, member.presence_id)
