"""Where and when a node goes on in the stream: at the first message behind a position, found by halving the stream.

Within a generation the positions of the stream's messages never go down, so what comes after a position is found in about
twenty questions, wherever the stream begins, and whatever its sequence numbers are: they begin anew in a stream that was
made again.

What is missing is read from the database. That is complete up to the slot's position: the relay confirms nothing that a
snapshot does not show, or whose place in the history is not recorded. So a node that begins behind the slot's position, and
reads everything again, has all that committed before it, and a hole whose far side lies before it is none any more. While
the slot stands before the far side, the node would begin before the hole and meet it again, each time with everything read
again. It waits until the slot has passed it: a second or so, or until a relay leads and can record.

So does one that the stream has left behind, or that begins, where the stream lacks what comes behind the slot's position.

A hole that is met soon after another one is seldom the last (a part of the stream is gone): there the node waits until the
slot has passed what the stream has had by then, and longer from time to time.

A relay's term begins at the stream's end, or with another generation. It learns of the stream what it cannot learn of its
slot, which may have been made anew: where transactions committed that nodes had received and no one has recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Final, NamedTuple

import structlog

from engine.cluster.identity import DatabaseIdentity, check_same
from engine.cluster.messages import Assembler, ClusterProtocolError, Sent, pulse_of
from engine.cluster.nats_stream import Found, NatsStream, StreamState
from engine.cluster.settings import ClusterSettings
from engine.cluster.topics import StreamBrokenError, TopicHoleError, TopicIndex, UndecodableEventError
from engine.errors import FeedError
from engine.feed.feed import ServerIdentity
from engine.lsn import Lsn, format_lsn
from engine.relay.messages import Part, RelayProtocolError, new_generation

__all__ = [
    "Adopted",
    "FencedError",
    "StreamHoles",
    "StreamPlace",
    "adopt",
    "check_term",
    "end_of",
    "find",
    "why_begun_anew",
    "why_not",
    "why_other",
]

_log = structlog.get_logger(__name__)

_MAX_READ: Final = 4096  # messages that a relay reads of the one before it
_AT_ONCE: Final = 64
_LATELY: Final = 30.0  # seconds: two holes within this time are in succession
_LONGEST: Final = 8.0  # seconds between two readings of everything, for holes in succession


class FencedError(FeedError):
    """Another relay has published: this one does not lead any more."""


class StreamPlace(NamedTuple):
    """``sequence``: of the first message to read; ``chain``: the position that the stream has before it."""

    sequence: int
    chain: Lsn


async def find(stream: NatsStream, position: Lsn, generation: int, *, by_index: bool = False) -> StreamPlace | None:
    """The place from which every event after ``position`` comes, perhaps with some before it; None if the stream lacks some.

    ``by_index``: a sign of life will do whose index goes back to ``position``, and shows what the stream lacks
    (:mod:`engine.cluster.topics`).

    Raises ``NatsFailedError``.
    """
    state = await stream.state()
    if state is None or not state.messages:
        return StreamPlace(1 if state is None else state.last + 1, position)
    low, high = state.first, state.last + 1  # the first message behind the position is in [low, high]
    while low < high:
        middle = (low + high) // 2
        sent = await stream.message(middle)
        if sent is None:
            if middle >= high - 1:
                return None  # removed meanwhile
            low = middle + 1
        elif sent.generation != generation or sent.leads_to <= position:
            low = middle + 1
        else:
            high = middle
    if low > state.last:  # the end of what was looked at: more may have come since
        return await _behind(stream, state, generation)
    found = await stream.message(low)
    if found is None or found.generation != generation or not found.first:
        return None
    if found.previous > position and not (by_index and found.index is not None and found.index.since <= position):
        return None
    return StreamPlace(low, found.previous)


async def end_of(stream: NatsStream, generation: int) -> StreamPlace | None:
    """The place behind the last event; None where that cannot be known now. Raises ``NatsFailedError``."""
    state = await stream.state()
    return None if state is None else await _behind(stream, state, generation)


async def _behind(stream: NatsStream, state: StreamState, generation: int) -> StreamPlace | None:
    last = await stream.message(state.last)
    if last is None or last.generation != generation:
        return None
    return StreamPlace(state.last + 1, last.reached)


def why_other(before: ServerIdentity | None, server: ServerIdentity) -> str:
    """Why the stream of ``server`` is of another history than the one ``before``; "" if it is not, as far as is known."""
    known = before is None or (before.system, before.timeline) == (server.system, server.timeline)
    return "" if known else "the server has another history"


def why_not(
    before: ServerIdentity | None, generation: int, delivered: Lsn, last: Sent, server: ServerIdentity, end: Lsn
) -> tuple[str, bool]:
    """Why a node's stream cannot go on that was ``before`` and of ``generation`` (0: the node does not go on in it), as far
    as that is known without its messages; "" if it may. And whether the server has another history.

    ``last``: the last sign of life, of ``server``; ``end``: the position of the stream's end, 0: not known.
    """
    if before is None:
        return "", False
    if other := why_other(before, server):
        return other, True
    if end and delivered > max(server.flushed, end):
        return "the server has lost transactions that it had sent", True
    if generation not in (0, last.generation):
        return "the stream was begun anew", False
    return "", False


class StreamHoles:
    """See the module. ``clock``: in seconds.

    Attributes:
        lost: the stream cannot go on where it stopped: events behind the hole may have been taken, or it would come again.
        until: what is missing committed before this position; 0: nothing is known to be missing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lost = False
        self.until: Lsn = 0
        self._clock = clock
        self._generation = 0  # of the stream that the node follows
        self._end_known = False
        self._succession = 0  # readings of everything, each soon after the one before
        self._read_at = float("-inf")

    def note(self, broken: StreamBrokenError) -> bool:
        """A session has ended so. Returns whether events are missing."""
        lost = isinstance(broken, TopicHoleError)
        self.lost = self.lost or lost or isinstance(broken, UndecodableEventError)
        if broken.missing_until:
            self.until, self._end_known = max(self.until, broken.missing_until), False
        return (lost or bool(broken.missing_until)) and not isinstance(broken, UndecodableEventError)

    def bars(self, generation: int, confirmed: Lsn, end: Lsn) -> bool:
        """Whether a node that would read everything again has to wait. ``generation``, ``end``: of the stream;
        ``confirmed``: the slot's position.
        """
        if not self.until or generation != self._generation:
            return False
        if not self._end_known and self._lately:
            self.until = max(self.until, end)
        self._end_known = True
        pause = min(2.0 ** (self._succession - 1), _LONGEST) if self._lately and self._succession else 0.0
        return confirmed < self.until or self._clock() < self._read_at + pause

    def began(self, generation: int, *, resumed: bool) -> None:
        """The stream of that ``generation`` goes on; all is read again, unless it has ``resumed``."""
        if self.until and not resumed:
            self._succession = self._succession + 1 if self._lately else 1
            self._read_at = self._clock()
        self.lost, self.until, self._generation = False, 0, generation

    @property
    def _lately(self) -> bool:
        return self._clock() - self._read_at < _LATELY


