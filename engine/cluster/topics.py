"""Topics: what events of the stream are about, and the proof that a node which takes some of them has missed none. No I/O.

Theory of operation
-------------------
A transaction that changes one table outside the schema ``realtime``, and brings no logical message, has the *topic* of that
table. One that brings nothing but messages of channels whose names have one hash has the topic of that hash. Everything else
is *common* and taken by every node (:mod:`engine.relay.topic` decides). Each topic has a subject of NATS of its own, and all
subjects are in one stream, so their order is the order of commits.

Positions chain over the whole stream, which is no proof for a node that takes a part of it. So three things more travel:

* each event names the position before it on its topic (``prior``): nothing of that topic is between the two;
* what is about a channel or a table comes on two topics, its own and the common one, so each event names the position before
  it on the other ones, too (``others``): an event of a topic the common one's, a common event those of the topics that it
  touches. No more is named than had events since the last sign of life: for the rest the position of that (``ANY``) will do;
* each sign of life has an *index*: the position of the sign of life before it, and for each topic that had events since then
  the position of the last one. All nodes take signs of life. One between the parts of an event proves nothing, since a node
  cannot go on there: the next one has what it has, too.

An event that names a position which a node has not reached, and an index that names what it does not have, is a hole. With
each index a node knows that it has all of its topics up to there, so the relay keeps no more than the topics since the last
one. Where these are many a sign of life follows at once, so what a message names has a bound (``MAX_TOPICS``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Set
from types import MappingProxyType
from typing import Final

from engine.cluster.messages import MAX_TOPICS, Index, Sent
from engine.errors import FeedError
from engine.lsn import Lsn, format_lsn
from engine.relay.topic import COMMON

__all__ = [
    "ANY",
    "COMMON",
    "PulseHistory",
    "StreamBrokenError",
    "TopicChains",
    "TopicHoleError",
    "TopicIndex",
    "UndecodableEventError",
]

ANY: Final = -1
"""In the place of each topic that has had no event since the last sign of life."""

_REMEMBERED: Final = 4096  # signs of life
_LATELY: Final = 32  # the same
_NAMED_LATELY: Final = 10 * MAX_TOPICS  # topics in the first sign of life of a stream, which is no more than that


class StreamBrokenError(FeedError):
    """A message does not follow the one before it. ``missing_until``: what is missing committed before this position, as far
    as the message shows; 0: it shows nothing.
    """

    def __init__(self, message: str, missing_until: Lsn = 0) -> None:
        super().__init__(message)
        self.missing_until = missing_until


class UndecodableEventError(StreamBrokenError):
    """An event came that cannot be read, and would come again: to the node it is missing."""


class TopicHoleError(StreamBrokenError):
    """Events of a topic that a node takes are missing."""


class TopicIndex:
    """The relay's end: the topics of the events since the last index."""

    def __init__(self, since: Lsn = 0, last: Mapping[int, Lsn] = MappingProxyType({})) -> None:
        self.since = since
        self._last = dict(last)
        self._former: deque[Index] = deque(maxlen=_LATELY)

    @property
    def full(self) -> bool:
        """Whether a sign of life has to follow: what messages name is bounded."""
        return len(self._last) >= MAX_TOPICS

    @property
    def pending(self) -> bool:
        """Whether a topic that not all nodes take has events that no index names."""
        return bool(self._last) and self._last.keys() != {COMMON}

    def prior(self, topic: int) -> Lsn:
        """The position before the next event of ``topic``."""
        return self._last.get(topic, self.since)

    def others(self, topic: int, touched: Set[int] | None) -> dict[int, Lsn] | None:
        """The positions before the next event of ``topic`` on other topics that it is about. ``touched``: by a common one;
        None: any.
        """
        if topic != COMMON:
            return {COMMON: self.prior(COMMON)}
        if touched is not None and not touched:
            return None
        named = self._last.keys() - {COMMON} if touched is None else self._last.keys() & touched
        return {ANY: self.since, **{each: self._last[each] for each in named}}

    def note(self, topic: int, position: Lsn) -> None:
        """An event of ``topic`` is complete and ends at ``position``."""
        self._last[topic] = position

    @property
    def now(self) -> Index:
        """What a sign of life has now."""
        return Index(self.since, dict(self._last))

    @property
    def lately(self) -> Index:
        """As ``now``, with some of the indexes before: nodes that have not taken the last ones know what they lack, too."""
        since, last = self.since, self._last
        for each in reversed(self._former):
            if len(last) >= _NAMED_LATELY:
                break
            since, last = each.since, {**each.last, **last}
        return Index(since, last)

    def copy(self) -> TopicIndex:
        """The same, by itself."""
        return TopicIndex(self.since, self._last)

    def begin(self, since: Lsn) -> None:
        """A sign of life at ``since`` had all that was noted."""
        self._former.append(self.now)
        self.since = since
        self._last = {}


