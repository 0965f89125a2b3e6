"""Who is present: users, not connections; through drops, timeouts, kicks and dying nodes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.channels.core.delivery.events import iso_time
from engine.channels.core.messages.model import ChannelFullError, PresenceRefusedError, UnavailableError
from engine.channels.db.store import Store
from engine.tasks import end
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber, channel_node
from tests.support.postgres.sql import GIVE_UP_AFTER, open_transaction, read, run, until

ROOM = "presence:lobby"


def names(listener: ChannelSubscriber) -> list[str]:
    assert listener.presence is not None
    return sorted(user["id"] for user in listener.presence["users"])


async def test_a_subscriber_sees_itself_and_the_others_and_then_every_change(source: Source) -> None:
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        ann = await one.listen(ROOM, user="ann", presence={"name": "Ann", "avatar": "a.png", "status": "online"})
        assert names(ann) == ["ann"]
        assert ann.presence is not None
        user = ann.presence["users"][0]
        assert (user["name"], user["metadata"]["avatar"], user["state"]) == ("Ann", "a.png", {"status": "online"})
        bob = await two.listen(ROOM, user="bob", presence={})
        assert names(bob) == ["ann", "bob"]
        await ann.until(lambda: ann.of("presence:join"))
        assert ann.of("presence:join")[0]["user"]["id"] == "bob"
        await two.channels.set_presence(ROOM, bob.member, {"status": "away"})
        await ann.until(lambda: ann.of("presence:update"))
        assert ann.of("presence:update")[0]["user"]["state"] == {"status": "away"}
        bob.cancel()
        await ann.until(lambda: ann.of("presence:leave"))
        assert ann.of("presence:leave")[0]["user"]["id"] == "bob"
        assert await_count(one, ROOM) == 1
        assert read(source.dsn, "select user_id from realtime.last_seen") == [("bob",)]


async def test_a_change_of_presence_has_been_seen_when_it_is_acknowledged(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ann = await one.listen(ROOM, user="ann", presence={})
        for number in range(20):
            await one.channels.set_presence(ROOM, ann.member, {"number": number})
            assert ann.of("presence:update")[-1]["user"]["state"] == {"number": number}


def await_count(there: object, channel: str) -> int:
    count: int = there.channels.presence(channel)["count"]  # type: ignore[attr-defined]
    return count


async def test_typing_set_when_joining_ends_too(database: str) -> None:
    run(database, "select realtime.create_channel('r', typing_timeout => '0.3 s')")
    async with channel_node(database) as one:
        ann = await one.listen("r", user="ann", presence={"typing": True})
        await ann.until(lambda: ann.of("presence:update"))
        assert ann.of("presence:update")[0]["user"]["state"] == {}


async def test_the_sum_of_presence_updates_is_limited(database: str) -> None:
    async with channel_node(database) as one:
        ann = await one.listen("r", user="ann", presence={})
        for number in range(2):
            await one.channels.set_presence("r", ann.member, {f"part{number}": "x" * 4000})
        with pytest.raises(PresenceRefusedError, match="8192 bytes"):
            await one.channels.set_presence("r", ann.member, {"part2": "x" * 4000})
        await one.channels.set_presence("r", ann.member, {"part1": "y" * 4000})
        assert read(database, "select array(select jsonb_object_keys(state)) from realtime.presence") == [
            (["part0", "part1"],)
        ]


async def test_last_seen_is_null_while_connected_and_then_when_the_connection_broke(database: str) -> None:
    run(database, "select realtime.create_channel('r', presence_timeout => '0.3 s')")
    async with channel_node(database) as one:
        watcher = await one.listen("r", user="w", presence={})
        ann = await one.listen("r", user="ann", presence={})
        assert ann.presence is not None
        assert [user["lastSeen"] for user in ann.presence["users"]] == [None, None]
        await one.channels.disconnect(ann.member.connection_id)
        await watcher.until(lambda: watcher.of("presence:leave"))
        shown = watcher.of("presence:leave")[0]["user"]["lastSeen"]
        [(kept,)] = read(database, "select at::text from realtime.last_seen where user_id = 'ann'")
        assert shown == iso_time(kept)


async def test_several_connections_are_one_user(database: str) -> None:
    async with channel_node(database) as one:
        watcher = await one.listen(ROOM, user="w", presence={})
        first = await one.listen(ROOM, user="ann", presence={})
        second = await one.listen(ROOM, user="ann", presence={})
        assert names(second) == ["ann", "w"]
        first.cancel()
        await one.listen(ROOM, user="bob", presence={})
        second.cancel()
        await watcher.until(lambda: watcher.of("presence:leave"))
        kinds = [(event["type"], event["user"]["id"]) for event in watcher.events if event["user"]["id"] != "w"]
        assert kinds == [("presence:join", "ann"), ("presence:join", "bob"), ("presence:leave", "ann")]


async def test_of_several_connections_the_one_that_was_changed_last_speaks_wherever_one_asks(database: str) -> None:
    async with channel_node(database) as one:
        watcher = await one.listen(ROOM, user="w", presence={})
        first = await one.listen(ROOM, user="ann", presence={"from": "first"})
        await one.listen(ROOM, user="ann", presence={"from": "second"})
        await one.channels.set_presence(ROOM, first.member, {"from": "first again"})
        await watcher.until(lambda: len(watcher.of("presence:update")) == 2)
        assert watcher.of("presence:update")[-1]["user"]["state"] == {"from": "first again"}
        shown = read(database, "select state from realtime.presence_now where user_id = 'ann'")
        assert shown == [({"from": "first again"},)]
        async with channel_node(database) as two:
            later = await two.listen(ROOM, presence={})
            assert later.presence is not None
            assert {"from": "first again"} in [user["state"] for user in later.presence["users"]]


async def test_a_dropped_connection_may_come_back_within_the_timeout_without_leave_and_join(database: str) -> None:
    run(database, "select realtime.create_channel('r', presence_timeout => '1 hour')")
    async with channel_node(database) as one:
        watcher = await one.listen("r", user="w", presence={})
        first = await one.listen("r", user="ann", presence={})
        await one.channels.disconnect(first.member.connection_id)
        second = await one.listen("r", user="ann", presence={})
        await one.listen("r", user="bob", presence={})
        run(database, """select realtime.update_channel('r', '{"presence_timeout": "0.3 s"}')""")
        await until(lambda: read(database, "select count(*) from realtime.connections") == [(3,)])
        assert not watcher.of("presence:leave")
        await one.channels.disconnect(second.member.connection_id)
        await watcher.until(lambda: watcher.of("presence:leave"))
        assert [event["user"]["id"] for event in watcher.of("presence:leave")] == ["ann"]
        assert [event["user"]["id"] for event in watcher.of("presence:join")] == ["ann", "bob"]


async def test_a_change_that_comes_after_the_connection_broke_does_not_bring_it_back(database: str) -> None:
    run(database, "select realtime.create_channel('r', presence_timeout => '0.5 s')")
    async with channel_node(database) as one:
        watcher = await one.listen("r", user="w", presence={})
        ann = await one.listen("r", user="ann", presence={})
        await one.channels.disconnect(ann.member.connection_id)
        with pytest.raises(PresenceRefusedError):  # what it sent last was under way
            await one.channels.set_presence("r", ann.member, {"status": "away"})
        await watcher.until(lambda: watcher.of("presence:leave"))
        await until(lambda: read(database, "select user_id from realtime.presence_now") == [("w",)])


async def test_typing_ends_by_itself(database: str) -> None:
    run(database, "select realtime.create_channel('r', typing_timeout => '0.3 s')")
    async with channel_node(database) as one, channel_node(database) as two:
        watcher = await two.listen("r", user="w", presence={})
        ann = await one.listen("r", user="ann", presence={})
        await one.channels.set_presence("r", ann.member, {"status": "typing"})
        await watcher.until(lambda: len(watcher.of("presence:update")) == 2)
        assert [event["user"]["state"] for event in watcher.of("presence:update")] == [
            {"status": "typing"},
            {"status": "online"},
        ]


async def test_a_full_room_refuses_and_counts_users_exactly(database: str) -> None:
    run(database, "select realtime.create_channel('small', capacity => 3)")
    async with channel_node(database) as one, channel_node(database) as two:
        attempts = [(one, two)[number % 2].listen("small", user=f"u{number}") for number in range(10)]
        results = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(result, ChannelSubscriber) for result in results) == 3
        assert sum(isinstance(result, ChannelFullError) for result in results) == 7
        inside = next(result for result in results if isinstance(result, ChannelSubscriber))
        await one.listen("small", user=inside.member.user_id)
        for result in results:
            if isinstance(result, ChannelSubscriber):
                result.cancel()


async def test_presence_that_is_not_valid_is_refused(database: str) -> None:
    async with channel_node(database) as one:
        ann = await one.listen("r", user="ann")
        with pytest.raises(PresenceRefusedError):
            await one.channels.set_presence("r", ann.member, {"status": "here"})
        bob = await one.listen("r", user="bob", presence={})
        for bad in ({"metadata": 1}, {"name": "a\0b"}):
            with pytest.raises(PresenceRefusedError):
                await one.channels.set_presence("r", bob.member, bad)


async def test_a_kick_ends_the_subscription_and_a_deleted_row_the_connection(source: Source) -> None:
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        watcher = await two.listen("r", user="w", presence={})
        ann = await one.listen("r", user="ann", presence={})
        run(source.dsn, "select realtime.kick('r', 'ann', 'enough')")
        await ann.until(lambda: ann.of("error"))
        assert ann.of("error")[0]["code"] == "RT_003"
        assert "enough" in ann.of("error")[0]["message"]
        await watcher.until(lambda: watcher.of("presence:leave"))
        run(source.dsn, "delete from realtime.connections where user_id = 'ann'")
        await ann.until(lambda: len(ann.of("error")) == 2)
        assert ann.of("error")[1]["code"] == "RT_001"


async def test_members_of_a_node_that_died_leave(database: str) -> None:
    async with channel_node(database, feed={"lease": 3.0}) as one:
        watcher = await one.listen(ROOM, user="w", presence={})
        run(
            database,
            "insert into realtime.nodes (id, lease_expires_at) values ('dead', now() + interval '1 s');"
            "insert into realtime.connections (id, node_id, transport) values ('c', 'dead', 'websocket');"
            f"insert into realtime.presence (channel, connection_id, user_id) values ('{ROOM}', 'c', 'ann')",
        )
        await watcher.until(lambda: watcher.of("presence:leave"))
        assert [event["user"]["id"] for event in watcher.events] == ["ann", "ann"]


async def test_members_of_a_stopped_node_leave_after_the_timeout(database: str) -> None:
    run(database, "select realtime.create_channel('r', presence_timeout => '0.2 s')")
    async with channel_node(database) as one:
        watcher = await one.listen("r", user="w", presence={})
        async with channel_node(database, feed={"ephemeral": False}) as two:
            ann = await two.listen("r", user="ann", presence={})
            bob = await two.listen("r", user="bob", presence={})
            await two.channels.disconnect(ann.member.connection_id)
            await two.channels.disconnect(bob.member.connection_id)
        await watcher.until(lambda: len(watcher.of("presence:leave")) == 2)
        await until(lambda: read(database, "select user_id from realtime.presence") == [("w",)])
        await until(lambda: read(database, "select count(*) from realtime.connections") == [(1,)])


async def ended_while_joining(node: ChannelNode, dsn: str) -> None:
    """A member of ``ROOM`` has joined another channel, which waited for a lock, as its connection ended."""
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    ann = await node.listen(ROOM, user="ann", presence={})
    with open_transaction(dsn) as slow:
        slow.execute("select from realtime.connections for update")  # a foreign key's check has to wait for that
        joining = asyncio.create_task(node.listen("other", ann, presence={}))
        await until(lambda: read(dsn, waiting))
        async with asyncio.timeout(GIVE_UP_AFTER):
            await end([joining])
        going = asyncio.create_task(node.channels.disconnect(ann.member.connection_id))
        await until(lambda: len(read(dsn, waiting)) > 1)
    await going


async def test_a_connection_that_ends_while_joining_leaves_no_presence_behind(database: str) -> None:
    run(database, "update realtime.channel_defaults set presence_timeout = '0.1 s'")
    async with channel_node(database) as one:
        await ended_while_joining(one, database)
        await until(lambda: read(database, "select count(*) from realtime.connections") == [(0,)])
        assert read(database, "select count(*) from realtime.presence") == [(0,)]


async def test_a_row_of_presence_that_goes_after_all_others_takes_that_of_its_connection_along(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was under way as the connection ended, and its deletion has to wait."""
    looks: list[str] = []
    rows, leave = Store.rows, Store.leave

    async def noted(self: Store, name: str, **parameters: object) -> list[dict[str, Any]]:
        if name == "engine_sweep_connections":
            looks.append(name)
        return await rows(self, name, **parameters)

    async def late(self: Store, channel: str, connection_id: str) -> None:
        await until(lambda: read(database, "select channel from realtime.presence") == [("other",)])
        enough = len(looks) + 3
        await until(lambda: len(looks) >= enough)
        await leave(self, channel, connection_id)

    monkeypatch.setattr(Store, "rows", noted)
    monkeypatch.setattr(Store, "leave", late)
    run(database, "update realtime.channel_defaults set presence_timeout = '0.1 s'")
    async with channel_node(database) as one:
        await ended_while_joining(one, database)
        await until(lambda: read(database, "select count(*) from realtime.connections") == [(0,)])
        assert read(database, "select count(*) from realtime.presence") == [(0,)]


@pytest.mark.parametrize("state", ["53100", "08001", "57014"])
async def test_presence_that_a_trigger_refuses_is_refused_once_and_in_its_words(database: str, state: str) -> None:
    run(database, "create sequence tries")
    run(
        database,
        "create function no_presence() returns trigger language plpgsql as $$ begin perform nextval('public.tries'); "
        f"raise exception 'no more seats' using errcode = '{state}'; end $$;"
        "create trigger no_presence before insert on realtime.presence for each row execute function no_presence()",
    )
    async with channel_node(database) as one:
        with pytest.raises(UnavailableError, match="no more seats"):
            await one.listen("chat:1", user="ann", presence={})
        assert read(database, "select last_value from tries") == [(1,)]
        await one.listen("chat:1", user="ann")
