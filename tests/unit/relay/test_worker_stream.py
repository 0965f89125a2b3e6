"""What a worker makes of the relay's messages: each event once, and a discontinuity wherever one may be missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from engine.feed.buffer import EventBuffer
from engine.feed.decoders.base import MalformedStreamError
from engine.feed.decoders.frames import FramesError, WalFrames, frames_of
from engine.feed.feed import FeedSettings, ServerIdentity
from engine.feed.positions import Positions
from engine.feed.startup import CRASHED, Processes
from engine.relay.messages import Break, Confirmed, Part, Passed, Welcome
from engine.relay.worker_stream import StreamHoleError, WorkerStream
from engine.transaction import Discontinuity, FeedEvent, Progress, Transaction
from tests.unit.feed.test_frames import decoded, insert

SERVER = ServerIdentity("7", 1, 100, Processes(datetime(2026, 1, 1, tzinfo=UTC), frozenset({1, 2})))
RESTARTED = SERVER._replace(processes=Processes(SERVER.processes.started, frozenset({3, 4})))
WELCOME = Welcome(5, 100, False, "", False, "pgoutput", SERVER)


class Story:
    """A worker's stream, with what its consumer gets."""

    def __init__(self, **settings: Any) -> None:
        self.buffer = EventBuffer(1 << 20)
        self.positions = Positions()
        self.stream = WorkerStream(FeedSettings(node_id="w1", **settings), self.buffer, self.positions)

    async def events(self) -> list[FeedEvent]:
        """What the consumer gets next, all of it taken."""
        found: list[FeedEvent] = []
        while not self.buffer.empty:
            event = await self.buffer.get()
            assert event is not None
            self.positions.hand_out(event)
            found.append(event)
        return found


def part(previous: int, end: int, *, of: int = 1, number: int = 0) -> Part:
    """One of the parts of a transaction that ends at ``end``."""
    transaction = replace(decoded(*[insert(8, [b"1", b"2"])] * of), position=end - 1, end=end)
    return Part(previous, list(frames_of(transaction, 1))[number])


def ends(events: list[FeedEvent]) -> list[object]:
    """Positions of transactions and progress, reasons of discontinuities."""
    return [
        event.end
        if isinstance(event, Transaction)
        else event.position
        if isinstance(event, Progress)
        else (event.reason, event.missing)
        for event in events
    ]


async def test_events_follow_the_position_of_the_welcome_and_are_confirmed_in_its_generation() -> None:
    story = Story()
    assert story.stream.hello("1").generation == 0
    story.stream.welcome(WELCOME)
    assert (story.positions.received, story.positions.confirmed) == (100, 100)
    story.stream.take(part(100, 110))
    for number in range(3):
        story.stream.take(part(110, 120, of=3, number=number))
    story.stream.take(Passed(120, 130))
    events = await story.events()
    assert ends(events) == [110, 120, 130]
    assert isinstance(events[1], Transaction)
    assert len(list(events[1].changes)) == 3
    story.positions.confirm(120)
    assert story.stream.confirmed == Confirmed(5, 120)
    hello = story.stream.hello("1")
    assert (hello.generation, hello.delivered, hello.server, hello.node) == (5, 130, SERVER, "w1")


async def test_a_resumed_session_repeats_nothing_and_needs_no_reading() -> None:
    story = Story()
    story.stream.welcome(WELCOME)
    story.stream.take(part(100, 110))
    story.stream.take(part(110, 130, of=2, number=0))  # cut in the middle of a transaction
    story.stream.welcome(msgspec.structs.replace(WELCOME, resumed=True, position=100))
    story.stream.take(part(100, 110))
    story.stream.take(Passed(110, 110))
    story.stream.take(part(110, 130, of=2, number=0))
    story.stream.take(part(110, 130, of=2, number=1))
    assert ends(await story.events()) == [110, 130]


async def test_a_session_that_was_not_resumed_is_a_discontinuity_and_positions_start_over() -> None:
    story = Story()
    story.stream.welcome(WELCOME)
    story.stream.take(part(100, 110))
    await story.events()
    story.stream.welcome(Welcome(6, 50, False, "too slow", True, "pgoutput", SERVER))
    assert story.positions.confirmed == 50
    assert not story.positions.confirm(50)  # of before the discontinuity was taken
    assert await story.events() == [Discontinuity("too slow", other_history=True)]
    story.stream.take(part(50, 60))
    assert ends(await story.events()) == [60]


