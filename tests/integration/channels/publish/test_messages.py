"""Publishing, delivery and replay over a real server."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from engine.channels.core.messages.model import Member, MessageTooLargeError, UnknownChannelError
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelSubscriber, channel_node
from tests.support.postgres.sql import open_transaction, read, run


async def test_a_published_message_reaches_subscribers_and_is_acknowledged_with_its_position(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("public:a", user="ann")
        ack = await one.publish("public:a", {"text": "hi"}, member=listener.member, id="m1")
        await listener.until(lambda: listener.messages)
        message = listener.messages[0]
        assert message["data"] == {"text": "hi"}
        assert (message["id"], message["position"]) == (ack.id, ack.position)
        assert (message["sender"], message["channel"], message["event"]) == ("ann", "public:a", "sent")
        assert message["timestamp"].endswith("Z")


async def test_every_way_to_publish_gives_the_same_event(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("public:a")
        await one.publish("public:a", 1)
        run(source.dsn, "insert into realtime.messages (channel, event, payload) values ('public:a', 'sent', '2')")
        run(source.dsn, "select realtime.broadcast('public:a', 'sent', '3')")
        await listener.until(lambda: len(listener.messages) == 3)
        assert listener.data == [1, 2, 3]
        assert len({frozenset(message) for message in listener.messages}) == 1


async def test_a_rolled_back_message_is_never_seen(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("public:a")
        with open_transaction(source.dsn) as transaction:
            transaction.execute("select realtime.broadcast('public:a', 'sent', '1')")
            transaction.rollback()
        await one.publish("public:a", 2)
        await listener.until(lambda: listener.messages)
        assert listener.data == [2]


async def test_history_and_since_give_what_was_delivered_live(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        live = await one.listen("public:a")
        for number in range(10):
            await one.publish("public:a", number)
        await live.until(lambda: len(live.messages) == 10)
        last = await one.listen("public:a", history=3)
        assert last.messages == live.messages[-3:]
        again = await one.listen("public:a", since=live.positions[4])
        assert again.messages == live.messages[5:]
        assert again.subscription is not None
        assert again.subscription.recovered is True


async def test_a_message_that_is_not_recorded_yet_is_replayed_too(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder, record_interval=3600.0) as one:
        live = await one.listen("public:a")
        await one.publish("public:a", 1)  # recorded at once; what follows is not for an hour
        for number in range(2, 6):
            await one.publish("public:a", number)
        await live.until(lambda: len(live.messages) == 5)
        replayed = await one.listen("public:a", history=10)
        assert replayed.messages == live.messages


async def test_a_restarted_node_replays_and_the_slot_was_not_confirmed_too_far(source: Source) -> None:
    slot = "s_restart_" + source.decoder
    async with channel_node(
        source.dsn, decoder=source.decoder, slot=slot, feed={"ephemeral": False}, record_interval=3600.0
    ) as one:
        live = await one.listen("public:a")
        for number in range(5):
            await one.publish("public:a", number)
        await live.until(lambda: len(live.messages) == 5)
    run(source.dsn, "select realtime.broadcast('public:a', 'sent', '5')")
    async with channel_node(source.dsn, decoder=source.decoder, slot=slot, feed={"ephemeral": True}) as one:
        replayed = await one.listen("public:a", since=live.positions[0])
        await replayed.until(lambda: len(replayed.messages) == 5)
        assert replayed.messages[:4] == live.messages[1:]
        assert replayed.data == [1, 2, 3, 4, 5]


async def test_messages_published_while_no_node_ran_are_in_the_history(source: Source) -> None:
    for number in range(3):
        run(source.dsn, "select realtime.broadcast('public:a', 'sent', to_jsonb(%s::int))", number)
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        await one.publish("public:a", 3)
        listener = await one.listen("public:a", history=10)
        assert listener.data == [0, 1, 2, 3]


async def test_the_same_id_is_stored_once_and_acknowledged_with_the_first_position(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("public:a")
        first = await one.publish("public:a", 1, id="x")
        second = await one.publish("public:a", 2, id="x")
        third, fourth = await asyncio.gather(one.publish("public:a", 3, id="y"), one.publish("public:a", 4, id="y"))
        assert first == second
        assert third == fourth
        await listener.until(lambda: len(listener.messages) == 2)
        assert listener.data == [1, 3]


async def test_an_id_belongs_to_the_sender_that_gave_it(source: Source) -> None:
    ann, bob = Member("c1", "ann"), Member("c2", "bob")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("public:a")
        firsts = [await one.publish("public:a", name, id="x", member=Member("c", name)) for name in ("ann", "bob")]
        firsts += [await one.publish("public:a", "c3", id="x", member=Member("c3"))]
        run(source.dsn, "select realtime.broadcast('public:a', 'sent', '\"server\"', id => 'x')")
        run(source.dsn, "select realtime.broadcast('public:a', 'sent', '\"again\"', id => 'x')")
        # sent again over other connections: by users, and by a client without a user
        again = [await one.publish("public:a", "again", id="x", member=each) for each in (ann, bob, Member("c4"))]
        assert again == firsts
        assert len({ack.position for ack in firsts}) == 3
        together = await asyncio.gather(*(one.publish("public:a", 5, id="y", member=each) for each in (ann, bob)))
        assert together[0] != together[1]
        await listener.until(lambda: len(listener.messages) == 6)
        assert listener.data == ["ann", "bob", "c3", "server", 5, 5]
        later = await one.listen("public:a", history=10)
        await later.until(lambda: len(later.messages) == 6)
        assert later.data == listener.data
        resumed = await one.listen("public:a", since=listener.positions[0])
        await resumed.until(lambda: len(resumed.messages) == 5)
        assert [message["sender"] for message in resumed.messages] == ["bob", None, None, "ann", "bob"]
        await one.channels.recorded()
        rows = read(source.dsn, "select sender, id from realtime.history('public:a') where id = 'x'")
        assert rows == [("ann", "x"), ("bob", "x"), (None, "x"), (None, "x")]


def _ended(listener: ChannelSubscriber) -> bool:
    return "end" in listener.data


async def test_what_a_user_publishes_never_stands_in_for_a_message_of_a_server_in_its_name(source: Source) -> None:
    run(source.dsn, "select realtime.create_channel('cursor', history => false)")
    ann = Member("c1", "ann")
    wanted = [("ann", None), ("server", True)]
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        for channel in ("public:a", "cursor"):
            listener = await one.listen(channel)
            await one.publish(channel, "ann", id="order-17", member=ann)
            for data in ("server", "again"):  # the server does not know whether the first one arrived
                call = f"realtime.broadcast('{channel}', 'order', '\"{data}\"', sender => 'ann', id => 'order-17')"
                assert read(source.dsn, f"select {call}") == [("order-17",)]
            run(source.dsn, f"select realtime.broadcast('{channel}', 'order', '\"end\"')")
            await listener.until(partial(_ended, listener))
            sent = [(message["data"], message.get("server")) for message in listener.messages]
            assert sent == [*wanted, ("end", None)]
            assert {message["id"] for message in listener.messages[:2]} == {"order-17"}
        again = await one.publish("public:a", "again", id="order-17", member=Member("c2", "ann"))
        later = await one.listen("public:a", history=10)
        await later.until(lambda: len(later.messages) == 3)
        assert again.position == later.positions[0]
        resumed = await one.listen("public:a", since=later.positions[0])
        await resumed.until(lambda: len(resumed.messages) == 2)
        assert resumed.data == ["server", "end"]


async def test_channels_without_history_deliver_and_store_nothing(source: Source) -> None:
    run(source.dsn, "select realtime.create_channel('cursor', history => false)")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("cursor")
        ack = await one.publish("cursor", {"x": 1})
        run(source.dsn, "select realtime.broadcast('cursor', 'sent', '2')")
        await listener.until(lambda: len(listener.messages) == 2)
        assert listener.data == [{"x": 1}, 2]
        assert listener.positions[0] == ack.position
        assert read(source.dsn, "select count(*) from realtime.messages") == [(0,)]


async def test_a_forged_logical_message_is_not_believed(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("public:a")
        run(
            source.dsn,
            """select pg_logical_emit_message(true, 'realtime.message',
            '{"channel":"public:a","event":"sent","payload":1}')""",
        )
        await one.publish("public:a", 2)
        await listener.until(lambda: listener.messages)
        assert listener.data == [2]


async def test_a_refused_message_is_not_stored(database: str) -> None:
    run(database, "insert into realtime.channel_defaults (pattern, dynamic) values ('closed:*', false)")
    run(database, "update realtime.settings set max_payload = 2000")
    async with channel_node(database) as one:
        with pytest.raises(MessageTooLargeError):
            await one.publish("public:a", "x" * 2000)
        with pytest.raises(UnknownChannelError):
            await one.publish("closed:a", 1)
        with pytest.raises(UnknownChannelError):
            await one.listen("closed:a")
        run(database, "select realtime.create_channel('closed:a')")
        await one.publish("closed:a", 1)
        assert read(database, "select count(*) from realtime.messages") == [(1,)]


async def test_one_bad_message_does_not_harm_the_others_in_its_batch(database: str) -> None:
    async with channel_node(database) as one:
        listener = await one.listen("public:a")
        results = await asyncio.gather(
            *(one.publish("public:a", "a\0b" if number == 3 else number) for number in range(8)), return_exceptions=True
        )
        assert [isinstance(result, Exception) for result in results] == [number == 3 for number in range(8)]
        await listener.until(lambda: len(listener.messages) == 7)
        assert listener.data == [0, 1, 2, 4, 5, 6, 7]


async def test_two_nodes_show_the_same_in_the_same_order(database: str) -> None:
    async with channel_node(database) as one, channel_node(database) as two:
        listeners = [await one.listen("public:a"), await two.listen("public:a")]
        await asyncio.gather(*((one, two)[number % 2].publish("public:a", number) for number in range(100)))
        for listener in listeners:
            await listener.until(lambda: len(listener.messages) == 100)
        assert listeners[0].messages == listeners[1].messages
        replayed = await two.listen("public:a", since=listeners[0].positions[10])
        assert replayed.messages == listeners[0].messages[11:]


async def test_a_full_queue_makes_publishers_wait_and_loses_nothing(database: str) -> None:
    async with channel_node(database, queue=5, batch=3) as one:
        listener = await one.listen("public:a")
        acks = await asyncio.gather(*(one.publish("public:a", number) for number in range(60)))
        await listener.until(lambda: len(listener.messages) == 60)
        assert listener.data == list(range(60))
        assert [ack.position for ack in acks] == listener.positions
