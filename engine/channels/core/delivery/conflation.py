"""The subscribers of a node that have messages conflated, by channel. No I/O.

Theory of operation. Subscribers of a channel that are to get the same messages, conflated alike, are a *group* with one
:class:`~engine.channels.core.delivery.conflator.Conflator`: a message is judged once per group, not once per subscriber.
Filters come first, so the latest message of a value is the latest that the group wants. A message for some only
(``audience``) has no value here: it must not take the place of one that all get. A user's mutes differ from those of others,
so who has some is in a group of that user.

Each channel has one timer (:class:`Timers`), set while a group of it holds messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from engine.channels.core.delivery.channel_batch import ChannelBatch, message_batches
from engine.channels.core.delivery.conflator import Conflator
from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.filters.filter import path_of
from engine.channels.core.messages.model import Conflate
from engine.values.exact_json import write_exact

__all__ = ["ConflatedChannel", "Conflation", "Timers"]


class Timers(Protocol):
    """What calls :meth:`Conflation.release` with a channel when it is time, and knows the time."""

    def clock(self) -> int:
        """Nanoseconds that only grow."""

    def set(self, channel: str, due: int) -> None:
        """Call at ``due``, by :meth:`clock`, instead of when it was set for."""

    def cancel(self, channel: str) -> None:
        """Do not call."""


class _NoTimers:
    def clock(self) -> int:
        return 0

    def set(self, channel: str, due: int) -> None:
        pass

    def cancel(self, channel: str) -> None:
        pass


class _Group:
    """Subscribers that get the same; see the module. ``last``: the position of the latest message of the channel."""

    __slots__ = ("_events", "_path", "_test", "conflator", "key", "last", "members", "mutes")

    def __init__(self, key: object, conflate: Conflate, first: Subscription) -> None:
        self.key = key
        self.members: dict[Subscription, None] = {}
        self.conflator = Conflator(conflate.ms * 1_000_000)
        self.last = (0, 0)
        self.mutes = first.mutes if first.mutes.active else None
        self._path = path_of(conflate.key)
        self._events, self._test = first.selection

    def add(self, subscription: Subscription) -> None:
        """From here on it gets what passes. Equal filters become one, whose verdict on a message is found once."""
        subscription.conflated_by(self.conflator, self._test)
        self.members[subscription] = None

    def take(self, events: Iterable[MessageEvent], now: int) -> list[MessageEvent]:
        """What the members get now."""
        passing: list[MessageEvent] = []
        for event in events:
            self.last = max(self.last, event.key)
            if self.mutes is not None and self.mutes.mutes(event.channel, event.row.event):
                continue
            if event.selected(self._events, self._test):
                lane = None if event.row.audience is not None else event.lane(self._path)
                passing += self.conflator.take(event, lane, now)
        return passing


class ConflatedChannel:
    """A channel with subscribers that conflate. ``direct``: the others. ``armed``: when its timer is set for."""

    __slots__ = ("_group_of", "armed", "direct", "groups")

    def __init__(self, others: Iterable[Subscription]) -> None:
        self.direct = dict.fromkeys(others)
        self.groups: dict[object, _Group] = {}
        self.armed: int | None = None
        self._group_of: dict[Subscription, _Group] = {}

    def put(self, subscription: Subscription, conflate: Conflate) -> _Group:
        """Put it into the group where it belongs."""
        key = _key(subscription, conflate)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = _Group(key, conflate, subscription)
        group.add(subscription)
        self._group_of[subscription] = group
        return group

    def move(self, subscription: Subscription) -> None:
        """Its user has mutes now, or none any more."""
        self.take_out(subscription)
        if subscription.options.conflate is not None:
            self.put(subscription, subscription.options.conflate)

    def take_out(self, subscription: Subscription) -> None:
        """Take it out of where it is. What is held for no other is let go of."""
        self.direct.pop(subscription, None)
        group = self._group_of.pop(subscription, None)
        if group is not None:
            del group.members[subscription]
            if not group.members:
                del self.groups[group.key]


class Conflation:
    """See the module. ``deliver`` gives a batch to each of some subscribers."""

    def __init__(
        self,
        deliver: Callable[[Sequence[Subscription], ChannelBatch[MessageEvent]], None],
        timers: Timers | None = None,
    ) -> None:
        self._deliver = deliver
        self._timers = _NoTimers() if timers is None else timers
        self._channels: dict[str, ConflatedChannel] = {}

    def of(self, channel: str) -> ConflatedChannel | None:
        """The channel, if a subscriber of it conflates."""
        return self._channels.get(channel) if self._channels else None

    def add(self, subscription: Subscription, others: Iterable[Subscription]) -> None:
        """A new subscriber, conflating or not; ``others``: those that its channel had before."""
        channel = self.of(subscription.channel)
        conflate = subscription.options.conflate
        if conflate is None:
            if channel is not None:
                channel.direct[subscription] = None
            return
        if channel is None:
            channel = self._channels[subscription.channel] = ConflatedChannel(others)
        group = channel.put(subscription, conflate)
        # What is held is from before it came: it has had it with its past, or is not to get it.
        subscription.last = max(subscription.last, group.last)

    def remove(self, subscription: Subscription) -> None:
        """It has ended. With the last group of a channel its timer ends."""
        channel = self.of(subscription.channel)
        if channel is None:
            return
        channel.take_out(subscription)
        self._arm(subscription.channel, channel)
        if not channel.groups:
            del self._channels[subscription.channel]

    def take(self, name: str, channel: ConflatedChannel, batch: ChannelBatch[MessageEvent]) -> None:
        """Messages of the channel ``name``, in order, for its groups."""
        now = self._timers.clock()
        for group in list(channel.groups.values()):
            try:
                passing = group.take(batch.events, now)
            except Exception as problem:  # noqa: BLE001 - of the filter that its members share
                for subscription in list(group.members):
                    subscription.give_up(problem)
                continue
            self._pass(channel, group, passing)
        self._arm(name, channel)

    def release(self, name: str) -> None:
        """Deliver what is due in the channel ``name``: its timer has ended."""
        channel = self.of(name)
        if channel is None:
            return
        channel.armed = None
        now = self._timers.clock()
        for group in list(channel.groups.values()):
            self._pass(channel, group, group.conflator.release(now))
        self._arm(name, channel)

    def flush(self, *names: str) -> None:
        """Deliver what is held in these channels at once, or in all: nothing can be delivered there later."""
        now = self._timers.clock()
        for name in names or list(self._channels):
            if (channel := self.of(name)) is not None:
                for group in list(channel.groups.values()):
                    self._pass(channel, group, group.conflator.flush(now))
                self._arm(name, channel)

    def _pass(self, channel: ConflatedChannel, group: _Group, events: list[MessageEvent]) -> None:
        if not events:
            return
        for batch in message_batches(events):
            self._deliver(list(group.members), batch)
        if group.conflator.due is None:  # so nothing of it is held for those that leave it
            for subscription in [each for each in group.members if each.mutes.active is (group.mutes is None)]:
                channel.move(subscription)

    def _arm(self, name: str, channel: ConflatedChannel) -> None:
        dues = [group.conflator.due for group in channel.groups.values()]
        due = min([due for due in dues if due is not None], default=None)
        if due is None:
            if channel.armed is not None:
                self._timers.cancel(name)
        elif channel.armed is not None and channel.armed <= due:
            return  # it looks again when it ends
        else:
            self._timers.set(name, due)
        channel.armed = due


def _key(subscription: Subscription, conflate: Conflate) -> object:
    """Equal for subscribers of a channel that get the same messages, but for those with an audience."""
    options = subscription.options
    where = None if options.where is None else write_exact(list(options.where), in_order=True)
    events, _ = subscription.selection
    return conflate, events, where, subscription.mutes if subscription.mutes.active else None
