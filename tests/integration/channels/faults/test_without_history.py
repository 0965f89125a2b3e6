"""Messages that no table has, over a discontinuity: those that come meanwhile follow, and those that are lost are named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.channels.core.delivery.held_messages import HeldMessages
from engine.channels.core.effects import ConnectionDeleted
from engine.channels.db.store import Store
from engine.lsn import format_lsn, parse_lsn
from engine.transaction import Discontinuity
from tests.support.nodes.channel_node import ChannelNode, channel_node
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run

BEYOND = 1_000
"""Bytes of WAL that the stream lacks, as it reports."""


@pytest.fixture
def passing(database: str) -> str:
    run(database, "select realtime.create_channel('passing', history => false)")
    return database


class Barrier:
    """Recoveries wait while it is closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.reached = asyncio.Event(), asyncio.Event()
        self.open.set()
        tables = Store.tables

        async def held(store: Store, *names: str) -> Any:
            self.reached.set()
            await self.open.wait()
            return await tables(store, *names)

        monkeypatch.setattr(Store, "tables", held)

    async def close(self, one: ChannelNode, event: Discontinuity, lacks: int = 0) -> None:
        """At a discontinuity of ``one``, behind which the stream lacks so many bytes."""
        self.open.clear()
        self.reached.clear()
        one.channels.discontinuity(event, one.stream.position + lacks)
        await self.reached.wait()


