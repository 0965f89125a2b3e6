"""Routed messages are messages of their own: what was delivered live is what the history has, on every node."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelSubscriber, channel_node
from tests.support.nodes.live_node import drop_slot
from tests.support.postgres.sql import read, run, run_each, until

ROUTE = """insert into realtime.routes (from_channel, to_channel, match)
values ('orders:*', 'admin', '[["data", ">", 100]]')"""


async def test_live_replay_and_history_of_a_route_are_the_same_on_every_node_and_each_message_comes_once(
    source: Source,
) -> None:
    run(source.dsn, ROUTE)
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        lives = [await one.listen("admin"), await two.listen("admin")]
        sources = await one.listen("orders:1")
        amounts = [50, 150, 90, 250, 101, 100, 350, 400]
        await asyncio.gather(*(one.publish("orders:1", amount) for amount in amounts))
        run(
            source.dsn, "select realtime.broadcast('admin', 'sent', '0'), realtime.broadcast('orders:2', 'sent', '500')"
        )
        wanted = [150, 250, 101, 350, 400, 500]
        for live in lives:
            await live.until(lambda: len(live.messages) == len(wanted) + 1)
        assert lives[0].messages == lives[1].messages
        assert [amount for amount in lives[0].data if amount] == wanted
        assert {message["channel"] for message in lives[0].messages} == {"admin"}
        assert [m["id"] for m in lives[0].messages if m["data"] == 150] == [
            m["id"] for m in sources.messages if m["data"] == 150
        ]
        run(source.dsn, "delete from realtime.routes")
        for there in (one, two):
            assert (await there.listen("admin", history=100)).messages == lives[0].messages
            assert (await there.listen("admin", since=lives[0].positions[2])).messages == lives[0].messages[3:]
        await until(lambda: not one.channels.core.unrecorded.pending and not two.channels.core.unrecorded.pending)
        positions = [p for (p,) in read(source.dsn, "select position from realtime.history('admin')")]
        assert positions == lives[0].positions


async def test_routes_in_a_circle_pass_a_message_on_once(database: str) -> None:
    run(database, "insert into realtime.routes (from_channel, to_channel) values ('a', 'b'), ('b', 'a'), ('*', 'c')")
    async with channel_node(database) as one:
        listeners: dict[str, ChannelSubscriber] = {name: await one.listen(name) for name in "abc"}
        await one.publish("a", 1)
        await one.publish("b", 2)
        for listener in listeners.values():
            await listener.until(lambda: len(listener.messages) == 2)
        await until(lambda: not one.channels.core.unrecorded.pending)
        await one.caught_up()
        assert {name: sorted(listener.data) for name, listener in listeners.items()} == {key: [1, 2] for key in "abc"}


async def test_routes_lead_from_and_to_channels_without_history(source: Source) -> None:
    run(
        source.dsn,
        "select realtime.create_channel('passing', history => false), realtime.create_channel('gone');"
        "select realtime.close_channel('gone');"
        "insert into realtime.routes (from_channel, to_channel)"
        " values ('passing', 'kept'), ('stored', 'passing'), ('stored', 'gone')",
    )
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        kept, passing = await one.listen("kept"), await two.listen("passing")
        await one.publish("passing", 1)
        await one.publish("stored", 2)
        await kept.until(lambda: kept.messages)
        await passing.until(lambda: len(passing.messages) == 2)
        await until(lambda: not one.channels.core.unrecorded.pending and not two.channels.core.unrecorded.pending)
        await one.caught_up()
        assert (kept.data, passing.data) == ([1], [1, 2])
        assert (await two.listen("kept", history=5)).messages == kept.messages
        assert read(source.dsn, "select channel from realtime.messages order by 1") == [("kept",), ("stored",)]


async def test_a_node_that_dies_before_it_has_routed_leaves_that_to_the_next(database: str) -> None:
    run(database, ROUTE)
    slot = "s_routing"
    async with channel_node(database, slot=slot, feed={"ephemeral": False}, record_interval=3600.0) as one:
        await one.publish("orders:1", 101)  # recorded at once; what follows is not for an hour
        await one.publish("orders:1", 102)
    async with channel_node(database, slot=slot, feed={"ephemeral": True}) as one:
        admin = await one.listen("admin", history=10)
        await admin.until(lambda: len(admin.messages) == 2)
        assert admin.data == [101, 102]
        assert read(database, "select count(*) from realtime.messages where channel = 'admin'") == [(2,)]


async def test_mutes_begin_and_end_exactly_where_they_committed(source: Source) -> None:
    mute = "insert into realtime.preferences (user_id, channel) values ('ann', 'room')"
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        ann = await one.listen("room", user="ann")
        for number in range(6):
            run(source.dsn, "select realtime.broadcast('room', 'sent', to_jsonb(%s::int))", number)
            if number == 1:
                run(source.dsn, mute)
            if number == 3:
                run(source.dsn, "delete from realtime.preferences")
        await ann.until(lambda: 5 in ann.data)
        assert ann.data == [0, 1, 4, 5]
        run(source.dsn, mute)
        back = await two.listen("room", user="ann")
        run(source.dsn, "select realtime.broadcast('room', 'sent', '6')")
        run(source.dsn, "update realtime.preferences set muted = false")
        run(source.dsn, "select realtime.broadcast('room', 'sent', '7')")
        await back.until(lambda: back.messages)
        run(source.dsn, "truncate realtime.preferences")
        assert back.data == [7]


@pytest.mark.parametrize("state", ["53100", "08006", "57014", "P0001"])
async def test_a_copy_that_a_trigger_refuses_is_skipped_and_delays_nothing(database: str, state: str) -> None:
    run(
        database,
        "create function refuse() returns trigger language plpgsql as $$ begin if new.channel = 'never' then "
        f"raise exception 'no copies' using errcode = '{state}'; end if; return new; end $$;"
        "create trigger refuse before insert on realtime.messages for each row execute function refuse();"
        "insert into realtime.routes (from_channel, to_channel, match) values ('a', 'never', '[]'), ('a', 'copies', '[]')",
    )
    async with channel_node(database) as one:
        copies = await one.listen("copies")
        await one.publish("a", 1)
        await copies.until(lambda: copies.data == [1])
        await one.channels.recorded()
        assert read(database, "select payload from realtime.history('a')") == [(1,)]
        await until(lambda: one.channels.problems == [])


async def test_messages_that_committed_while_no_node_followed_are_routed_once(database: str) -> None:
    run(database, ROUTE)
    async with channel_node(database) as one:
        assert (await one.publish("orders:1", 150)).position
        await one.channels.recorded()
        slot = one.feed.settings.slot_name
    drop_slot(database, slot)
    sent = "select realtime.broadcast('orders:1', 'sent', '{0}'), realtime.broadcast('orders:2', 'sent', '{0}')"
    run_each(database, sent.format(200), sent.format(50), "select realtime.broadcast('elsewhere', 'sent', '300')")
    for _ in range(2):
        async with channel_node(database) as one:
            await one.channels.recorded()
            admin, orders = await one.listen("admin", history=10), await one.listen("orders:1", history=10)
            await admin.until(lambda: len(admin.data) == 3)
            assert (admin.data, orders.data) == ([150, 200, 200], [150, 200, 50])
        drop_slot(database, slot)
