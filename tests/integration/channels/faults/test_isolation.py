"""What goes wrong with one subscriber, one row or one message is that one's affair: the stream goes on."""

from __future__ import annotations

from typing import Any

import pytest

from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.model import ChannelEvent
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelSubscriber, channel_node
from tests.support.postgres.sql import read, run


class Faulty(ChannelSubscriber):
    """A connection that fails at every message called ``break``."""

    def deliver(self, event: ChannelEvent) -> None:
        if b'"event":"break"' in event.json:
            raise RuntimeError("an unforeseen fault")
        super().deliver(event)


async def test_a_subscriber_that_fails_to_receive_is_ended_and_the_others_receive(database: str) -> None:
    async with channel_node(database) as one:
        member = (await one.member("ann")).member
        faulty = Faulty(one, member)
        await one.listen("room", faulty, presence={})
        well = await one.listen("room", user="bob", presence={})
        await one.publish("room", 1)
        await one.publish("room", 2, event="break")
        await one.publish("room", 3)
        await well.until(lambda: well.data == [1, 2, 3] and well.of("presence:leave"))
        assert faulty.data == [1]
        assert faulty.of("error")[0]["code"] == "RT_001"
        await one.listen("room", faulty, since=faulty.positions[0])
        await faulty.until(lambda: len(faulty.of("error")) == 2)  # the message is still there, and so is the fault


async def test_a_connection_that_fails_to_receive_does_not_keep_a_broadcast_from_the_others(database: str) -> None:
    async with channel_node(database) as one:
        faulty = Faulty(one, (await one.member()).member)
        await one.channels.connect(faulty.member, faulty.deliver)
        well = await one.member()
        run(database, "select realtime.broadcast_all('break'), realtime.broadcast_all('sent', '1')")
        await well.until(lambda: len(well.messages) == 2)
        assert faulty.data == [1]


async def test_a_filter_that_fails_ends_its_subscription(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with channel_node(database) as one:
        filtered = await one.listen("room", where=[["x", ">", 1]])
        well = await one.listen("room")
        wants = Subscription.wants

        def broken(self: Subscription, event: Any) -> bool:
            if self is filtered.subscription:
                raise RecursionError("an unforeseen fault")
            return wants(self, event)

        monkeypatch.setattr(Subscription, "wants", broken)
        await one.publish("room", {"x": 2})
        await one.publish("room", {"x": 3})
        await well.until(lambda: len(well.data) == 2)
        assert [event["code"] for event in filtered.events] == ["RT_001"]
        again = await one.listen("room", where=[["x", ">", 1]])
        await one.publish("room", {"x": 4})
        await again.until(lambda: again.data == [{"x": 4}])


async def test_unreadable_rows_and_messages_are_counted_and_skipped(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("room")
        run(source.dsn, "alter table realtime.messages rename column sender to author")
        run(source.dsn, "insert into realtime.messages (channel, event, payload) values ('room', 'sent', '1')")
        run(source.dsn, "alter table realtime.messages rename column author to sender")
        run(source.dsn, "select pg_logical_emit_message(true, 'realtime.command', '{')")
        run(source.dsn, "insert into realtime.messages (channel, event, payload) values ('room', 'sent', '2')")
        await listener.until(lambda: 2 in listener.data)
        assert listener.data == [2]
        assert one.channels.status()["malformed"] == 2


async def test_a_presence_row_without_its_identity_does_not_stop_the_others(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        await one.listen("room", user="ann", presence={})
        bob = await one.listen("room", user="bob", presence={})
        run(source.dsn, "alter table realtime.presence replica identity default")
        run(source.dsn, "delete from realtime.presence where user_id = 'ann'")
        run(source.dsn, "alter table realtime.presence replica identity full")
        await one.listen("room", user="cid", presence={})
        await bob.until(lambda: bob.of("presence:join"))
        assert [event["user"]["id"] for event in bob.of("presence:join")] == ["cid"]


async def test_truncating_connections_disconnects_the_clients_of_every_node(source: Source) -> None:
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        ann = await one.listen("room", user="ann", presence={})
        bob = await two.listen("room", user="bob")
        run(source.dsn, "truncate realtime.connections cascade")
        for listener in (ann, bob):
            await listener.until(lambda: listener.of("error"))
            assert listener.of("error")[0]["code"] == "RT_001"
        cid = await one.listen("room", user="cid", presence={})
        assert cid.presence is not None
        assert [user["id"] for user in cid.presence["users"]] == ["cid"]
        await two.publish("room", 1)
        await cid.until(lambda: cid.data == [1])
        assert (ann.data, bob.data) == ([], [])
        assert read(source.dsn, "select user_id from realtime.connections") == [("cid",)]


async def test_emptying_the_table_of_preferences_is_noticed(source: Source) -> None:
    run(source.dsn, "insert into realtime.preferences (user_id, channel) values ('ann', 'room')")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ann, bob = await one.listen("room", user="ann"), await one.listen("room", user="bob")
        await one.publish("room", 1)
        await bob.until(lambda: bob.data == [1])
        run(source.dsn, "truncate realtime.preferences")
        await one.publish("room", 2)
        await ann.until(lambda: ann.data == [2])
        assert ann.data == [2]


async def test_a_room_with_another_name_is_another_room(source: Source) -> None:
    run(source.dsn, "insert into realtime.channel_defaults (pattern, dynamic) values ('room:*', false)")
    run(source.dsn, "select realtime.create_channel('room:a')")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        old = await one.listen("room:a", user="ann", presence={})
        run(source.dsn, "update realtime.channels set name = 'room:b', metadata = '{\"x\": 1}' where name = 'room:a'")
        await old.until(lambda: old.of("room:closed"))
        assert old.of("room:closed")[0]["room"]["name"] == "room:a"
        new = await one.listen("room:b")
        await one.publish("room:b", 1)
        await new.until(lambda: new.data == [1])
        with pytest.raises(Exception, match="there is no channel 'room:a'"):
            await one.publish("room:a", 1)


async def test_emptying_the_table_of_rooms_closes_them(source: Source) -> None:
    run(source.dsn, "select realtime.create_channel('a'), realtime.create_channel('b')")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("a")
        run(source.dsn, "truncate realtime.channels")
        await listener.until(lambda: listener.of("room:closed"))
        again = await one.listen("a")
        await one.publish("a", 1)
        await again.until(lambda: again.data == [1])


async def test_a_trigger_that_refuses_what_a_node_writes_holds_nothing_else_up(database: str) -> None:
    run(
        database,
        "create function refuse() returns trigger language plpgsql as $$begin raise exception 'not now'; end$$;"
        "create trigger refuse before update or delete on realtime.connections for each row execute function refuse()",
    )
    async with channel_node(database) as one:
        ann, bob = await one.listen("room", user="ann", presence={}), await one.listen("room", user="bob", presence={})
        await one.channels.disconnect(ann.member.connection_id)
        await one.publish("room", 1)
        await bob.until(lambda: bob.data == [1])
        run(
            database,
            "drop trigger refuse on realtime.connections; update realtime.channel_defaults set presence_timeout = '0'",
        )
        await bob.until(lambda: bob.of("presence:leave"))