async def test_what_comes_during_a_recovery_follows_it_once_and_in_order(
    passing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with channel_node(passing) as one, asyncio.timeout(GIVE_UP_AFTER):
        barrier = Barrier(monkeypatch)
        room, seen, other = (
            await one.listen("passing"),
            await one.listen("passing", meta=True),
            await one.listen("room"),
        )
        await one.publish("passing", 0)
        await barrier.close(one, Discontinuity("a crash", missing=False))
        for number in (1, 2):
            await one.publish("passing", number)
            await one.publish("room", number)
        await barrier.close(one, Discontinuity("another one", missing=False))
        await one.publish("passing", 3)
        assert (room.data, other.data) == ([0], [])
        barrier.open.set()
        await other.until(lambda: other.data == [1, 2])
        await one.publish("passing", 4)
        await room.until(lambda: 4 in room.data)
        assert (room.data, seen.data) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
        assert room.positions == sorted(room.positions)
        assert not room.of("subscribed"), "the stream lacks nothing"
        assert not one.channels.core.hub.held


async def test_subscribers_learn_where_the_stream_lacks_what_no_table_has(
    passing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with channel_node(passing) as one, asyncio.timeout(GIVE_UP_AFTER):
        barrier = Barrier(monkeypatch)
        room, other = await one.listen("passing"), await one.listen("room")
        await one.publish("passing", 0)
        began = one.stream.position + BEYOND
        await barrier.close(one, Discontinuity("a test"), BEYOND)
        await one.publish("passing", 1)
        await one.publish("room", 1)
        barrier.open.set()
        await one.publish("room", 2)
        await other.until(lambda: other.data == [1, 2])
        await room.until(lambda: 1 in room.data)
        assert [event["type"] for event in room.events] == ["message", "gap", "subscribed", "message"]
        epoch = one.channels.epoch
        expected = {"channel": "passing", "position": format_lsn(began - 1), "epoch": epoch, "recovered": False}
        assert room.of("subscribed") == [{"type": "subscribed", **expected}]
        assert not other.of("subscribed"), "its messages are in their table"
        late = await one.listen("passing")
        one.channels.discontinuity(Discontinuity("a crash", missing=False), one.stream.position)
        await one.publish("passing", 2)
        await late.until(lambda: late.data == [2])
        assert not late.of("subscribed")
        assert len(room.of("subscribed")) == 1


@pytest.mark.parametrize(
    ("event", "lacks", "informed"),
    [
        (Discontinuity("a lost slot"), BEYOND, True),
        (Discontinuity("a hole", whole=1), 0, True),
        (Discontinuity("another history", other_history=True), -BEYOND, True),
        (Discontinuity("a hole that the slot stands before"), 0, False),
        (Discontinuity("a crash", missing=False), BEYOND, False),
    ],
    ids=lambda value: value.reason if isinstance(value, Discontinuity) else None,
)
async def test_connections_learn_that_messages_to_them_may_be_missing(
    database: str, event: Discontinuity, lacks: int, informed: bool
) -> None:
    async with channel_node(database) as one, asyncio.timeout(GIVE_UP_AFTER):
        client = await one.member()
        send = "select realtime.broadcast_all('called', to_jsonb(%s::int))"
        run(database, send, 1)
        await client.until(lambda: client.data == [1])
        one.channels.discontinuity(event, one.stream.position + lacks)
        run(database, send, 2)
        await client.until(lambda: client.data == [1, 2])
        assert [each["type"] for each in client.events] == ["message", *(["gap"] if informed else []), "message"]
        assert client.of("gap") == ([{"type": "gap", "channel": "*"}] if informed else [])


async def test_after_another_history_connections_learn_what_was_passed_over_once_the_tables_were_read(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message at a place that the stream had passed already may be one of before, or a new one."""
    async with channel_node(database) as one, asyncio.timeout(GIVE_UP_AFTER):
        barrier, client, ended = Barrier(monkeypatch), await one.member(), await one.member()
        send = "select realtime.broadcast_all('called', to_jsonb(%s::int))"
        one.channels.core.reach(one.stream.position + (1 << 30))
        await barrier.close(one, Discontinuity("another history", other_history=True))
        run(database, send, 1)
        [(flushed,)] = read(database, "select pg_current_wal_flush_lsn()::text")
        await one.stream.reached(parse_lsn(flushed))
        assert [each["type"] for each in client.events] == ["gap"]
        one.channels.core.passed_over.append(ConnectionDeleted(ended.member.connection_id))
        barrier.open.set()
        await client.until(lambda: len(client.of("gap")) == 2)
        run(database, send, 2)
        await client.until(lambda: client.data == [2])
        assert len(client.of("gap")) == 2
        await ended.until(lambda: bool(ended.of("error")))


async def test_the_position_of_a_gap_is_not_before_what_was_delivered(passing: str) -> None:
    """Some of it came behind the hole, before that was noticed."""
    async with channel_node(passing) as one, asyncio.timeout(GIVE_UP_AFTER):
        room = await one.listen("passing")
        await one.publish("passing", 0)
        await room.until(lambda: room.data == [0])
        at = one.channels.core.position
        one.channels.discontinuity(Discontinuity("a hole", whole=at - 200), at - 100)
        await room.until(lambda: room.of("subscribed"))
        assert room.of("subscribed")[0]["position"] == format_lsn(at)


async def test_nothing_is_recovered_of_what_no_table_has(passing: str) -> None:
    """Neither from a message on, nor from where a subscription began that has got none."""
    async with channel_node(passing) as one, asyncio.timeout(GIVE_UP_AFTER):
        first, other = await one.listen("passing"), await one.listen("room")
        began = first.position, other.position
        await one.publish("passing", 1)
        await one.publish("room", 1)
        await first.until(lambda: first.data == [1])
        for since in (began[0], first.positions[0]):
            again = await one.listen("passing", since=since)
            assert again.subscription is not None
            assert (again.subscription.recovered, again.data) == (False, [])
        again = await one.listen("room", since=began[1])
        assert again.subscription is not None
        assert (again.subscription.recovered, again.data) == (True, [1])


async def test_subscribers_learn_where_more_comes_than_can_be_held(
    passing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with channel_node(passing) as one, asyncio.timeout(GIVE_UP_AFTER):
        one.channels.core.hub.held = HeldMessages(3)
        barrier = Barrier(monkeypatch)
        room = await one.listen("passing")
        await barrier.close(one, Discontinuity("a crash", missing=False))
        for number in range(5):
            await one.publish("passing", number)
        barrier.open.set()
        await one.publish("passing", 5)
        await room.until(lambda: 5 in room.data)
        assert (room.events[0]["type"], room.events[0]["recovered"]) == ("subscribed", False)
        assert room.data == [4, 5]