def why_begun_anew(last: Sent, pulse: Sent, server: ServerIdentity, position: Lsn) -> str:
    """Why a relay does not continue a stream that ends with ``last``; "" if it does. ``position``: the slot's."""
    before = pulse_of(pulse).server
    if (before.system, before.timeline) != (server.system, server.timeline):
        return "the server has another history"
    if last.reached > max(server.flushed, position):
        return "the server has lost transactions that were published"
    return ""


class Adopted(NamedTuple):
    """``generation`` and ``position``: of the stream; ``topics``: of its events since the last sign of life; ``purge``: what
    is in it belongs to another generation. ``recorded``: of all messages of transactions before this position it is recorded
    where they committed, 0: not known; ``commits``: of the stream's later transactions, by their 32-bit ids, where they
    committed.
    """

    generation: int
    position: Lsn
    topics: TopicIndex
    purge: bool
    recorded: Lsn = 0
    commits: Mapping[int, Lsn] = MappingProxyType({})


async def adopt(
    stream: NatsStream,
    state: StreamState,
    settings: ClusterSettings,
    database: DatabaseIdentity,
    position: Lsn,
    server: ServerIdentity,
) -> Adopted:
    """Where the term of a relay begins whose slot stands at ``position`` on ``server``.

    Raises ``OtherDatabaseError`` if the stream is of another database, and ``NatsFailedError``.
    """
    last = await stream.message(state.last) if state.messages else None
    found = None if last is None else await stream.last_pulse_at()
    if found is not None:
        check_same(settings, pulse_of(found.sent), database)
    if last is None or found is None or (reason := why_begun_anew(last, found.sent, server, position)):
        reason = "it is empty" if last is None or found is None else reason
        _log.warning("stream_generation_begun", stream=settings.stream, reason=reason)
        return Adopted(new_generation(), position, TopicIndex(position), last is not None)
    recorded = pulse_of(found.sent).recorded
    commits = (
        {} if recorded >= last.reached else await _commits_since(stream, settings, recorded, state, last.generation)
    )
    if position > last.reached:
        where = format_lsn(last.reached), format_lsn(position)
        _log.warning("stream_has_hole", stream=settings.stream, after=where[0], until=where[1])
        return Adopted(last.generation, position, TopicIndex(position), False, recorded, commits)
    index = await _index_since(stream, settings, found.sequence, state.last)
    return Adopted(last.generation, last.reached, index or TopicIndex(last.reached), False, recorded, commits)


