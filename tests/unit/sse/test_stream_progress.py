"""Whatever cuts an event stream off, wherever: who comes back with the last id has missed nothing, and is further."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.channels.core.messages.model import Position
from server.limits.connection_limits import ConnectionLimits
from server.transports.sse import sse_connection as sse
from server.transports.sse.event_ids import StreamPosition, read_id, write_id
from server.transports.sse.progress import Key, Progress, WriteState
from server.wire.frame import Frame, Opened
from tests.support.clients.event_source import EventSourceClient
from tests.support.examples import examples
from tests.support.fakes.history import FakeHistory, FakeMessage

CHANNELS = ["a", "b", "c"]
LAST = Position(10**9)

messages = st.builds(
    lambda channel, priority, wanted, size: (channel, priority, wanted, size),
    st.sampled_from(CHANNELS),
    st.sampled_from([0, 0, 0, 1, 5]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([0, 50, 400]),
)
transactions = st.lists(messages, min_size=1, max_size=8)
happenings = st.one_of(
    transactions.map(lambda commits: ("commit", commits)),
    transactions.map(lambda commits: ("commit at once", commits)),
    st.sampled_from(
        [("interrupt", None), ("recover", None), ("expire", "a"), ("expire", "c"), ("fail", "b"), ("wait", None)]
    ),
)
connections = st.tuples(st.none() | st.integers(0, 4000), st.integers(0, 4))


def messages_of(transaction: list[tuple[str, int, bool, int]]) -> list[FakeMessage]:
    return [FakeMessage(channel, None, priority, wanted, size) for channel, priority, wanted, size in transaction]


async def happen(archive: FakeHistory, script: Iterator[tuple[str, object]]) -> None:
    """Do what the script lists, while the client listens. Never in the middle of a turn of the loop."""
    for what, of in script:
        match what, of:
            case "commit", list():
                archive.commit(messages_of(of))
            case "commit at once", list():
                archive.commit(messages_of(of), together=True)
            case "interrupt", _:
                archive.interrupt()
            case "recover", _:
                await archive.recover()
            case "expire", str():
                archive.expire(of)
            case "fail", str():
                archive.fail(of)
        await _turns(7)
    await archive.recover()


@pytest.mark.long
@given(
    past=st.lists(transactions, max_size=12),
    script=st.lists(happenings, max_size=25),
    cuts=st.lists(connections, max_size=8),
    delays=st.lists(st.none() | st.integers(0, 12), max_size=7),
    breaks=st.none() | st.integers(0, 4),
    history=st.sampled_from([0, 2, 1000]),
    known=st.booleans(),
    backlog=st.sampled_from([300, 1000, 5000]),
    most=st.sampled_from([150, 600, 10_000]),
)
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_every_id_is_true_and_none_goes_back_and_nothing_is_missing_in_the_end(  # noqa: PLR0913
    past: list[list[tuple[str, int, bool, int]]],
    script: list[tuple[str, object]],
    cuts: list[tuple[int | None, int]],
    delays: list[int | None],
    breaks: int | None,
    history: int,
    known: bool,
    backlog: int,
    most: int,
) -> None:
    archive = FakeHistory(delays, breaks)
    source = EventSourceClient(archive, CHANNELS, history, ConnectionLimits(buffer_size=200, backlog=backlog))
    if known:
        source.last_id = "0/1;e"
        source.starts = dict.fromkeys(CHANNELS, Position(1))
        source.places = dict(source.starts)
    for transaction in past:
        archive.commit(messages_of(transaction))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "_MAX_BYTES", most)
        going_on = asyncio.create_task(happen(archive, iter(script)))
        for cut, pace in cuts:
            await source.listen(cut, pace)
        await going_on
        archive.delays, archive.breaks = [], None
        missed = sum(each.size + 200 for each in archive.log)
        for _ in range(20 + 2 * missed // backlog):
            if await source.listen(None, 0):
                break
        else:
            pytest.fail("it comes back for ever")
    for channel in CHANNELS:
        assert source.missing(channel, LAST) == set()


ROOM = ConnectionLimits(buffer_size=200, backlog=5000)


async def test_overtaking_messages_are_included_and_no_id_goes_back() -> None:
    archive = FakeHistory()
    source = EventSourceClient(archive, CHANNELS, 0, ROOM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "_MAX_BYTES", 1)
        listening = asyncio.create_task(source.listen(None, 0))
        await _turns(30)
        archive.commit([FakeMessage("a"), FakeMessage("a"), FakeMessage("c", priority=5), FakeMessage("b")])
        assert await listening
    overtaking = read_id(source.ids[source.ids.index("0/64;e") + 1])
    assert (overtaking.of("c"), overtaking.of("a")) == (StreamPosition("0/6E", "e"), StreamPosition("0/6D", "e"))
    assert source.last_id == "0/6E;e"


async def test_a_channel_that_may_not_be_had_does_not_make_ids_longer() -> None:
    archive = FakeHistory()
    source = EventSourceClient(archive, ["a", "private:b"], 0, ROOM)
    archive.commit([FakeMessage("a")])
    assert await source.listen(None, 0)
    assert source.last_id == "0/6E;e"


async def test_a_channel_that_failed_is_named_until_it_is_open_again() -> None:
    archive = FakeHistory()
    source = EventSourceClient(archive, ["a", "b"], 0, ROOM)
    listening = asyncio.create_task(source.listen(None, 0))
    await _turns(30)
    archive.fail("b")
    archive.commit([FakeMessage("b"), FakeMessage("a")])
    await _turns(10)
    source.connection.receive(b'{"type":"subscribe","channel":"b","since":"0/64"}')
    await _turns(10)
    archive.commit([FakeMessage("a")])
    assert await listening
    assert f"(0/6E;e|e;{_hash('b')}:0/64)" in source.ids
    assert source.received["b"] == {(110, 0)}
    assert source.last_id == "0/78/0;e"


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def message(channel: str, *key: int) -> Frame:
    lsn, seq = key
    return Frame(b"", channel, key=(lsn, seq))


def opened(channel: str, recovered: bool | None = None) -> Frame:
    return Frame(b"", opened=Opened(channel, "0/FF", recovered))


def places(progress: Progress) -> dict[str, StreamPosition | None]:
    return {channel: read_id(progress.id or "").of(channel) for channel in CHANNELS}


def test_of_messages_in_order_each_has_its_position_as_its_id() -> None:
    progress = Progress("e")
    progress.resume(dict.fromkeys(CHANNELS))
    blocks = [message("a", 1, 0), message("b", 1, 1), message("a", 2, 0), Frame(b"")]
    assert progress.number(blocks, [], caught_up=True) == [(1, 0), (1, 1), (2, 0), None]
    assert progress.even
    assert progress.id == "0/2/0;e"
    assert progress.reach("0/9") == "0/9;e" == progress.id


def test_a_message_that_overtakes_has_no_id_until_what_it_has_overtaken_is_put_in() -> None:
    progress = Progress("e")
    progress.resume(dict.fromkeys(CHANNELS))
    high, low = message("b", 5, 9), [message("a", 5, 0), message("a", 5, 1), message("a", 5, 2)]
    assert progress.number([high, *low[:2]], low[2:], caught_up=True) == [None, (5, 0), (5, 1)]
    assert progress.number([high], low, caught_up=True) == [None]


def test_no_message_has_an_id_before_the_client_knows_whether_another_channel_has_lost_something() -> None:
    for after in ([opened("b", False)], [opened("b", False), message("b", 7, 0)]):
        progress = Progress("e")
        progress.resume({"a": StreamPosition("0/1", "e"), "b": StreamPosition("0/2", "e")})
        assert progress.number([message("a", 3, 0)], after, caught_up=True) == [None]
        last: list[Key | None] = [(7, 0)] if after[1:] else []
        assert progress.number([message("a", 3, 0), *after], [], caught_up=True) == [None, None, *last]


def test_an_unknown_position_is_forgotten_once_the_client_knows() -> None:
    progress = Progress("e")
    elsewhere = StreamPosition("0/FFFFFF", "elsewhere")
    progress.resume(dict.fromkeys("ab", elsewhere))
    progress.number([opened("a", False)], [], caught_up=False)
    progress.advance([], [message("a", 8, 0)], WriteState(Position(9), ["a"]))
    assert (places(progress)["a"], places(progress)["b"]) == (StreamPosition("0/7", "e"), elsewhere)


def test_a_channel_of_which_nothing_waits_is_as_far_as_the_stream_and_another_one_just_before_what_waits() -> None:
    progress = Progress("e")
    progress.resume(dict.fromkeys(CHANNELS, StreamPosition("0/1", "e")))
    blocks = [opened("a", True), message("a", 2, 0), opened("b", True)]
    assert progress.number(blocks, [message("b", 4, 5)], caught_up=False) == [None] * 3
    progress.advance(blocks, [message("b", 4, 5)], WriteState(Position(9), ["a", "b"]))
    assert list(places(progress).values()) == [
        StreamPosition("0/9", "e"),
        StreamPosition("0/4/4", "e"),
        StreamPosition("0/1", "e"),
    ]


def test_a_stream_that_ends_for_want_of_room_gives_no_id_beyond_what_it_had_no_room_for() -> None:
    progress = Progress("e")
    progress.resume(dict.fromkeys("ab", StreamPosition("0/1", "e")))
    progress.reach("0/2")
    closed = WriteState(Position(20), ["a", "b"], refused=("b", (5, 0)))
    blocks = [message("a", 4, 0), message("a", 6, 0)]
    assert progress.number(blocks, [], caught_up=True, closed=closed) == [(4, 0), None]
    progress.advance(blocks, [], closed)
    assert (places(progress)["a"], places(progress)["b"]) == (StreamPosition("0/14", "e"), StreamPosition("0/4", "e"))


def test_of_a_transaction_that_a_stream_ended_in_no_message_has_an_id_that_others_would_be_measured_by() -> None:
    progress = Progress("e")
    progress.resume(dict.fromkeys("ab", StreamPosition("0/1", "e")))
    blocks = [message("a", 4, 0), message("a", 5, 7)]
    closed = WriteState(Position(4), ["a", "b"], refused=("a", (5, 8)))
    assert progress.number(blocks, [], caught_up=True, closed=closed) == [(4, 0), None]
    progress.advance(blocks, [], closed)
    assert (places(progress)["a"], places(progress)["b"]) == (StreamPosition("0/5/7", "e"), StreamPosition("0/4", "e"))
    alone = WriteState(Position(4), ["a"], refused=("a", (5, 8)))
    assert Progress("e").number(blocks, [], caught_up=True, closed=alone) == [(4, 0), (5, 7)]


def test_a_channel_that_is_waited_for_in_vain_stays_where_it_was_and_the_others_go_on() -> None:
    progress = Progress("e")
    progress.resume(dict.fromkeys(CHANNELS, StreamPosition("0/1", "before")))
    for lsn in (16, 32):
        blocks = [message("a", lsn, 0)]
        progress.advance(blocks, [], WriteState(Position(lsn), ["a", "b"]))
        position = f"0/{lsn:X}"
        assert progress.id == f"({position};e|before;{_hash('c')}:0/1)"


def _hash(channel: str) -> str:
    text = write_id({channel: StreamPosition("0/1"), "x": None, "y": None})
    assert text is not None
    return text.split(";")[1].partition(":")[0]
