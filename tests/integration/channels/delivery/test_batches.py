"""What a transaction brings reaches a subscriber in as few calls as may be, and means the same as one by one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import psycopg
from hypothesis import given
from hypothesis import strategies as st

from engine.channels.core.delivery.channel_batch import message_batches
from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.messages.decode import MessageRow
from engine.channels.core.messages.model import ChannelEvent, ChannelOptions, EventBatch
from engine.postgres.statements.arrays import plain_array, repeated_array, text_array
from tests.support.fakes.receivers import OneByOne
from tests.support.nodes.channel_node import ChannelNode, channel_node
from tests.support.postgres.sql import GIVE_UP_AFTER, run


def message(seq: int, channel: str = "room:1", payload: bytes = b"1", audience: bytes | None = None) -> MessageEvent:
    return MessageEvent(
        MessageRow(1, seq, channel, "sent", payload, None, None, str(seq), audience, 0, "2026-01-25 09:00:00+00")
    )


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([1, 40_000, 200_000])), max_size=400))
def test_batches_keep_the_order_have_one_channel_each_and_are_not_large(given: list[tuple[str, int]]) -> None:
    events = [message(n, channel, b"1" * size) for n, (channel, size) in enumerate(given)]
    batches = list(message_batches(events))
    assert [event for batch in batches for event in batch.events] == events
    for batch in batches:
        assert {event.channel for event in batch.events} == {batch.channel}
        assert len(batch.events) <= 128
        assert len(batch.events) == 1 or sum(len(event.row.payload) for event in batch.events) <= 64 * 1024


def test_a_batch_knows_whether_a_message_in_it_has_an_audience() -> None:
    (batch,) = message_batches([message(1), message(2, audience=b'{"users": ["ann"]}'), message(3)])
    assert batch.addressed


@dataclass
class Record(OneByOne):
    """What came, and in which calls."""

    data: list[object] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    def deliver(self, event: ChannelEvent) -> None:
        self._note([event])

    def deliver_batch(self, batch: EventBatch) -> None:
        self._note(list(batch.events))

    def _note(self, events: list[ChannelEvent]) -> None:
        self.calls.append(len(events))
        self.data += [json.loads(event.json)["data"] for event in events]
        if self.data[-1] == "end":
            self.enough.set()


async def listen(at: ChannelNode, **options: object) -> Record:
    record = Record()
    member = (await at.member("ann")).member
    subscription = await at.channels.subscribe(
        "room:1",
        ChannelOptions(**options),  # type: ignore[arg-type]
        member,
        record,
    )
    subscription.begin()
    return record


async def test_subscribers_without_a_filter_get_whole_batches_and_the_others_what_matches(database: str) -> None:
    async with channel_node(database) as one:
        plain = await listen(one)
        picky = await listen(one, where=(("n", ">", 7),))
        run(
            database,
            "insert into realtime.messages (channel, event, payload) "
            "select 'room:1', 'sent', jsonb_build_object('n', n) from generate_series(1, 10) n",
        )
        run(database, """insert into realtime.messages (channel, event, payload) values ('room:1', 'sent', '"end"')""")
        async with asyncio.timeout(GIVE_UP_AFTER):
            await plain.enough.wait()
        assert plain.data == [*({"n": n} for n in range(1, 11)), "end"]
        assert plain.calls == [10, 1]
        assert picky.data == [{"n": 8}, {"n": 9}, {"n": 10}]


async def test_a_message_for_others_is_skipped_in_the_middle(database: str) -> None:
    async with channel_node(database) as one:
        ann = await listen(one)
        run(
            database,
            """insert into realtime.messages (channel, event, payload, audience) values
               ('room:1', 'sent', '1', null), ('room:1', 'sent', '2', '{"users": ["bob"]}'),
               ('room:1', 'sent', '3', null), ('room:1', 'sent', '"end"', null)""",
        )
        async with asyncio.timeout(GIVE_UP_AFTER):
            await ann.enough.wait()
        assert ann.data == [1, 3, "end"]


texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))


def test_an_array_literal_is_read_as_it_was_written(database: str) -> None:
    with psycopg.connect(database) as connection:

        @given(st.lists(st.one_of(st.none(), texts, st.sampled_from(["NULL", "null", '"', "\\", "{}", ",", " "]))))
        def read_back(values: list[str | None]) -> None:
            row = connection.execute("select %s::text[]", [text_array(values)]).fetchone()
            assert row == (values,)
            assert repeated_array(values * 2) == text_array(values * 2)

        read_back()
        row = connection.execute("select %s::int[], %s::bool[]", [plain_array([1, -2]), plain_array([True, False])])
        assert row.fetchone() == ([1, -2], [True, False])
