"""Lost connections, lost slots: each message once, in order, and presence as it is."""

from __future__ import annotations

import asyncio
import uuid

from tests.channels.conftest import Place
from tests.channels.stage import Listener, Node, node, read, run
from tests.live.stage import drop_slot, terminate


async def keep_publishing(one: Node, count: int, ids: bool) -> None:
    """``count`` messages, some at a time."""
    for start in range(0, count, 10):
        await asyncio.gather(
            *(
                one.publish("public:a", number, id=uuid.uuid4().hex if ids else None)
                for number in range(start, start + 10)
            )
        )


async def once_each(listener: Listener, count: int) -> None:
    await listener.until(lambda: len(listener.messages) >= count)
    await listener.node.settled()
    assert sorted(listener.data) == list(range(count))


async def test_a_publisher_that_loses_its_connection_publishes_each_message_once(place: Place) -> None:
    async with node(place.dsn, decoder=place.decoder) as one:
        listener = await one.listen("public:a")
        publishing = asyncio.create_task(keep_publishing(one, 400, ids=False))
        for heard in (50, 150, 250):
            await listener.until(lambda heard=heard: len(listener.messages) > heard)
            assert terminate(place.dsn, "realtime publisher%") == 1
        await publishing
        await once_each(listener, 400)


async def test_all_connections_are_lost_and_nothing_else_is(place: Place) -> None:
    async with node(place.dsn, decoder=place.decoder) as one:
        listener = await one.listen("public:a", user="w", presence={})
        publishing = asyncio.create_task(keep_publishing(one, 300, ids=True))
        for heard in (50, 150):
            await listener.until(lambda heard=heard: len(listener.messages) > heard)
            terminate(place.dsn, "realtime%")
        await publishing
        await once_each(listener, 300)
        assert (await one.listen("public:a", history=1000)).messages == listener.messages


async def test_a_lost_slot_costs_no_message_and_no_order(place: Place) -> None:
    async with node(place.dsn, decoder=place.decoder) as one:
        live = await one.listen("public:a", user="w", presence={})
        late = await one.listen("public:a")
        for number in range(3):
            await one.publish("public:a", number)
        await live.until(lambda: len(live.messages) == 3)
        drop_slot(place.dsn, one.feed.settings.slot_name)
        for number in range(3, 8):
            run(place.dsn, "select realtime.broadcast('public:a', 'said', to_jsonb(%s::int))", number)
        run(
            place.dsn,
            "insert into realtime.connections (id, node_id, transport) select 'c', id, 'x' from realtime.nodes limit 1;"
            "insert into realtime.presence (channel, connection_id, user_id) values ('public:a', 'c', 'ann')",
        )
        await live.until(lambda: len(live.messages) == 8)
        await one.publish("public:a", 8)
        await live.until(lambda: len(live.messages) == 9 and live.of("presence:join"))
        await late.until(lambda: len(late.messages) == 9)
        assert live.data == list(range(9))
        assert late.messages == live.messages
        assert [event["user"]["id"] for event in live.of("presence:join")] == ["ann"]
        assert (await one.listen("public:a", since=live.positions[1])).messages == live.messages[2:]
        assert read(place.dsn, "select count(distinct user_id) from realtime.presence") == [(2,)]


async def test_another_node_that_kept_its_slot_knows_the_true_positions(database: str) -> None:
    async with node(database) as one, node(database) as two:
        lives = [await one.listen("public:a"), await two.listen("public:a")]
        await one.publish("public:a", 0)
        drop_slot(database, one.feed.settings.slot_name)
        for number in range(1, 6):
            run(database, "select realtime.broadcast('public:a', 'said', to_jsonb(%s::int))", number)
        for live in lives:
            await live.until(lambda live=live: len(live.messages) == 6)
        assert lives[0].messages == lives[1].messages
