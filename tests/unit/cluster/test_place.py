"""Where a node goes on in a stream that grows while it looks."""

from __future__ import annotations

from typing import cast

import pytest

from engine.cluster.messages import Sent
from engine.cluster.nats_stream import NatsStream, StreamState
from engine.cluster.place import StreamPlace, end_of, find
from engine.lsn import Lsn

GENERATION = 7


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


async def test_a_place_before_the_stream_is_not_found_and_its_end_is_that_of_one_look() -> None:
    assert await find(cast(NatsStream, Stream([100, 110], [120])), Lsn(80), GENERATION) is None
    assert await end_of(cast(NatsStream, Stream([100, 110], [120])), GENERATION) == StreamPlace(3, Lsn(110))
    assert await end_of(cast(NatsStream, Stream([100, 110], [])), GENERATION + 1) is None
