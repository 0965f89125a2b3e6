"""Filters about large messages are asked in batches, with the same answers as when they are asked at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.delivery.hub import ChannelHub
from engine.channels.core.delivery.judging import AT_ONCE, judge_ahead
from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.filters.document import Document
from engine.channels.core.filters.filter import compile_filter, read_json
from engine.channels.core.messages.decode import MessageRow
from engine.channels.core.messages.model import ChannelEvent, ChannelOptions, Member
from engine.values.exact_json import canonical_number
from tests.support.examples import examples
from tests.support.fakes.receivers import Calling, NoChannels
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import run

Where = tuple[object, ...]


def message(number: int, data: object, event: str = "sent") -> MessageEvent:
    payload = json.dumps(data).encode()
    return MessageEvent(
        MessageRow(1, number, "c", event, payload, None, None, str(number), None, 0, "2026-01-25 09:00:00+00")
    )


def subscriber(
    hub: ChannelHub, where: Where, received: list[ChannelEvent], events: tuple[str, ...] | None = None
) -> None:
    options = ChannelOptions(where=where, events=events)
    member = Member(str(len(hub)), None)
    subscription = Subscription("c", options, member, Calling(received.append), NoChannels())
    subscription.begin()
    hub.add(subscription)


def alike(number: int) -> Where:
    return ({"or": [["a", "like", f"%{'abc'[(number + n) % 3]}_{'_' * (n % 5)}abc_bb%"] for n in range(80)]},)


def test_the_filters_of_many_subscribers_about_large_messages_are_asked_in_batches() -> None:
    hub, received = ChannelHub(), list[ChannelEvent]()
    for number in range(40):
        subscriber(hub, alike(number), received)
    events = [message(number, {"a": "abc_" * 30_000}) for number in range(3)]
    work = list(work_between_yields(hub.judge(events), events))
    assert len(work) > 3
    one = Document({"a": "abc_" * 30_000})
    compile_filter(alike(0))(one)
    assert max(work) <= AT_ONCE + one.steps + len(events[0].row.payload)
    for event in events:
        assert event.steps == 0, "what filters looked at is kept"
    hub.messages(events)
    assert received == []


def work_between_yields(judging: Iterator[None], events: list[MessageEvent]) -> Iterator[int]:
    """Steps of each slice. Whether a message was let go of since shows in its steps, too."""
    before = 0
    for _ in judging:
        now = sum(event.steps for event in events)
        yield now - before if now >= before else now
        before = now


SMALL = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["sent", "other"])), min_size=1, max_size=6)


@settings(max_examples=examples(100), deadline=None)
@given(messages=SMALL, wanted=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=5))
def test_judged_ahead_or_not_the_same_messages_reach_the_same_subscribers(
    messages: list[tuple[int, str]], wanted: list[tuple[int, bool]]
) -> None:
    def delivered(ahead: Callable[[ChannelHub, list[MessageEvent]], object]) -> list[list[str]]:
        hub, received = ChannelHub(), [list[ChannelEvent]() for _ in wanted]
        for (number, narrow), events in zip(wanted, received, strict=True):
            subscriber(hub, (["a.n", "==", number],), events, ("sent",) if narrow else None)
        batch = [
            message(place, {"a": {"n": number}, "more": "x" * 4_000 * (place % 3)}, event)
            for place, (number, event) in enumerate(messages)
        ]
        ahead(hub, batch)
        hub.messages(batch)
        return [[json.loads(event.json)["id"] for event in events] for events in received]

    at_once = delivered(lambda hub, batch: None)
    assert delivered(lambda hub, batch: list(hub.judge(batch))) == at_once
    assert delivered(lambda hub, batch: list(judge_ahead(batch, hub.of, smallest=0))) == at_once


def test_a_message_that_cannot_be_read_is_read_once_for_all_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, received, reads = ChannelHub(), list[ChannelEvent](), 0

    def counted(text: bytes) -> object:
        nonlocal reads
        reads += 1
        return read_json(text)

    monkeypatch.setattr("engine.channels.core.delivery.events.read_json", counted)
    for _ in range(20):
        subscriber(hub, (["a", "is-null"],), received)
    event = message(1, None)
    event.row.payload = b"[" * 5_000 + b"]" * 5_000
    list(hub.judge([event]))
    hub.messages([event])
    assert (reads, received) == (1, [])


async def test_a_filtered_past_of_many_messages_lets_the_loop_go_on(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, reads, busiest, received = asyncio.get_running_loop(), 0, 0, False

    def counted(text: bytes) -> object:
        nonlocal reads
        reads += 1
        return read_json(text)

    def turn() -> None:
        nonlocal reads, busiest
        busiest, reads = max(busiest, reads), 0
        if not received:
            loop.call_soon(turn)

    monkeypatch.setattr("engine.channels.core.delivery.events.read_json", counted)
    async with channel_node(database) as here:
        before = (await here.listen("room")).position
        run(
            database,
            "select realtime.broadcast('room', 'sent', jsonb_build_object('n', n, 'a', repeat('abc_', 5000)))"
            " from generate_series(1, 120) n",
        )
        await here.caught_up()
        loop.call_soon(turn)
        pasts: list[dict[str, Any]] = [{"history": 5}, {"since": before}]
        for asked in pasts:
            listener = await here.listen("room", where=({"not": alike(0)[0]}, ["n", "==", 7]), **asked)
            assert [data["n"] for data in listener.data] == [7]
        received = True
    assert 0 < busiest <= 40, "messages of which the filter was asked in one turn of the loop"


def test_messages_of_many_fractions_are_each_a_turn() -> None:
    hub, received = ChannelHub(), list[ChannelEvent]()
    subscriber(hub, (["b", "==", 1],), received)
    events = [message(number, {"a": [1.5] * 30_000}) for number in range(5)]
    assert len(list(hub.judge(events))) == 5


def test_many_small_messages_are_judged_ahead_as_large_ones_are() -> None:
    hub, received = ChannelHub(), list[ChannelEvent]()
    subscriber(hub, (["b", "==", 1],), received)
    events = [message(number, {"a": [1.5] * 600}) for number in range(100)]
    assert len(list(hub.judge(events))) > 1
    small = [message(number, {"a": "x"}) for number in range(100)]
    assert list(hub.judge(small)) == []


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=5) | st.decimals("-2", "2", places=3), st.integers(0, 9)
)
def test_equal_numbers_have_one_form(number: Decimal, zeros: int) -> None:
    text = f"{number:f}"
    form = canonical_number(text)
    assert (form, type(form)) == (canonical_number(f"{number:e}"), type(canonical_number(f"{number:e}")))
    assert form == number
    assert repr(canonical_number(text + "0" * zeros)) == repr(form)
