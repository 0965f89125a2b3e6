"""Where a node goes on in a stream that grows while it looks."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest

from engine.cluster.messages import Index, Pulse, Sent, sign_of_life
from engine.cluster.nats_stream import Found, NatsStream, StreamState
from engine.cluster.place import StreamHoles, StreamPlace, _index_since, end_of, find
from engine.cluster.settings import ClusterSettings
from engine.cluster.topics import StreamBrokenError, TopicHoleError, UndecodableEventError
from engine.feed.feed import ServerIdentity
from engine.feed.startup import Processes
from engine.lsn import Lsn

GENERATION = 7
SERVER = ServerIdentity("7", 1, 100, Processes(datetime(2026, 1, 1, tzinfo=UTC), frozenset({1, 2})))
PULSE = Pulse("a", "pgoutput", SERVER, 1, "streaming", None, Lsn(0))


def event(previous: int, position: int) -> Sent:
    return Sent(GENERATION, 1, Lsn(previous), Lsn(position), True, True, 0, False, b"")


class Stream:
    """Of one message for each transaction. ``coming`` is there behind the first look at its state."""

    def __init__(self, positions: list[int], coming: list[int], first: int = 1) -> None:
        self.positions, self.coming, self.first = positions, coming, first

    async def state(self) -> StreamState:
        last = self.first + len(self.positions) - 1
        seen = StreamState(None, self.first, last, len(self.positions), 0)
        self.positions, self.coming = self.positions + self.coming, []
        return seen

    async def message(self, sequence: int) -> Sent | None:
        at = sequence - self.first
        if not 0 <= at < len(self.positions):
            return None
        return event(self.positions[at - 1] if at else self.positions[0] - 10, self.positions[at])


@pytest.mark.parametrize("first", [1, 500])
@pytest.mark.parametrize("position", [100, 110, 115, 120])
async def test_what_comes_while_the_place_is_looked_for_is_behind_it(position: int, first: int) -> None:
    stream = cast(NatsStream, Stream([100, 110, 120], [130, 140], first))
    place = await find(stream, Lsn(position), GENERATION)
    assert place is not None
    assert place.chain <= position
    following = await stream.message(place.sequence)
    assert following is not None
    assert following.previous == place.chain
    assert following.position > position, "what it has already is not read again where each message is an event"


class Parts:
    """A stream of messages that the test names."""

    def __init__(self, *messages: Sent) -> None:
        self.messages = messages

    async def state(self) -> StreamState:
        return StreamState(None, 1, len(self.messages), len(self.messages), 0)

    async def message(self, sequence: int) -> Sent:
        return self.messages[sequence - 1]


def part(previous: int, position: int, *, first: bool = False, last: bool = False) -> Sent:
    return Sent(GENERATION, 1, Lsn(previous), Lsn(position), first, last, 0, False, b"")


@pytest.mark.parametrize("signs", range(1, 12))
async def test_a_place_is_found_beside_signs_of_life_that_come_within_an_event(signs: int) -> None:
    within = [sign_of_life(GENERATION, 1, Lsn(100), Index(Lsn(100), {}), PULSE, Lsn(200))] * signs
    large = part(100, 200, first=True), *within, part(100, 200), *within, part(100, 200, last=True)
    stream = cast(NatsStream, Parts(event(90, 100), *large, event(200, 210)))
    for position, chain, sequence in ((90, 90, 1), (100, 100, 2), (150, 100, 2), (200, 200, 2 + len(large))):
        assert await find(stream, Lsn(position), GENERATION) == StreamPlace(sequence, Lsn(chain)), position
    assert await end_of(cast(NatsStream, Parts(event(90, 100), *large[:2])), GENERATION) == StreamPlace(4, Lsn(100))


async def test_a_place_before_the_stream_is_not_found_and_its_end_is_that_of_one_look() -> None:
    assert await find(cast(NatsStream, Stream([100, 110], [120])), Lsn(80), GENERATION) is None
    assert await end_of(cast(NatsStream, Stream([100, 110], [120])), GENERATION) == StreamPlace(3, Lsn(110))
    assert await end_of(cast(NatsStream, Stream([100, 110], [])), GENERATION + 1) is None


class Holes(StreamHoles):
    """At a time that the test sets, of a stream of ``GENERATION``."""

    def __init__(self) -> None:
        super().__init__(lambda: self.now)
        self.now = 1000.0
        self.began(GENERATION, resumed=False)

    def waits(self, confirmed: int, end: int = 500) -> bool:
        return self.bars(GENERATION, Lsn(confirmed), Lsn(end))

    def meets(self, until: int) -> None:
        assert self.note(TopicHoleError("a test", Lsn(until)))
        assert self.lost

    def reads(self) -> None:
        self.began(GENERATION, resumed=False)


def test_a_node_waits_until_the_slot_has_passed_the_far_side_of_a_hole() -> None:
    holes = Holes()
    assert not holes.waits(0)
    holes.meets(200)
    assert [holes.waits(confirmed) for confirmed in (100, 199, 200, 300)] == [True, True, False, False]
    assert not holes.bars(GENERATION + 1, Lsn(100), Lsn(500)), "what another stream lacks is another thing"
    holes.reads()
    assert not holes.lost
    assert not holes.waits(0)


def test_a_hole_that_a_message_does_not_show_the_side_of_is_not_waited_for() -> None:
    holes = Holes()
    assert holes.note(TopicHoleError("what a snapshot may lack is gone"))
    assert holes.lost
    assert not holes.waits(0)
    holes.reads()
    assert not holes.note(StreamBrokenError("the stream was begun anew"))
    assert not holes.lost
    assert not holes.waits(0)


def test_a_stream_that_goes_on_where_it_stopped_has_no_hole_any_more() -> None:
    holes = Holes()
    assert holes.note(StreamBrokenError("what follows 1 came where 0 was reached", Lsn(200)))
    assert not holes.lost, "all before it was taken in order"
    assert holes.waits(100)
    holes.began(GENERATION, resumed=True)
    assert not holes.waits(100)
    holes.meets(300)
    assert not holes.waits(300), "the first one that was read again for"


def test_what_cannot_be_read_is_missing_but_no_hole() -> None:
    holes = Holes()
    assert not holes.note(UndecodableEventError("a test", Lsn(200)))
    assert holes.lost, "it would come again"
    assert holes.waits(100)
    assert not holes.waits(200)


def test_holes_in_succession_are_passed_in_one_go_and_read_for_in_growing_intervals() -> None:
    holes, read_at = Holes(), []
    for number in range(6):
        holes.meets(200 + number)
        if number:
            assert holes.waits(499, 500)
            assert holes.waits(499, 900), "the end is that of the first look"
        while holes.waits(500, 900):
            holes.now += 0.25
        holes.reads()
        read_at.append(holes.now)
    assert [round(after - before) for before, after in pairwise(read_at)] == [1, 2, 4, 8, 8]
    holes.now += 60
    holes.meets(300)
    assert not holes.waits(300)


async def test_a_relay_that_takes_over_within_an_event_knows_the_topics_from_before_it() -> None:
    settings = ClusterSettings(urls=(), slot="s")
    within = sign_of_life(GENERATION, 1, Lsn(110), Index(Lsn(100), {5: Lsn(110)}), PULSE, Lsn(200))
    subjects = [settings.pulses, settings.subject(6), settings.pulses]
    messages = [within, part(110, 200), within]

    async def find_message(sequence: int) -> Found:
        return Found(messages[sequence - 1], sequence, subjects[sequence - 1])

    stream = cast(NatsStream, SimpleNamespace(find=find_message))
    index = await _index_since(stream, settings, 1, 3)
    assert index is not None
    assert index.now == (100, {5: 110}), "nodes have proven nothing behind the sign of life before the event"