async def check_term(stream: NatsStream, state: StreamState, term: int, sent: int) -> None:
    """Raise ``FencedError`` if the last message of the stream, which may be gone, is of another ``term``. ``sent``: the last
    sequence number of this one in the stream.
    """
    last = await stream.message(state.last) if state.messages else None
    if last is None:
        if state.last > sent:
            raise FencedError("another relay has published, and its messages were removed")
    elif last.leader != term:
        raise FencedError("another relay has published")


async def _commits_since(
    stream: NatsStream, settings: ClusterSettings, position: Lsn, state: StreamState, generation: int
) -> dict[int, Lsn]:
    """The 32-bit ids of the transactions behind ``position`` up to the end of ``state``, with where they committed."""
    place = await find(stream, position, generation)
    first = state.first if place is None else place.sequence  # None: the stream has let go of some
    commits: dict[int, Lsn] = {}
    assembler = Assembler()
    async for found in _messages(stream, first, state.last):
        if found is not None and found.subject != settings.pulses and found.sent.generation == generation:
            event = None
            with contextlib.suppress(ClusterProtocolError, RelayProtocolError):  # of what is cut at the beginning
                event = assembler.feed(found.sent)
            if isinstance(event, Part) and event.frames.xid:
                commits[event.frames.xid] = event.frames.position
    return commits


async def _messages(stream: NatsStream, first: int, last: int) -> AsyncGenerator[Found | None]:
    """These messages of the stream, one by one: a relay's user has no right to make a consumer. None: it is not there."""
    for start in range(first, last + 1, _AT_ONCE):
        sequences = range(start, min(start + _AT_ONCE, last + 1))
        for found in await asyncio.gather(*[stream.find(sequence) for sequence in sequences]):
            yield found


async def _index_since(stream: NatsStream, settings: ClusterSettings, first: int, last: int) -> TopicIndex | None:
    """The topics from the sign of life ``first`` of the stream to its message ``last``; None: some are missing, or there are
    too many, so no node can know whether it has all of them.
    """
    index, chain = TopicIndex(), None
    if last - first > _MAX_READ:
        return None
    async with aclosing(_messages(stream, first, last)) as messages:
        async for found in messages:
            if found is None or (chain is not None and found.sent.previous != chain):
                return None
            if found.sent.index is not None and not found.sent.last:
                index = TopicIndex(*found.sent.index)
            elif found.subject == settings.pulses:
                index.begin(found.sent.position)
            elif found.sent.last:
                index.note(settings.topic(found.subject), found.sent.position)
            chain = found.sent.reached
    return index
