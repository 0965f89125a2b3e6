"""Rooms: lifecycle events, and which connections a broadcast reaches."""

from __future__ import annotations

import json

from engine.channels.core.messages.model import Member
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelSubscriber, channel_node
from tests.support.postgres.sql import connect, run, until


async def test_a_room_sends_its_lifecycle_to_subscribers(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("r")
        run(source.dsn, """select realtime.create_channel('r', metadata => '{"title":"R"}')""")
        run(source.dsn, """select realtime.update_channel('r', '{"capacity": 5}')""")
        run(source.dsn, "select realtime.close_channel('r')")
        await listener.until(lambda: len(listener.events) == 3)
        assert [event["type"] for event in listener.events] == ["room:created", "room:updated", "room:closed"]
        assert listener.events[0]["room"]["metadata"] == {"title": "R"}
        assert listener.events[1]["room"]["capacity"] == 5


async def test_a_broadcast_to_users_or_all_reaches_connections(source: Source) -> None:
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        ann, bob = await one.member("ann", plan="pro"), await two.member("bob", plan="free")
        run(source.dsn, "select realtime.broadcast_all('news', '1')")
        run(source.dsn, "select realtime.broadcast_users('{ann}', 'news', '2')")
        run(
            source.dsn,
            """select realtime.broadcast_all('news', '3', audience => '{"where": [["plan", "==", "free"]]}')""",
        )
        run(source.dsn, "select realtime.broadcast_all('news', '4')")
        await ann.until(lambda: len(ann.events) == 3)
        await bob.until(lambda: len(bob.events) == 3)
        assert (ann.data, bob.data) == ([1, 2, 4], [1, 3, 4])
        message = ann.messages[0]
        assert message["channel"] == "*"
        assert message.keys() == {"type", "channel", "event", "data", "timestamp", "sender", "id", "position"}
        assert message["timestamp"].endswith("Z")


async def test_a_broadcast_to_all_reaches_a_connection_whose_row_is_about_to_be_committed(source: Source) -> None:
    """Its client has been greeted, and its application may have asked for the broadcast already."""
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        member = Member("greeted", "ann")
        greeted = ChannelSubscriber(one, member)
        with connect(source.dsn) as sql, sql.transaction():
            sql.execute("lock table realtime.connections in share mode")
            connecting = one.channels.connect(member, greeted.deliver)
            await until(lambda: sql.execute("select from pg_locks where not granted").fetchone() is not None)
            run(source.dsn, "select realtime.broadcast_all('news', '1')")
            await greeted.until(lambda: greeted.data == [1])
            assert not connecting.done()
        await connecting


async def test_audiences_filters_mutes_and_routes_choose_the_receivers(source: Source) -> None:
    run(
        source.dsn,
        "insert into realtime.preferences (user_id, channel, event) values ('bob', 'orders:1', 'noise');"
        "insert into realtime.routes (from_channel, to_channel, match) values "
        """('orders:*', 'admin:orders', '[["data.amount", ">", 100]]')""",
    )
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ann = await one.listen("orders:1", user="ann", where=(("amount", ">=", 50),))
        bob = await one.listen("orders:1", user="bob")
        events = await one.listen("orders:1", events=("noise",))
        admin = await one.listen("admin:orders")
        await one.publish("orders:1", {"amount": 10})
        await one.publish("orders:1", {"amount": 200})
        await one.publish("orders:1", {"amount": 60}, event="noise")
        for audience in ('{"users": ["bob"]}', '{"exclude": {"users": ["bob"]}}', '{"users": 5}'):
            run(
                source.dsn,
                "select realtime.send('orders:1', 'sent', '{\"amount\": 70}', 's', null, %s::jsonb, 0)",
                audience,
            )
        await one.caught_up()
        assert [data["amount"] for data in ann.data] == [200, 60, 70]
        assert [data["amount"] for data in bob.data] == [10, 200, 70]
        assert [data["amount"] for data in events.data] == [60]
        await admin.until(lambda: admin.messages)
        assert [(message["channel"], message["data"]["amount"]) for message in admin.messages] == [
            ("admin:orders", 200)
        ]
        assert (await one.listen("admin:orders", history=10)).messages == admin.messages
        run(source.dsn, "delete from realtime.preferences; delete from realtime.routes")
        await one.caught_up()
        await one.publish("orders:1", {"amount": 300}, event="noise")
        await bob.until(lambda: bob.data[-1]["amount"] == 300)
        assert len(admin.messages) == 1
        assert json.loads(json.dumps(bob.data[-1])) == {"amount": 300}
