"""Whatever cuts an event stream off, wherever: who comes back with the last id has missed nothing, and is further."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.channels.model import Position
from server import sse
from server.limits import ConnectionLimits
from tests.server.archive import Archive, Said, Source

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
    transactions.map(lambda said: ("say", said)),
    transactions.map(lambda said: ("say together", said)),
    st.sampled_from([("interrupt", None), ("mend", None), ("expire", "a"), ("fail", "b"), ("wait", None)]),
)
connections = st.tuples(st.none() | st.integers(0, 4000), st.integers(0, 4))


def said(transaction: list[tuple[str, int, bool, int]]) -> list[Said]:
    return [Said(channel, None, priority, wanted, size) for channel, priority, wanted, size in transaction]


async def happen(archive: Archive, script: Iterator[tuple[str, object]]) -> None:
    """Do what the script says, while the client listens. Never in the middle of a turn of the loop."""
    for what, of in script:
        match what, of:
            case "say", list():
                archive.say(said(of))
            case "say together", list():
                archive.say(said(of), together=True)
            case "interrupt", _:
                archive.interrupt()
            case "mend", _:
                await archive.mend()
            case "expire", str():
                archive.expire(of)
            case "fail", str():
                archive.fail(of)
        for _ in range(7):
            await asyncio.sleep(0)
    await archive.mend()


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
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_every_id_is_true_and_none_goes_back_and_nothing_is_missing_in_the_end(
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
    archive = Archive(delays, breaks)
    source = Source(archive, CHANNELS, history, ConnectionLimits(buffer_size=200, backlog=backlog))
    if known:
        source.last_id = "0/1;e"
        source.starts = dict.fromkeys(CHANNELS, Position(1))
        source.places = dict(source.starts)
    for transaction in past:
        archive.say(said(transaction))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "_MOST_BYTES", most)
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