class TopicChains:
    """The node's end: up to where it has each topic that it takes.

    Attributes:
        proven: it has all of its topics up to there.
    """

    def __init__(self, position: Lsn) -> None:
        """It has everything that it needs up to ``position``."""
        self.proven = position
        self._last = position  # the position of the last event of any topic
        self._have: dict[int, Lsn] = {}

    def reached(self, topic: int) -> Lsn:
        """All events of ``topic`` up to there were taken."""
        return max(self._have.get(topic, self.proven), self.proven)

    def takes(self, topic: int, sent: Sent, also: Callable[[int], bool], *, late: bool = False) -> bool:
        """The next message of ``topic``; False if its event was taken already. Raises ``TopicHoleError``.

        ``also``: whether another topic is taken, too; ``late``: events of other topics behind it may have been taken.
        """
        reached = self.reached(topic)
        if sent.position <= reached and sent.position != sent.previous:
            return False
        if not 0 <= sent.prior <= reached:
            found, expected = format_lsn(max(0, sent.prior)), format_lsn(reached)
            raise TopicHoleError(
                f"what follows {found} of topic {topic} came where {expected} was reached", max(0, sent.prior)
            )
        for other, before in (sent.others or {}).items():
            if (self.proven if other == ANY else self.reached(other)) < before and (other == ANY or also(other)):
                raise TopicHoleError(
                    f"the event of topic {other} at {format_lsn(before)} is missing before one of {topic}", before
                )
        if not late:
            if sent.position < self._last:
                raise TopicHoleError(f"an event before {format_lsn(self._last)} had been missing", self._last)
            self._last = sent.position
        if sent.last:
            self._have[topic] = sent.position
        return True

    def check(self, sent: Sent, takes: Callable[[int], bool]) -> bool:
        """The index of a sign of life; False if it is known. ``takes``: whether a topic is taken.

        One within an event may come again when a topic is added, behind that event: it is compared, and proves nothing. The
        next one has what it has.

        Raises ``TopicHoleError``.
        """
        index = sent.index
        if index is None:
            raise TopicHoleError("a relay of a version without topics leads")
        if sent.position < self.proven:
            return False
        if index.since > self.proven:
            found, expected = format_lsn(index.since), format_lsn(self.proven)
            raise TopicHoleError(f"the index since {found} came where {expected} was known", index.since)
        for topic, last in index.last.items():
            if takes(topic) and self.reached(topic) < last:
                raise TopicHoleError(f"the event of topic {topic} at {format_lsn(last)} is missing", last)
        if sent.last:
            self.proven = sent.position
            self._last = max(self._last, sent.position)
            self._have.clear()
        return True


class PulseHistory:
    """The signs of life that a node has seen: from where it may take another topic."""

    def __init__(self, position: Lsn, sequence: int) -> None:
        """Everything behind ``position`` comes behind message ``sequence`` of the stream."""
        self._seen: deque[tuple[Lsn, int]] = deque([(position, sequence)], maxlen=_REMEMBERED)

    @property
    def last(self) -> int:
        """The sequence of the last one."""
        return self._seen[-1][1]

    def add(self, position: Lsn, sequence: int, needed: Lsn) -> None:
        """Another one. What lies before ``needed`` is not asked for any more."""
        self._seen.append((position, sequence))
        while len(self._seen) > 1 and self._seen[1][0] <= needed:
            self._seen.popleft()

    def before(self, needed: Lsn) -> tuple[Lsn, int] | None:
        """A position up to ``needed`` and its sequence; None: that is not known any more."""
        return next((each for each in reversed(self._seen) if each[0] <= needed), None)
