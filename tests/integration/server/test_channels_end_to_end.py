"""Clients, servers and SQL writers talk over channels: WebSocket, REST and Postgres together."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.clients.list_client import read, write
from tests.support.clients.users import rest_client, running_server, two_users, user_client
from tests.support.servers.processes import GIVE_UP_AFTER


async def listed(http: httpx.AsyncClient, count: int) -> list[str]:
    """The positions in the history, once it has so many messages: it is written a moment after they were sent."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            messages = (await http.get("/channels/chat:1/messages")).json()["messages"]
            if len(messages) >= count:
                return [message["position"] for message in messages]
            await asyncio.sleep(0.02)


async def test_messages_of_clients_rest_and_sql_are_the_same_and_in_one_order(database: str) -> None:
    async with two_users(database) as (ada, bob, http):
        await ada.join()
        await bob.join()
        ack = await ada.ask(type="message", channel="chat:1", event="sent", data={"n": 1}, ref="r", id="mine")
        assert (ack["ref"], ack["id"]) == ("r", "mine")
        await http.post("/channels/chat:1/broadcast", json={"event": "sent", "data": {"n": 2}, "sender": "robot"})
        write(database, "select realtime.broadcast('chat:1', 'sent', '{\"n\": 3}')")
        write(
            database, "insert into realtime.messages (channel, event, payload) values ('chat:1', 'sent', '{\"n\": 4}')"
        )
        received = [[await each.receive("message") for _ in range(4)] for each in (ada, bob)]
        assert received[0] == received[1]
        assert [(message["data"], message["sender"]) for message in received[0]] == [
            ({"n": 1}, "ada"),
            ({"n": 2}, "robot"),
            ({"n": 3}, None),
            ({"n": 4}, None),
        ]
        assert received[0][0]["position"] == ack["position"]
        again = await ada.ask(type="message", channel="chat:1", event="sent", data={"n": 1}, id="mine")
        assert (again["id"], again["position"]) == ("mine", ack["position"])
        assert await listed(http, 4) == [message["position"] for message in received[0]]


async def test_a_client_gets_history_and_resumes_without_gap_or_repetition(database: str) -> None:
    async with running_server(database) as server:
        async with user_client(server, "ada") as ada:
            for number in range(10):
                await ada.ask(type="message", channel="chat:1", event="sent", data=number)
            await ada.join(history=3)
            received = [await ada.receive("message") for _ in range(3)]
            assert [message["data"] for message in received] == [7, 8, 9]
        write(database, "select realtime.broadcast('chat:1', 'sent', to_jsonb(n)) from generate_series(10, 19) n")
        async with user_client(server, "ada") as ada:
            joined = await ada.join(since=received[-1]["position"])
            assert joined["recovered"] is True
            write(database, "select realtime.broadcast('chat:1', 'sent', '20')")
            assert [(await ada.receive("message"))["data"] for _ in range(11)] == list(range(10, 21))
            refused = await ada.join("chat:2", since="yesterday")
            assert (refused["code"], refused["channel"]) == ("RT_007", "chat:2")


async def test_presence_is_seen_by_the_others_and_a_dropped_client_may_come_back(database: str) -> None:
    write(database, "select realtime.create_channel('chat:1', presence_timeout => '0 s')")
    async with running_server(database) as server, user_client(server, "ada") as ada, rest_client(server) as http:
        joined = await ada.join(presence={"name": "Ada"})
        assert [user["id"] for user in joined["presence"]["users"]] == ["ada"]
        async with user_client(server, "bob") as bob:
            joined = await bob.join(presence={"name": "Bob", "status": "online"})
            assert joined["presence"]["count"] == 2
            arrived = await ada.receive("presence:join")
            assert (arrived["user"]["id"], arrived["user"]["name"]) == ("bob", "Bob")
            await bob.ask(type="presence:update", channel="chat:1", data={"status": "typing"})
            assert (await ada.receive("presence:update"))["user"]["state"]["status"] == "typing"
            users = (await http.get("/channels/chat:1/presence")).json()
            assert (users["count"], [user["name"] for user in users["users"]]) == (2, ["Ada", "Bob"])
        left = await ada.receive("presence:leave")
        assert left["user"]["id"] == "bob"


