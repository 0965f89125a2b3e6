"""Every transport offers the same: one scenario after the other over WebSocket (JSON and MessagePack), SSE and polling."""

from __future__ import annotations

import asyncio
import hashlib
import signal

import httpx
import pytest

from tests.support.clients.list_client import TOP, read, write
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.clients.users import rest_client, running_server
from tests.support.postgres.sql import until
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


async def test_a_client_is_greeted_with_its_limits(database: str, transport: str) -> None:
    async with running_server(database) as server, transport_client(server.url, transport) as ada:
        greeting = ada.connected
        assert greeting["connectionId"]
        assert greeting["pingInterval"] == 25_000
        assert greeting["limits"] == {
            "messagesPerSecond": 100,
            "messageSize": 131_072,
            "subscriptions": 100,
            "presencePerSecond": 10,
        }
        assert greeting["epoch"]
        assert ("session" in greeting) == (transport in ("sse", "poll"))
        await ada.send(type="ping")
        assert await ada.receive() == {"type": "pong"}


async def test_history_then_live_messages_in_one_order_and_acks(database: str, transport: str) -> None:
    write(database, "select realtime.broadcast('chat:1', 'sent', to_jsonb(n)) from generate_series(1, 5) n")
    async with running_server(database) as server, transport_client(server.url, transport, user="ada") as ada:
        joined = await ada.join(history=3)
        assert joined["epoch"] == ada.connected["epoch"]
        ack = await ada.ask(type="message", channel="chat:1", event="sent", data=6, ref="r", id="mine")
        assert (ack["type"], ack["ref"], ack["id"]) == ("ack", "r", "mine")
        received = [await ada.receive("message") for _ in range(4)]
        assert [message["data"] for message in received] == [3, 4, 5, 6]
        assert received[-1]["position"] == ack["position"]
        assert received[-1]["sender"] == "ada"


async def test_members_are_seen_to_come_change_and_go(database: str, transport: str) -> None:
    write(database, "select realtime.create_channel('chat:1', presence_timeout => '0 s')")
    async with running_server(database) as server, transport_client(server.url, transport, user="ada") as ada:
        joined = await ada.join(presence={"name": "Ada"})
        assert [user["id"] for user in joined["presence"]["users"]] == ["ada"]
        async with transport_client(server.url, transport, user="bob") as bob:
            assert (await bob.join(presence=True))["presence"]["count"] == 2
            assert (await ada.receive("presence:join"))["user"]["id"] == "bob"
            ack = await bob.ask(type="presence:update", channel="chat:1", data={"status": "away"}, ref="p")
            assert (ack["type"], ack["ref"]) == ("ack", "p")
            assert (await ada.receive("presence:update"))["user"]["state"] == {"status": "away"}
            await bob.leave()
        assert (await ada.receive("presence:leave"))["user"]["id"] == "bob"


async def test_a_client_that_ends_the_connection_leaves_at_once(database: str, transport: str) -> None:
    write(database, "select realtime.create_channel('chat:1', presence_timeout => '1 hour')")
    async with running_server(database) as server, transport_client(server.url, transport, user="ada") as ada:
        await ada.join(presence=True)
        async with transport_client(server.url, transport, user="bob") as bob:
            await bob.join(presence=True)
            assert (await ada.receive("presence:join"))["user"]["id"] == "bob"
            await bob.leave()
            left = await ada.receive("presence:leave")
            assert (left["user"]["id"], left["count"]) == ("bob", 1)


async def test_a_connection_that_breaks_leaves_its_presence_for_a_while(database: str, transport: str) -> None:
    write(database, "select realtime.create_channel('chat:1', presence_timeout => '1 hour')")
    async with running_server(database, session_timeout=2) as server:
        async with transport_client(server.url, transport, user="bob") as bob:
            await bob.join(presence=True)
        await until(lambda: read(database, "select from realtime.connections where dropped_at is not null"))
        async with transport_client(server.url, transport, user="ada") as ada:
            assert (await ada.join(presence=True))["presence"]["count"] == 2


async def test_a_live_query_is_followed_until_it_is_unsubscribed(table: str, transport: str) -> None:
    async with running_server(table) as server, transport_client(server.url, transport) as ada:
        channel = "db:collection:messages"
        assert (await ada.join(channel, id="q", query=TOP))["strategy"] == "incremental"
        first = await ada.receive("snapshot")
        assert (first["reset"], first["changes"]) == (True, [])
        write(table, "insert into messages values (1, 'a', 'one', 5), (2, 'a', 'two', 6), (3, 'b', 'no', 7)")
        change = await ada.receive("snapshot")
        assert (change["channel"], change["id"], change["reset"]) == (channel, "q", False)
        kept: list[str] = []
        for each in change["changes"]:
            kept.insert(each["newIndex"], each["doc"]["data"]["body"])
        assert kept == ["two", "one"]
        await ada.send(type="unsubscribe", channel=channel, id="q")
        assert (await ada.receive("unsubscribed"))["id"] == "q"


async def test_a_client_gets_deltas_if_it_asks_for_them_when_it_connects(table: str, transport: str) -> None:
    write(table, "insert into messages values (1, 'a', 'one', 5), (2, 'a', 'two', 6)")
    channel = "db:collection:messages"
    async with (
        running_server(table) as server,
        transport_client(server.url, transport, delta="on") as ada,
        transport_client(server.url, transport) as bob,
    ):
        for client in (ada, bob):
            await client.join(channel, id="q", query=TOP)
            assert "data" in (await client.receive("snapshot"))["changes"][0]["doc"]
        write(table, "update messages set likes = 9, body = null where id = 1; delete from messages where id = 2")
        for client, removed, modified in (
            (ada, {"id": "2"}, {"id": "1", "changed": {"body": None, "likes": 9}}),
            (
                bob,
                {"id": "2", "data": {"id": 2, "room": "a", "body": "two", "likes": 6}},
                {"id": "1", "data": {"id": 1, "room": "a", "body": None, "likes": 9}},
            ),
        ):
            changes = (await client.receive("snapshot"))["changes"]
            assert [each["doc"] for each in changes] == [removed, modified]


