"""A room that is closed: subscribers receive that once, and nothing that commits after it."""

from __future__ import annotations

import asyncio

import pytest

from engine.channels.core.messages.model import ChannelClosedError
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelSubscriber, channel_node
from tests.support.postgres.sql import open_transaction, read, run, until


def kinds(listener: ChannelSubscriber) -> list[str]:
    return [event["type"] for event in listener.events]


async def test_closing_a_room_is_the_last_event_of_its_subscribers(source: Source) -> None:
    run(source.dsn, "select realtime.create_channel('room', capacity => 5)")
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        ann = await one.listen("room", user="ann", presence={})
        bob = await two.listen("room", user="bob", presence={})
        other = await one.listen("elsewhere", ann)
        await ann.until(lambda: ann.of("presence:join"))
        run(
            source.dsn,
            "begin; select realtime.broadcast('room', 'sent', '\"last\"');"
            "select realtime.close_channel('room'); commit",
        )
        for listener in (ann, bob):
            await listener.until(lambda: listener.of("room:closed"))
        run(source.dsn, "insert into realtime.messages (channel, event) values ('room', 'sent')")
        run(source.dsn, "select realtime.create_channel('room')")
        run(
            source.dsn,
            "select realtime.broadcast('room', 'sent', '\"anew\"'), realtime.broadcast('elsewhere', 'sent', '1')",
        )
        await other.until(lambda: 1 in other.data)
        await two.caught_up()
        assert kinds(bob) == ["message", "room:closed"]
        assert kinds(ann) == ["presence:join", "message", "room:closed", "message"]
        assert ann.data == ["last", 1]
        assert read(source.dsn, "select count(*) from realtime.presence") == [(0,)]
        assert read(source.dsn, "select count(*) from realtime.last_seen where channel = 'room'") == [(2,)]
        again = await one.listen("room", history=10)
        assert again.data == ["last", "anew"]


async def test_messages_committed_after_the_close_are_neither_delivered_nor_kept(source: Source) -> None:
    run(source.dsn, "select realtime.create_channel('room')")
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        listeners = [await one.listen("room"), await two.listen("room")]
        with open_transaction(source.dsn) as slow, open_transaction(source.dsn) as quick:
            slow.execute("select realtime.broadcast('room', 'sent', '\"late\"', id => 'mine')")
            quick.execute("select realtime.broadcast('room', 'sent', '\"in time\"')")
            quick.commit()
            run(source.dsn, "select realtime.close_channel('room')")
            slow.commit()
        for listener in listeners:
            await listener.until(lambda: listener.of("room:closed"))
            await listener.node.caught_up()
            assert kinds(listener) == ["message", "room:closed"]
            assert listener.data == ["in time"]
        await until(lambda: read(source.dsn, "select count(*) from realtime.messages") == [(1,)])
        assert read(source.dsn, "select count(*) from realtime.message_ids") == [(0,)]
        run(source.dsn, "select realtime.create_channel('room')")
        assert (await two.listen("room", history=10)).data == ["in time"]
        ack = await one.publish("room", "again", id="mine")
        assert (await two.listen("room", since=listeners[0].positions[0])).positions == [ack.position]


async def test_a_publish_that_races_a_close_is_delivered_exactly_if_it_was_acknowledged(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        for turn in range(10):
            room = f"room:{turn}"
            run(source.dsn, "select realtime.create_channel(%s)", room)
            listener = await one.listen(room)
            publishing = [asyncio.create_task(one.publish(room, number)) for number in range(20)]
            await asyncio.sleep(0)
            await asyncio.to_thread(run, source.dsn, "select realtime.close_channel(%s)", room)
            publishing += [asyncio.create_task(one.publish(room, number)) for number in range(20, 30)]
            outcomes = await asyncio.gather(*publishing, return_exceptions=True)
            await listener.until(lambda: listener.of("room:closed"))
            assert all(not isinstance(o, BaseException) or isinstance(o, ChannelClosedError) for o in outcomes)
            assert listener.data == [n for n, o in enumerate(outcomes) if not isinstance(o, BaseException)]
        await until(lambda: not one.channels.core.unrecorded.pending)
        stored = read(source.dsn, "select count(*) from realtime.messages")
        assert stored == [(one.channels.core.messages,)]


async def test_a_channel_without_history_refuses_by_the_same_order(database: str) -> None:
    run(database, "select realtime.create_channel('room', history => false)")
    async with channel_node(database) as one:
        listener = await one.listen("room")
        with open_transaction(database) as slow:
            slow.execute("select realtime.broadcast('room', 'sent', '1')")
            run(database, "select realtime.close_channel('room')")
            slow.commit()
        await one.caught_up()
        assert kinds(listener) == ["room:closed"]
        with pytest.raises(ChannelClosedError):
            await one.publish("room", 2)


async def test_a_room_that_is_deleted_ends_its_subscriptions_too(database: str) -> None:
    run(database, "select realtime.create_channel('room')")
    async with channel_node(database) as one:
        listener = await one.listen("room", user="ann", presence={})
        run(database, "delete from realtime.channels")
        await listener.until(lambda: listener.of("room:closed"))
        await until(lambda: read(database, "select count(*) from realtime.presence") == [(0,)])
        await one.publish("room", 1)
        assert kinds(listener) == ["room:closed"]


async def test_a_member_that_leaves_and_returns_at_once_is_present(database: str) -> None:
    async with channel_node(database) as one:
        watcher = await one.listen("room", user="watcher", presence={})
        ann = await one.member("ann")
        for _ in range(20):
            await one.listen("room", ann, presence={})
            ann.cancel()
        await one.listen("room", ann, presence={})
        assert read(database, "select count(*) from realtime.presence where user_id = 'ann'") == [(1,)]
        await one.caught_up()
        assert watcher.node.channels.presence("room")["count"] == 2