async def test_a_full_room_and_a_closed_one_refuse_and_the_connection_lives_on(database: str) -> None:
    async with two_users(database) as (ada, bob, http):
        assert (await http.post("/channels", json={"name": "chat:1", "capacity": 1})).status_code == 201
        await ada.join()
        full = await bob.join(id="x")
        assert (full["code"], full["channel"], full["id"]) == ("RT_008", "chat:1", "x")
        assert (await http.patch("/channels/chat:1", json={"capacity": 2})).status_code == 200
        assert (await ada.receive("room:updated"))["room"]["capacity"] == 2
        assert (await bob.join())["type"] == "subscribed"
        assert (await http.delete("/channels/chat:1")).status_code == 204
        assert (await ada.receive("room:closed"))["channel"] == "chat:1"
        refused = await ada.ask(type="message", channel="chat:1", event="e", data=1, ref="r")
        assert (refused["code"], refused["ref"]) == ("RT_004", "r")
        await ada.send(type="ping")
        assert await ada.receive("pong") == {"type": "pong"}


async def test_a_kick_ends_a_subscription_and_a_delete_ends_a_connection(database: str) -> None:
    async with two_users(database) as (ada, bob, http):
        await ada.join(presence=True)
        await bob.join(presence=True)
        assert (await http.post("/channels/chat:1/kick", json={"userId": "bob", "reason": "spam"})).status_code == 200
        kicked = await bob.receive("error")
        assert (kicked["code"], kicked["channel"]) == ("RT_003", "chat:1")
        assert (await ada.receive("presence:leave"))["user"]["id"] == "bob"
        connections = (await http.get("/connections", params={"userId": "bob"})).json()["connections"]
        assert [each["id"] for each in connections] == [bob.id]
        assert (await http.delete(f"/connections/{bob.id}")).status_code == 204
        assert (await bob.receive("error"))["code"] == "RT_001"
        with pytest.raises(ConnectionClosed) as closed:
            await bob.receive("nothing more")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4001
        assert [each["userId"] for each in (await http.get("/connections")).json()["connections"]] == ["ada"]


async def test_a_filter_lets_only_what_is_wanted_through(database: str) -> None:
    async with running_server(database) as server, user_client(server, "ada") as ada:
        joined = await ada.join(filter={"events": ["order"], "where": [["amount", ">", 100]]})
        assert joined["type"] == "subscribed", joined
        write(
            database,
            """select realtime.broadcast('chat:1', 'order', '{"amount": 50}'),
                      realtime.broadcast('chat:1', 'note', '{"amount": 500}'),
                      realtime.broadcast('chat:1', 'order', '{"amount": 500}')""",
        )
        assert (await ada.receive("message"))["data"] == {"amount": 500}
        refused = await ada.join("chat:2", filter={"where": [["amount", "~~~", 1]]})
        assert (refused["code"], refused["channel"]) == ("RT_007", "chat:2")


@pytest.mark.parametrize("unknown", ["room:1"])
async def test_a_channel_that_must_be_made_first_is_unknown_until_then(database: str, unknown: str) -> None:
    write(database, "insert into realtime.channel_defaults (pattern, dynamic) values ('room:*', false)")
    async with running_server(database) as server, user_client(server, "ada") as ada:
        assert (await ada.join(unknown))["code"] == "RT_004"
        refused = await ada.ask(type="message", channel=unknown, event="e", data="\U0001f600", ref="1")
        assert refused["code"] == "RT_004"
        write(database, f"select realtime.create_channel('{unknown}')")
        assert (await ada.join(unknown))["type"] == "subscribed"
        assert read(database, "select count(*) from realtime.messages") == [(0,)]


async def test_a_server_that_stops_takes_its_members_with_it(database: str) -> None:
    async with running_server(database) as first, user_client(first, "ada") as ada:
        await ada.join(presence=True)
        async with running_server(database, ephemeral="true") as second, user_client(second, "bob") as bob:
            await bob.join(presence=True)
            assert (await ada.receive("presence:join"))["user"]["id"] == "bob"
            await second.end()
            assert (await ada.receive("presence:leave"))["user"]["id"] == "bob"
