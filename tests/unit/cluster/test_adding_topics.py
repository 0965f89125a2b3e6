"""Topics that a node begins to take at any moment, also between the parts of events: all comes, and no false hole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from engine.cluster.consumer import Message
from engine.cluster.identity import DatabaseIdentity
from engine.cluster.messages import TOPICS, Pulse, sent_of
from engine.cluster.nats_stream import NatsStream
from engine.cluster.place import StreamPlace
from engine.cluster.publisher import Publisher
from engine.cluster.selection import Selection
from engine.cluster.send_queue import Queued
from engine.cluster.settings import ClusterSettings
from engine.cluster.topics import COMMON, TopicChains
from engine.feed.decoders.frames import FramesDecoder, frames_of
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.feed.feed import ServerIdentity
from engine.feed.startup import Processes
from engine.feed.table_interest import TableInterest
from engine.relay.messages import Part
from engine.relay.topic import Topics
from engine.transaction import Transaction
from tests.support.values.message_stream import insert, relation, transaction

SETTINGS = ClusterSettings(urls=(), slot="s")
START, GENERATION = 100, 7
TABLES = (1, 2)
SERVER = ServerIdentity("7", 1, 100, Processes(datetime(2026, 1, 1, tzinfo=UTC), frozenset({1})))


@dataclass(frozen=True)
class Event:
    """``signs``: one for each part but the last; whether a sign of life follows it."""

    topic: int
    signs: tuple[bool, ...] = ()


Step = Event | None
"""None: a sign of life."""


def _decoded(rows: int) -> Transaction:
    decoder, found = PgOutputDecoder(), None
    for payload in transaction(1, [relation(), *(insert(number, "a") for number in range(rows))]):
        found = decoder.feed(payload)
    assert found is not None
    return found


async def published(steps: Sequence[Step]) -> list[Queued]:
    """What a relay publishes."""
    pulses = 0

    def pulse() -> Pulse:
        nonlocal pulses
        pulses += 1  # each has news
        return Pulse("a", "pgoutput", SERVER, 1, "streaming", None, START, recorded=pulses, topics=TOPICS)

    term = Publisher(SETTINGS, "a", DatabaseIdentity("7", 1, "app"), pulse)
    term.generation, term.position, term._chunk = GENERATION, START, 1 << 20
    term._index.since = START
    term._begun.set()
    for step in steps:
        if step is None:
            term.beat()
            continue
        previous, end = term.position, term.position + 10
        found = replace(_decoded(len(step.signs) + 1), position=end - 1, end=end)
        for number, frames in enumerate(frames_of(found, 1)):
            part = Part(previous, frames)
            await term.publish(part, end, Topics(step.topic), first=not number, last=not frames.more)
            if frames.more and step.signs[number]:
                term.beat()
    term.beat()
    return list(term.queue._all)


class AllBroughtError(Exception):
    """All was brought."""


class Stream:
    """Of these messages. What a main consumer does not find yet comes with the next of ``moves``: so many messages, or a
    table that is looked at.
    """

    def __init__(self, messages: Sequence[Queued], moves: list[int], interest: TableInterest) -> None:
        self._messages = messages
        self._moves = moves
        self._interest = interest
        self._shown = 0
        self._idle = 0

    @asynccontextmanager
    async def consumer(self, sequence: int, subjects: Collection[str]) -> AsyncIterator[Stream.Consumer]:
        yield Stream.Consumer(self, sequence, subjects)

    def move(self) -> None:
        if self._moves:
            move = self._moves.pop(0)
            if move > 0:
                self._shown = min(len(self._messages), self._shown + move)
            else:
                self._interest.hold(-move, {-move: -move})
        elif self._shown < len(self._messages):
            self._shown = len(self._messages)
        else:
            self._idle += 1
            if self._idle > len(TABLES) or not self._interest.lacking:
                raise AllBroughtError

    class Consumer:
        def __init__(self, stream: Stream, sequence: int, subjects: Collection[str]) -> None:
            self._stream = stream
            self._next = sequence
            self._subjects = set(subjects)

        def wake(self) -> None:
            pass

        async def next(self, _: float) -> Message | None:
            stream = self._stream
            while self._next <= stream._shown:
                sequence, found = self._next, stream._messages[self._next - 1]
                self._next += 1
                if found.subject in self._subjects:
                    pulse = found.subject == SETTINGS.pulses
                    return Message(pulse, sent_of(found.data), sequence, subject=found.subject)
            stream.move()
            return None


async def taken(messages: list[Queued], moves: list[int], interest: TableInterest) -> list[tuple[int, int, bool]]:
    """The events that a node gets: topic, position, whether it came late."""
    found: list[tuple[int, int, bool]] = []

    def take_late(each: Transaction) -> None:
        [table] = each.tables
        found.append((table, each.end, True))

    selection = Selection(
        stream=cast(NatsStream, Stream(messages, moves, interest)),
        settings=SETTINGS,
        interest=interest,
        generation=GENERATION,
        place=StreamPlace(1, START),
        chains=TopicChains(START),
        needed=lambda: START,
        late=take_late,
        followed=lambda _: None,
        decoder=FramesDecoder(),
    )
    decoders: dict[int, FramesDecoder] = {}
    passed = START
    assembler = selection._assembler.__class__()
    try:
        async for message in selection.messages(1.0):
            assert message.sent is not None
            if message.pulse:
                passed = max(passed, message.sent.position if message.sent.last else START)
            else:
                topic = SETTINGS.topic(message.subject)
                part = assembler.feed(message.sent)
                assert isinstance(part, Part)
                whole = decoders.setdefault(topic, FramesDecoder()).feed(part.frames)
                if whole is not None:
                    assert whole.end > passed
                    passed = whole.end
                    found.append((topic, whole.end, False))
    except AllBroughtError:
        pass
    return found


EVENTS = st.builds(Event, st.sampled_from([COMMON, *TABLES]), st.lists(st.booleans(), max_size=3).map(tuple))
MOVES = st.lists(st.integers(1, 4) | st.sampled_from([-each for each in TABLES]), max_size=12)


@given(st.lists(EVENTS | st.none(), max_size=8), MOVES, st.booleans())
@example([None, Event(1), Event(2, (True,))], [5, -1], True)
@example([None, Event(1, (True,))], [3, -2, 1], False)
def test_a_topic_that_is_added_at_any_moment_is_complete(steps: list[Step], moves: list[int], other: bool) -> None:
    async def run() -> tuple[list[tuple[int, int, bool]], TableInterest]:
        interest = TableInterest()
        interest.selective = True
        interest.hold("from the beginning", {2: 2} if other else {})
        interest.begin()
        return await taken(await published(steps), list(moves), interest), interest

    found, interest = asyncio.run(run())
    positions: dict[int, list[int]] = {}
    at = START
    for step in steps:
        if step is not None:
            at += 10
            positions.setdefault(step.topic, []).append(at)
    for topic in (COMMON, *interest.held):
        got: list[Any] = [position for each, position, _ in found if each == topic]
        assert got == positions.get(topic, []), (topic, found)


async def test_a_node_that_does_not_take_a_large_transaction_adds_others_while_it_is_published() -> None:
    interest = TableInterest()
    interest.selective = True
    interest.begin()
    messages = await published([None, Event(1), Event(2, (True, True))])
    begun = messages[:4]
    assert [SETTINGS.topic(each.subject) for each in begun if each.subject != SETTINGS.pulses] == [1, 2]
    assert await taken(begun, [4, -1], interest) == [(1, 110, False)], "nothing behind it has passed"
    assert interest.taken == {1}