async def test_a_break_in_the_stream_is_a_discontinuity_of_a_new_generation() -> None:
    story = Story()
    story.stream.welcome(WELCOME)
    story.stream.take(Break(100, 40, 9, "dropped", True, False, 0, SERVER))
    assert await story.events() == [Discontinuity("dropped")]
    story.stream.take(part(40, 50))
    assert ends(await story.events()) == [50]
    story.positions.confirm(50)
    assert story.stream.confirmed == Confirmed(9, 50)


async def test_a_crash_matters_only_to_a_worker_whose_snapshots_had_shown_more_than_the_stream() -> None:
    story = Story()
    story.stream.welcome(WELCOME)
    crash = Break(100, 100, 5, CRASHED, False, False, 105, RESTARTED)
    story.stream.seen = 105
    story.stream.take(crash)
    assert await story.events() == []
    story.stream.seen = 106
    story.stream.take(crash)
    assert await story.events() == [Discontinuity(CRASHED, missing=False, safe=105)]
    assert story.stream.seen == 0


async def test_a_crash_between_two_sessions_is_seen_by_the_servers_processes() -> None:
    story = Story()
    story.stream.welcome(WELCOME)
    story.stream.seen = 101
    resumed = msgspec.structs.replace(WELCOME, resumed=True)
    story.stream.welcome(resumed)
    assert await story.events() == []
    story.stream.welcome(msgspec.structs.replace(resumed, server=RESTARTED))
    assert await story.events() == [Discontinuity(CRASHED, missing=False, safe=100)]


async def test_a_hole_ends_the_session_and_the_next_one_starts_over() -> None:
    story = Story()
    story.stream.welcome(WELCOME)
    with pytest.raises(StreamHoleError, match="what follows 0/6E where 0/64 was reached"):
        story.stream.take(part(110, 120))
    assert story.stream.hello("1").generation == 0
    story.stream.welcome(msgspec.structs.replace(WELCOME, position=120))
    assert ends(await story.events()) == [("the stream from the relay had a hole", True)]


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        (WalFrames(109, 110, 7, 0, 1, False, (), ()), FramesError),
        (WalFrames(109, 110, 7, 0, 0, False, (), (b"?",)), MalformedStreamError),
    ],
)
async def test_frames_that_cannot_be_decoded_are_not_asked_for_again(frames: WalFrames, error: type[Exception]) -> None:
    story = Story()
    story.stream.welcome(WELCOME)
    if frames.part:
        story.stream.take(part(100, 108, of=2, number=0))
    with pytest.raises(error):
        story.stream.take(Part(100, frames))
    assert story.stream.hello("1").generation == 0


async def test_a_large_transaction_is_spilled_by_the_worker_too() -> None:
    story = Story(transaction_memory=100)
    story.stream.welcome(WELCOME)
    for number in range(50):
        story.stream.take(part(100, 110, of=50, number=number))
    (transaction,) = await story.events()
    assert isinstance(transaction, Transaction)
    assert transaction.changes.spilled  # type: ignore[attr-defined]
    assert len(list(transaction.changes)) == 50


async def test_what_was_recorded_comes_in_order_also_where_the_stream_begins_before_what_was_delivered() -> None:
    story = Story()
    story.stream.welcome(WELCOME)
    story.stream.take(part(100, 110))
    story.stream.take(Passed(110, 110, 105))
    story.stream.take(Passed(110, 110, 108))
    story.stream.take(part(110, 120))
    story.stream.take(Passed(120, 130))
    story.stream.take(Passed(130, 130, 125))
    story.stream.take(Passed(130, 140))
    events = await story.events()
    assert ends(events) == [110, 110, 120, 140]
    assert [event.recorded for event in events if isinstance(event, Progress)] == [108, 125]
    story.stream.welcome(Welcome(5, 110, True, "", False, "pgoutput", SERVER))
    story.stream.take(Passed(110, 110, 126))
    assert await story.events() == [Progress(140, 126)]
