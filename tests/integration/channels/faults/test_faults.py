"""Lost connections, lost slots: each message once, in order, and presence as it is."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest

from engine.channels.core.messages.model import Position, parse_position
from engine.channels.history.reader import HistoryPage, HistoryReader
from engine.lsn import parse_lsn
from engine.postgres.snapshot_reader import Reader
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber, channel_node
from tests.support.nodes.live_node import drop_slot, terminate
from tests.support.postgres.sql import GIVE_UP_AFTER, open_transaction, read, run, until

MESSAGE = "select realtime.send('public:a', 'sent', '1', null, '{}', null, 0, connection_id => 'of another node')"
"""One of a client that is no user, as those of the tests are: their ids are the same."""


async def keep_publishing(one: ChannelNode, count: int, ids: bool) -> None:
    """``count`` messages, some at a time."""
    for start in range(0, count, 10):
        await asyncio.gather(
            *(
                one.publish("public:a", number, id=uuid.uuid4().hex if ids else None)
                for number in range(start, start + 10)
            )
        )


async def once_each(listener: ChannelSubscriber, count: int) -> None:
    await listener.until(lambda: len(listener.messages) >= count)
    await listener.node.caught_up()
    assert sorted(listener.data) == list(range(count))


async def test_a_publisher_that_loses_its_connection_publishes_each_message_once(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("public:a")
        publishing = asyncio.create_task(keep_publishing(one, 400, ids=False))
        for received in (50, 150, 250):
            await listener.until(lambda: len(listener.messages) > received)
            assert terminate(source.dsn, "realtime publisher%") == 1
        await publishing
        await once_each(listener, 400)


async def test_all_connections_are_lost_and_nothing_else_is(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        listener = await one.listen("public:a", user="w", presence={})
        publishing = asyncio.create_task(keep_publishing(one, 300, ids=True))
        for received in (50, 150):
            await listener.until(lambda: len(listener.messages) > received)
            terminate(source.dsn, "realtime%")
        await publishing
        await once_each(listener, 300)
        assert (await one.listen("public:a", history=1000)).messages == listener.messages


async def test_a_lost_slot_costs_no_message_and_no_order(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        live = await one.listen("public:a", user="w", presence={})
        late = await one.listen("public:a")
        for number in range(3):
            await one.publish("public:a", number)
        await live.until(lambda: len(live.messages) == 3)
        drop_slot(source.dsn, one.feed.settings.slot_name)
        for number in range(3, 8):
            run(source.dsn, "select realtime.broadcast('public:a', 'sent', to_jsonb(%s::int))", number)
        run(
            source.dsn,
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
        assert read(source.dsn, "select count(distinct user_id) from realtime.presence") == [(2,)]


async def test_another_node_that_kept_its_slot_knows_the_true_positions(database: str) -> None:
    async with channel_node(database) as one, channel_node(database) as two:
        lives = [await one.listen("public:a"), await two.listen("public:a")]
        await one.publish("public:a", 0)
        drop_slot(database, one.feed.settings.slot_name)
        for number in range(1, 6):
            run(database, "select realtime.broadcast('public:a', 'sent', to_jsonb(%s::int))", number)
        for live in lives:
            await live.until(lambda: len(live.messages) == 6)
        assert lives[0].messages == lives[1].messages


async def test_messages_and_presence_are_reconciled_after_a_discontinuity(source: Source) -> None:
    run(source.dsn, "select realtime.create_channel('r', presence_timeout => '0.2 s')")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ann, bob, cat, dora = [await one.listen("r", user=name, presence={}) for name in ("ann", "bob", "cat", "dora")]
        with open_transaction(source.dsn) as slow:
            slow.execute("select pg_current_xact_id()")  # no new slot before this has ended
            drop_slot(source.dsn, one.feed.settings.slot_name)
            run(source.dsn, "delete from realtime.connections where user_id = 'ann'")
            run(source.dsn, "select realtime.kick('r', 'bob')")
            run(source.dsn, "insert into realtime.preferences (user_id, event) values ('dora', 'sent')")
            await one.channels.disconnect(cat.member.connection_id)
            joining = asyncio.create_task(one.listen("r", presence={}))
            new = "select 1 from realtime.presence where user_id = connection_id"
            await until(lambda: read(source.dsn, new))
        user = await joining
        await ann.until(lambda: [event["code"] for event in ann.of("error")] == ["RT_001"])
        await bob.until(lambda: [event["code"] for event in bob.of("error")] == ["RT_003"])
        await user.until(lambda: [event["user"]["id"] for event in user.of("presence:leave")] == ["cat"])
        await one.publish("r", 1)
        await one.publish("r", 2, event="other")
        await dora.until(lambda: dora.messages)
        assert dora.data == [2]


async def test_of_a_publisher_and_a_transaction_that_block_each_other_the_publisher_gives_way(database: str) -> None:
    async with channel_node(database) as one:
        listener = await one.listen("public:a")
        with open_transaction(database) as business:
            business.execute(MESSAGE.format("b"))
            publishing = asyncio.gather(*(one.publish("public:a", 2, id=name) for name in ("a", "b")))
            await until(lambda: read(database, "select true from pg_locks where not granted"))
            await asyncio.to_thread(business.execute, MESSAGE.format("a"))
            business.commit()
        first, second = await publishing
        await listener.until(lambda: len(listener.messages) == 2)
        assert {first.position, second.position} == set(listener.positions)
        assert listener.data[1] == 1, "b was the transaction's; a was that of the first to commit"


async def test_an_open_transaction_with_an_id_delays_no_other_publisher(database: str) -> None:
    async with channel_node(database) as one:
        listener = await one.listen("public:a")
        with open_transaction(database) as business:
            business.execute(MESSAGE.format("a"))
            names = ("x", "a", "y")
            blocked = [asyncio.ensure_future(one.publish("public:a", name, id=name)) for name in names]
            first, last = await blocked[0], await blocked[2]
            assert (first.id, last.id) == ("x", "y")
            assert not blocked[1].done()
            business.commit()
        same = await blocked[1]
        await listener.until(lambda: len(listener.messages) == 3)
        assert listener.data == ["x", "y", 1]
        assert same.position == listener.positions[2]


async def test_a_restarted_node_serves_no_client_before_it_has_caught_up(source: Source) -> None:
    kept: dict[str, Any] = {"decoder": source.decoder, "slot": f"kept_{source.decoder}", "feed": {"ephemeral": False}}
    async with channel_node(source.dsn, **kept):
        pass
    async with channel_node(source.dsn, decoder=source.decoder) as other:
        run(
            source.dsn,
            "insert into realtime.messages (channel, event, payload) select 'public:a', 'sent', to_jsonb(n) "
            "from generate_series(1, 20000) n",
        )
        await other.caught_up()
        await until(lambda: not other.channels.core.unrecorded.pending)
        async with channel_node(source.dsn, **kept) as one:
            live = await one.listen("public:a")
            await one.publish("public:a", "new")
            await live.until(lambda: live.messages)
            assert live.data == ["new"]


async def test_a_node_that_was_down_takes_over_the_positions_that_others_wrote_meanwhile(source: Source) -> None:
    kept: dict[str, Any] = {"decoder": source.decoder, "slot": f"kept_{source.decoder}", "feed": {"ephemeral": False}}
    async with channel_node(source.dsn, **kept):
        pass
    [(earlier,)] = read(source.dsn, "select pg_current_wal_lsn()::text")
    run(source.dsn, "insert into realtime.messages (channel, event) values ('public:a', 'sent')")
    run(
        source.dsn,
        "insert into realtime.commits (channel, xid, position, first_at, last_at) "
        "select channel, xid, %s::pg_lsn, inserted_at, inserted_at from realtime.messages",
        earlier,
    )
    async with channel_node(source.dsn, **kept) as one:
        resumed = await one.listen("public:a", history=10)
        assert [parse_position(position).lsn for position in resumed.positions] == [parse_lsn(earlier)]
        assert (await one.listen("public:a", since=resumed.positions[0])).messages == []


async def test_delivered_commits_are_recorded_when_a_node_has_stopped(database: str) -> None:
    async with channel_node(database, record_interval=60.0) as one:
        listener = await one.listen("public:a")
        await one.publish("public:a", 1)
        await one.publish("public:a", 2)
        await listener.until(lambda: len(listener.messages) == 2)
    written = read(database, "select position::text from realtime.commits order by position")
    assert [parse_position(position).lsn for position in listener.positions] == [parse_lsn(text) for (text,) in written]


async def test_positions_are_not_made_up_while_another_node_with_clients_may_know_them(database: str) -> None:
    run(
        database,
        "select pg_create_logical_replication_slot('theirs', 'pgoutput');"
        "insert into realtime.nodes (id, lease_expires_at) values ('they', now() + interval '1 h');"
        "insert into realtime.slots (name, node) values ('theirs', 'they')",
    )
    async with channel_node(database) as one:
        asked = {"node": one.feed.settings.node, "position": "FFFF/0"}
        assert await one.channels.store.rows("engine_others_behind", **asked) == []
        run(database, "insert into realtime.connections (id, node_id, transport) values ('c', 'they', 'websocket')")
        assert await one.channels.store.rows("engine_others_behind", **asked) == [{"id": "they"}]
        run(database, "update realtime.connections set dropped_at = now()")
        assert await one.channels.store.rows("engine_others_behind", **asked) == []


async def test_a_change_that_committed_while_the_slot_was_lost_is_acknowledged(database: str) -> None:
    async with channel_node(database, timeout=2 * GIVE_UP_AFTER) as one:
        ann = await one.listen("room", user="ann", presence={})
        bob = await one.listen("room", user="bob", presence={})
        with open_transaction(database) as lock:
            lock.execute("select from realtime.nodes for no key update")  # no new slot before the end
            drop_slot(database, one.feed.settings.slot_name)
            changing = asyncio.create_task(one.channels.set_presence("room", ann.member, {"mood": "good"}))
            await until(lambda: read(database, "select from realtime.presence where state <> '{}'"))
        async with asyncio.timeout(GIVE_UP_AFTER):
            await changing
        assert bob.of("presence:update")[0]["user"]["state"] == {"mood": "good"}


async def test_after_a_gap_a_new_subscriber_is_served_no_earlier_than_the_others(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with channel_node(database) as one:
        ann, newcomer = await one.listen("public:a"), await one.member()
        await one.publish("public:a", 0)
        await ann.until(lambda: ann.messages)
        failed, since = asyncio.Event(), HistoryReader.since

        async def fail_once(replay: HistoryReader, channel: str, position: Position, most: int) -> HistoryPage:
            if not failed.is_set():
                failed.set()
                raise psycopg.OperationalError("the connection is lost")
            return await since(replay, channel, position, most)

        monkeypatch.setattr(HistoryReader, "since", fail_once)
        drop_slot(database, one.feed.settings.slot_name)
        run(database, "select realtime.broadcast('public:a', 'sent', '1')")
        async with asyncio.timeout(GIVE_UP_AFTER):
            await failed.wait()
        await one.listen("public:b", newcomer)
        assert ann.data == [0, 1]


async def test_the_past_is_read_although_every_connection_of_the_pool_has_died(database: str) -> None:
    reader = Reader(database, size=4)
    await reader.open()
    try:
        async with AsyncExitStack() as held:
            for _ in range(reader.connections):
                await held.enter_async_context(reader.connection())
        terminate(database, "realtime reader")
        async with asyncio.timeout(GIVE_UP_AFTER):
            assert (await HistoryReader(reader).since("public:a", Position(0), 1)).rows == []
    finally:
        await reader.close()