async def test_an_invalid_message_is_answered_and_the_session_goes_on(database: str, transport: str) -> None:
    async with running_server(database) as server, transport_client(server.url, transport) as ada:
        await ada.send(type="message", channel="private:1", event="e", ref="1")
        assert (await ada.receive("error"))["code"] == "RT_003"
        await ada.send(type="message", channel="chat:1", event="e", colour="red", ref="2")
        refused = await ada.receive("error")
        assert (refused["code"], refused["channel"]) == ("RT_007", "chat:1")
        await ada.send(type="message", channel="chat:1", event="e", data="x" * 140_000, ref="3")
        assert (await ada.receive("error"))["code"] == "RT_005"
        assert (await ada.ask(type="message", channel="chat:1", event="e", data=1, ref="4"))["ref"] == "4"


async def test_faster_than_allowed_is_refused_and_a_flood_ends_the_session(database: str, transport: str) -> None:
    async with running_server(database, max_message_rate=2) as server, transport_client(server.url, transport) as ada:
        message = {"type": "message", "channel": "chat:1", "event": "e", "data": 1}
        await ada.burst(*(message | {"ref": str(number)} for number in range(3)))
        refused = await ada.receive("error")
        assert (refused["code"], refused["ref"]) == ("RT_006", "2")
        await ada.burst(*[{"type": "ping"}] * 60)
        assert (await ada.receive("close"))["code"] == 1008


async def test_a_kick_ends_a_subscription_and_a_deleted_row_the_session(database: str, transport: str) -> None:
    async with (
        running_server(database) as server,
        transport_client(server.url, transport, user="ada") as ada,
        transport_client(server.url, "websocket", user="bob") as bob,
    ):
        await ada.join(presence=True)
        await bob.join(presence=True)
        async with rest_client(server) as http:
            assert (await http.post("/channels/chat:1/kick", json={"userId": "ada"})).status_code == 200
            kicked = await ada.receive("error")
            assert (kicked["code"], kicked["channel"]) == ("RT_003", "chat:1")
            assert (await bob.receive("presence:leave"))["user"]["id"] == "ada"
            [row] = (await http.get("/connections", params={"userId": "ada"})).json()["connections"]
            assert row["id"] == ada.connected["connectionId"]
            assert row["transport"] == ("websocket" if transport == "msgpack" else transport)
            assert (await http.delete(f"/connections/{row['id']}")).status_code == 204
        assert (await ada.receive("error"))["code"] == "RT_001"
        closed = await ada.receive("close")
        assert (closed["code"], closed["reason"]) == (4001, "disconnected")
        await server.connections(1)


async def test_an_unknown_client_with_a_secret_is_the_same_user_on_every_transport(
    database: str, transport: str
) -> None:
    secret = "s3cret_s3cret-s3cret"
    user = f"anon-{hashlib.sha256(secret.encode()).hexdigest()[:20]}"
    async with running_server(database) as server, transport_client(server.url, "websocket") as bob:
        await bob.join(presence=True)
        async with transport_client(server.url, transport, client=secret) as ada:
            await ada.join(presence=True)
            assert (await bob.receive("presence:join"))["user"]["id"] == user
            async with transport_client(server.url, "websocket", client=secret) as again:
                assert (await again.join(presence=True))["presence"]["count"] == 2
        assert secret not in "".join(server.lines)


async def test_a_draining_server_asks_its_clients_to_reconnect_and_waits_for_them(
    database: str, transport: str
) -> None:
    async with (
        running_server(database, drain_time=GIVE_UP_AFTER) as server,
        transport_client(server.url, transport) as ada,
    ):
        await ada.join()
        server.process.send_signal(signal.SIGTERM)
        moving = await ada.receive("reconnect")
        assert 0 <= moving["delay"] < GIVE_UP_AFTER * 1000
        status, health = await server.health()
        assert (status, health["status"]) == (503, "draining")
        async with httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
            refused = await http.get("/sse") if transport == "sse" else await http.post("/poll", json={})
            assert (refused.status_code, refused.json()["code"]) == (503, "RT_001")
        await ada.ask(type="message", channel="chat:1", event="e", data=1)
        await ada.leave()
        async with asyncio.timeout(GIVE_UP_AFTER):
            assert await server.process.wait() == 0, server.lines


async def test_a_draining_server_closes_the_remaining_connections_after_drain_time(
    database: str, transport: str
) -> None:
    async with running_server(database, drain_time=0.2) as server, transport_client(server.url, transport) as ada:
        server.process.send_signal(signal.SIGTERM)
        assert (await ada.receive("close"))["code"] == 1001


async def test_a_second_signal_ends_the_wait(database: str, transport: str) -> None:
    async with (
        running_server(database, drain_time=10 * GIVE_UP_AFTER) as server,
        transport_client(server.url, transport) as ada,
    ):
        server.process.send_signal(signal.SIGTERM)
        await ada.receive("reconnect")
        closed = asyncio.create_task(ada.receive("close"))
        await server.health()  # by then a poll has arrived; one that came later might find its connection closed
        server.process.send_signal(signal.SIGTERM)
        assert (await closed)["code"] == 1001
        async with asyncio.timeout(GIVE_UP_AFTER):
            assert await server.process.wait() == 0
