"""Connections that break, stall, are blocked or asked to move: what the application notices, and what it does not."""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bunbase import Channel, Realtime, RealtimeError, Snapshot

from tests.faultproxy.proxy import FaultProxy
from tests.integration.sdk_python.conftest import MakeClient
from tests.support.clients.list_client import slot_name, write
from tests.support.nodes.live_node import drop_slot
from tests.support.ports import free_port
from tests.support.postgres.sql import read, run, until
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving

QUICK: dict[str, Any] = {"reconnect_delay": 0.05, "heartbeat_interval": 0.5, "heartbeat_timeout": 3.0}


@asynccontextmanager
async def behind(server: ServerProcess) -> AsyncIterator[FaultProxy]:
    """A proxy before the server, and a limit to how long any wait may take."""
    async with asyncio.timeout(2 * GIVE_UP_AFTER), FaultProxy("127.0.0.1", server.port) as proxy:
        yield proxy


def happened(realtime: Realtime | Channel, event: str) -> Callable[[], Any]:
    """Waits for the event to happen once more."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    realtime.on(event, lambda *arguments: queue.put_nowait(arguments[0] if arguments else None))
    return queue.get


async def interrupted(realtime: Realtime, proxy: FaultProxy) -> None:
    """Break the connection, and wait until there is another one."""
    connected = happened(realtime, "connected")
    if realtime.transport == "polling":  # a poll that is cut is simply repeated
        proxy.half_open()
    else:
        proxy.cut()
    await connected()


async def talk(channel: Channel, over: asyncio.Event) -> int:
    """Send numbers without a pause for answers until it has ended; returns how many."""
    acks: list[asyncio.Task[Any]] = []
    while not over.is_set():
        acks.append(asyncio.create_task(channel.send("sent", len(acks))))
        await asyncio.sleep(0.01)
    await asyncio.gather(*acks)
    return len(acks)


async def test_a_page_of_the_history_that_is_asked_for_during_an_outage_comes_after_it(
    client: MakeClient, server: ServerProcess, table: str
) -> None:
    async with behind(server) as proxy, client("ada", url=proxy.url, **QUICK) as ada:
        channel = await ada.channel("older:1").subscribe()
        await channel.send("sent", 1)
        disconnected = happened(ada, "disconnected")
        proxy.refuse = True
        proxy.cut()
        await disconnected()
        asking = asyncio.create_task(channel.history(limit=1))
        await asyncio.sleep(0)
        proxy.refuse = False
        assert [message.data for message in (await asking).messages] == [1]


async def test_messages_sent_during_an_outage_arrive_after_it(
    client: MakeClient, server: ServerProcess, table: str
) -> None:
    async with behind(server) as proxy, client("ada", url=proxy.url, **QUICK) as ada:
        channel = await ada.channel("gone:1").subscribe()
        messages, disconnected, connected = (
            channel.messages(),
            happened(ada, "disconnected"),
            happened(ada, "connected"),
        )
        await channel.send("sent", 0)
        proxy.refuse = True
        proxy.cut()
        await disconnected()
        sends = [asyncio.create_task(channel.send("sent", n)) for n in (2, 3)]
        write(table, "select realtime.broadcast('gone:1', 'sent', '1')")
        proxy.refuse = False
        await connected()
        await asyncio.gather(*sends)
        assert [(await anext(messages)).data for _ in range(4)] == [0, 1, 2, 3]


async def test_a_connection_on_which_nothing_moves_is_noticed_within_the_configured_time(
    client: MakeClient, server: ServerProcess
) -> None:
    async with behind(server) as proxy, client("ada", url=proxy.url, **QUICK) as ada:
        channel = await ada.channel("half:1").subscribe()
        messages, disconnected = channel.messages(), happened(ada, "disconnected")
        proxy.half_open()
        reason: RealtimeError = await disconnected()
        assert reason.code == "RT_001"
        await channel.send("sent", "again")
        assert (await anext(messages)).data == "again"


async def test_a_list_does_not_flicker_when_the_connection_breaks(
    client: MakeClient, server: ServerProcess, table: str, request: pytest.FixtureRequest
) -> None:
    room = request.node.name
    ids = [abs(hash((room, n))) % 10**9 for n in range(4)]
    write(table, f"insert into messages (id, room, likes) values ({ids[0]}, '{room}', 1), ({ids[1]}, '{room}', 2)")
    async with behind(server) as proxy, client("ada", url=proxy.url, **QUICK) as ada:
        seen: asyncio.Queue[Snapshot] = asyncio.Queue()
        query = ada.database().collection("messages").where("room", "==", room).order_by("likes")
        query.on_snapshot(seen.put_nowait)
        assert len((await seen.get()).docs) == 2
        await interrupted(ada, proxy)
        write(table, f"insert into messages (id, room, likes) values ({ids[2]}, '{room}', 3)")
        after = await seen.get()
        assert [(change.type, change.doc.id) for change in after.changes] == [("added", str(ids[2]))]
        proxy.refuse = True
        proxy.cut()
        write(table, f"update messages set likes = 4 where id = {ids[0]}")
        write(table, f"delete from messages where id = {ids[1]}")
        proxy.refuse = False
        last = await seen.get()
        while len(last.docs) == 3:
            last = await seen.get()
        assert [doc.id for doc in last.docs] == [str(ids[2]), str(ids[0])]
        assert "added" not in {change.type for change in last.changes}


@pytest.mark.parametrize("transport", ["websocket", "sse"], indirect=True)
async def test_a_history_that_had_not_arrived_when_the_connection_broke_arrives_with_all_that_came_later(
    client: MakeClient, server: ServerProcess, channel_name: str
) -> None:
    options = {"reconnect_delay": 0.05, "max_reconnect_delay": 0.2, "max_reconnect_attempts": math.inf}
    async with behind(server) as proxy, client("bob") as bob, client("ada", url=proxy.url, **options) as ada:
        theirs = bob.channel(channel_name)
        for n in range(4):
            await theirs.send("sent", n)
        channel, gaps = ada.channel(channel_name, history=2), list[object]()
        channel.on("gap", gaps.append)
        messages, subscribed = channel.messages(), happened(channel, "subscribed")
        proxy.cut_before = b'"type":"message"'
        await channel.subscribe()
        for n in range(4, 8):
            await theirs.send("sent", n)
        for _ in range(2):
            await subscribed()
        proxy.cut_before = None
        assert [(await anext(messages)).data for _ in range(6)] == [2, 3, 4, 5, 6, 7]
        assert not gaps


async def test_presence_survives_a_short_break_and_is_sent_again(client: MakeClient, server: ServerProcess) -> None:
    async with behind(server) as proxy, client("ada", url=proxy.url, **QUICK) as ada, client("bob") as bob:
        mine = await ada.channel("break:1", presence={"name": "Ada"}).subscribe()
        await mine.update_presence(status="busy")
        events: list[str] = []
        theirs = bob.channel("break:1", presence=True)
        for kind in ("join", "update", "leave"):
            theirs.on(f"presence:{kind}", lambda user, kind=kind: events.append(f"{kind} {user.id}"))
        await theirs.subscribe()
        await interrupted(ada, proxy)
        barrier = theirs.messages()
        await mine.send("sent", "back")
        await anext(barrier)
        [user] = [user for user in theirs.presence.users if user.id == "ada"]
        assert (user.name, user.state["status"]) == ("Ada", "busy")
        assert [event for event in events if not event.endswith("bob")] == []


async def test_too_many_failures_end_in_failed_and_connect_begins_again(
    client: MakeClient, server: ServerProcess
) -> None:
    async with behind(server) as proxy:
        ada = client("ada", url=proxy.url, max_reconnect_attempts=2, **QUICK)
        proxy.refuse = True
        with pytest.raises(RealtimeError) as refused:
            await ada.connect()
        assert (refused.value.code, ada.state) == ("RT_001", "failed")
        proxy.refuse = False
        await ada.connect()
        assert ada.state == "open"


async def test_the_offline_queue_is_limited(client: MakeClient, server: ServerProcess) -> None:
    async with behind(server) as proxy:
        proxy.refuse = True
        ada = client("ada", url=proxy.url, queue_limit=2, **QUICK)
        channel = ada.channel("queue:1")
        waiting = [asyncio.create_task(channel.send("sent", n)) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RealtimeError) as refused:
            await channel.send("sent", 2)
        assert refused.value.code == "RT_001"
        proxy.refuse = False
        await asyncio.gather(*waiting)


async def test_unsubscribing_without_a_connection_returns_at_once(client: MakeClient, server: ServerProcess) -> None:
    async with behind(server) as proxy:
        proxy.refuse = True
        ada = client("ada", url=proxy.url, max_reconnect_attempts=math.inf, **QUICK)
        channel = ada.channel("early:1")
        subscribing = [asyncio.create_task(channel.subscribe()) for _ in range(2)]
        await asyncio.sleep(0)  # now they wait
        await channel.unsubscribe()
        assert not any(each.done() for each in subscribing)
        await channel.unsubscribe()
        assert await asyncio.gather(*subscribing) == [channel, channel]
        assert not channel.is_subscribed
        proxy.refuse = False
        await channel.subscribe()
        assert channel.is_subscribed


async def test_a_cancelled_send_that_was_not_written_is_forgotten(client: MakeClient, server: ServerProcess) -> None:
    async with behind(server) as proxy, client("bob") as bob:
        messages = (await bob.channel("cancel:1").subscribe()).messages()
        proxy.refuse = True
        ada = client("ada", url=proxy.url, **QUICK)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ada.channel("cancel:1").send("sent", "never")
        proxy.refuse = False
        await ada.channel("cancel:1").send("sent", "this")
        assert (await anext(messages)).data == "this"


@pytest.mark.parametrize("transport", ["websocket"], indirect=True)
async def test_blocked_transports_are_left_and_come_back_without_losing_or_doubling(
    client: MakeClient, server: ServerProcess
) -> None:
    transports = ("websocket", "sse", "polling")
    async with behind(server) as proxy, client("bob") as bob:
        proxy.blocked = (b"Upgrade: websocket", b"GET /realtime/sse")
        options = {**QUICK, "heartbeat_timeout": GIVE_UP_AFTER, "transports": transports, "upgrade_interval": 0.2}
        async with client("ada", url=proxy.url, **options) as ada:
            lost: list[object] = []
            gaps: list[object] = []
            move_reported = happened(ada, "transport")
            ada.on("disconnected", lost.append)
            assert ada.transport == "polling"
            mine = await ada.channel("blocked:1", presence=True).subscribe()
            mine.on("gap", gaps.append)
            theirs = await bob.channel("blocked:1", presence=True).subscribe()
            left: list[object] = []
            theirs.on("presence:leave", left.append)
            messages, over = mine.messages(buffer=100_000), asyncio.Event()
            mine_sent, their_sent = (asyncio.create_task(talk(channel, over)) for channel in (mine, theirs))
            for name, blocked in (("sse", (b"Upgrade: websocket",)), ("websocket", ())):
                proxy.blocked = blocked
                while ada.transport != name:
                    await move_reported()
            over.set()
            expected = {"ada": await mine_sent, "bob": await their_sent}
            got: dict[str, list[int]] = {"ada": [], "bob": []}
            for _ in range(sum(expected.values())):
                message = await anext(messages)
                got[str(message.sender)].append(message.data)
            assert got == {name: list(range(count)) for name, count in expected.items()}
            assert not lost
            assert not gaps
            assert not left


@pytest.mark.parametrize("transport", ["websocket", "sse"], indirect=True)
async def test_a_client_moves_from_a_draining_server_without_loss(
    client: MakeClient, table: str, server: ServerProcess
) -> None:
    async with (
        asyncio.timeout(2 * GIVE_UP_AFTER),
        serving(
            table, free_port(), slot_name=slot_name(), trust_user_parameter="true", drain_time=str(GIVE_UP_AFTER)
        ) as old,
        FaultProxy("127.0.0.1", old.port) as proxy,
        client("ada", url=proxy.url, **{**QUICK, "heartbeat_interval": GIVE_UP_AFTER}) as ada,
    ):
        lost: list[object] = []
        ada.on("disconnected", lost.append)
        channel = await ada.channel("drain:1", presence=True).subscribe()
        messages, over = channel.messages(buffer=100_000), asyncio.Event()
        sent = asyncio.create_task(talk(channel, over))
        await anext(messages)
        before, move_reported = ada.connection_id, happened(ada, "transport")
        proxy.target = "127.0.0.1", server.port
        old.process.send_signal(signal.SIGTERM)
        await move_reported()
        assert ada.connection_id != before
        over.set()
        count = await sent
        assert [(await anext(messages)).data for _ in range(count - 1)] == list(range(1, count))
        assert not lost


@pytest.mark.parametrize("transport", ["websocket", "polling"], indirect=True)
async def test_a_killed_server_that_comes_back_is_found_and_everything_goes_on(client: MakeClient, table: str) -> None:
    port, slot = free_port(), slot_name()
    async with asyncio.timeout(3 * GIVE_UP_AFTER):
        async with serving(table, port, slot_name=slot, trust_user_parameter="true") as first:
            ada = client("ada", url=first.url, max_reconnect_attempts=1000, max_reconnect_delay=0.2, **QUICK)
            channel = await ada.channel("killed:1", presence={"name": "Ada"}).subscribe()
            messages = channel.messages()
            await channel.send("sent", 0)
            disconnected = happened(ada, "disconnected")
            await first.end(signal.SIGKILL)
            await disconnected()
        sending = asyncio.create_task(channel.send("sent", 2))
        write(table, "select realtime.broadcast('killed:1', 'sent', '1')")
        async with serving(table, port, slot_name=slot, trust_user_parameter="true"):
            await sending
            assert [(await anext(messages)).data for _ in range(3)] == [0, 1, 2]
            assert [user.id for user in channel.presence.users] == ["ada"]


async def test_a_channel_goes_on_without_a_gap_in_another_history_that_has_its_position(database: str) -> None:
    slot = slot_name()
    async with (
        asyncio.timeout(3 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot, trust_user_parameter="true") as server,
        Realtime(server.url, parameters={"user": "ada"}, **QUICK) as ada,
    ):
        channel, gaps = ada.channel("chat:1"), list[object]()
        channel.on("gap", gaps.append)
        messages, subscribed = channel.messages(), happened(channel, "subscribed")
        await channel.subscribe()
        await subscribed()
        await channel.send("sent", 1)
        assert (await anext(messages)).data == 1
        await until(lambda: read(database, "select from realtime.commits"))
        epoch = read(database, "select realtime.epoch()")
        run(database, "update realtime.settings set timeline = '000000FF'")  # as of a standby that was promoted
        drop_slot(database, slot)
        await subscribed()
        await channel.send("sent", 2)
        assert (await anext(messages)).data == 2
        assert read(database, "select realtime.epoch()") != epoch
        assert gaps == []
