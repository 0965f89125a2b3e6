"""Every way to address a message, every way to be there: through a running server, on each PostgreSQL and decoder."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import connect
from websockets.frames import CloseCode

from tests.integration.conftest import Source
from tests.support.clients.list_client import read, write
from tests.support.clients.users import UserClient, rest_client, running_server, two_users, user_client
from tests.support.servers.processes import ServerProcess


@asynccontextmanager
async def user(server: ServerProcess, user: str, **attributes: Any) -> AsyncIterator[UserClient]:
    address = f"{server.websocket}?user={user}&attributes={quote(json.dumps(attributes))}"
    async with connect(address, max_size=None) as socket:
        one = UserClient(socket)
        one.id = (await one.receive("connected"))["connectionId"]
        yield one
        await socket.close(CloseCode.GOING_AWAY)  # not for good


async def texts(one: UserClient) -> list[str]:
    """Everything that was sent up to now, and by whom it was not meant is not there."""
    await one.send(type="ping")
    await one.receive("pong")
    found = [message["data"] for message in one.received if message["type"] == "message"]
    one.received = [message for message in one.received if message["type"] != "message"]
    return found


async def test_publish_presence_history_kick_and_close_work_with_every_decoder(source: Source) -> None:
    async with two_users(source.dsn, decoder=source.decoder) as (ada, bob, http):
        assert (await http.post("/channels", json={"name": "chat:1", "capacity": 2})).status_code == 201
        joined = await ada.join(presence={"name": "Ada"}, history=5)
        assert joined["epoch"]
        assert (await bob.join(presence={"name": "Bob"}))["presence"]["count"] == 2
        assert (await ada.receive("presence:join"))["user"]["name"] == "Bob"
        for number in range(5):
            ack = await ada.ask(type="message", channel="chat:1", event="sent", data=number, ref=str(number))
            page = (await http.get("/channels/chat:1/messages", params={"limit": 1})).json()
            # What has been acknowledged can be read at once.
            assert [each["position"] for each in page["messages"]] == [ack["position"]]
            assert page["epoch"] == joined["epoch"]
            assert (await bob.receive("message"))["position"] == ack["position"]
        await bob.ask(type="presence:update", channel="chat:1", data={"status": "away"})
        assert (await ada.receive("presence:update"))["user"]["state"] == {"status": "away"}
        await http.post("/channels/chat:1/kick", json={"userId": "bob"})
        assert (await bob.receive("error"))["code"] == "RT_003"
        assert (await ada.receive("presence:leave"))["user"]["id"] == "bob"
        again = await bob.join(since=ack["position"], epoch=joined["epoch"])
        assert again["recovered"] is True
        await bob.send(type="unsubscribe", channel="chat:1")
        await bob.receive("unsubscribed")
        assert (await bob.join(since=ack["position"], epoch="of another cluster"))["recovered"] is False
        assert (await http.delete("/channels/chat:1")).status_code == 204
        for one in (ada, bob):
            assert (await one.receive("room:closed"))["channel"] == "chat:1"
            await one.send(type="unsubscribe", channel="chat:1")
            assert (await one.receive("error"))["code"] == "RT_004"  # the subscription has ended already
            refused = await one.ask(type="message", channel="chat:1", event="sent", data=1)
            assert refused["code"] == "RT_004"
        # What is published right behind a subscribe to its channel reaches that subscription.
        channels = {f"behind:{number}" for number in range(20)}
        for channel in channels:
            await bob.send(type="subscribe", channel=channel)
            await bob.send(type="message", channel=channel, event="sent", data=1)
        assert {(await bob.receive("message"))["channel"] for _ in channels} == channels
        assert (await ada.join("chat:2"))["type"] == "subscribed"


async def test_pages_meet_inside_a_transaction(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        write(database, "select realtime.broadcast('chat:1', 'sent', to_jsonb(n)) from generate_series(1, 7) n")
        write(database, "select realtime.broadcast('chat:1', 'sent', to_jsonb(n)) from generate_series(8, 9) n")
        found: list[int] = []
        before: dict[str, str] = {}
        while True:
            page = (await http.get("/channels/chat:1/messages", params={"limit": 2, **before})).json()
            found = [message["data"] for message in page["messages"]] + found
            if page["before"] is None:
                break
            before = {"before": page["before"]}
        assert found == list(range(1, 10))


async def test_all_users_rooms_with_filters_and_exclusions_by_sql_and_by_rest(source: Source) -> None:
    async with (
        running_server(source.dsn, decoder=source.decoder) as server,
        user(server, "ada", team="red") as ada,
        user(server, "bob", team="blue") as bob,
        user(server, "bob", team="red") as twin,
        rest_client(server) as http,
    ):
        everybody = {"ada": ada, "bob": bob, "twin": twin}
        for one in everybody.values():
            await one.join("chat:1")
        write(source.dsn, "select realtime.create_channel('chat:1')")
        red = {"where": [["team", "==", "red"]]}
        for by, send in (("sql", _by_sql(source.dsn)), ("rest", _by_rest(http))):
            cases: list[tuple[dict[str, Any], set[str]]] = [
                ({}, {"ada", "bob", "twin"}),
                ({"audience": red}, {"ada", "twin"}),
                ({"audience": {"exclude": {"connections": [bob.id]}}}, {"ada", "twin"}),
                ({"audience": {"exclude": {"users": ["bob"]}}}, {"ada"}),
                ({"sender": "bob", "audience": {"exclude": {"sender": True}}}, {"ada"}),
                ({"users": ["bob"]}, {"bob", "twin"}),
                ({"users": ["bob"], "audience": red}, {"twin"}),
                ({"channels": ["chat:1", "chat:2"]}, {"ada", "bob", "twin"}),
                ({"channels": ["chat:*"], "audience": red}, {"ada", "twin"}),
            ]
            for target, wanted in cases:
                await send({**target, "event": "news", "data": by})
                await send({"event": "end", "data": "end"})
                received = {}
                for name, one in everybody.items():
                    received[name] = [await one.receive("message")]
                    while received[name][-1]["data"] != "end":
                        received[name].append(await one.receive("message"))
                assert {name for name, sent in received.items() if len(sent) == 2} == wanted, (by, target)
                channel = "chat:1" if "channels" in target else "*"
                assert {message["channel"] for sent in received.values() for message in sent[:-1]} == {channel}
        refused = await http.post("/broadcast", json={"event": "e", "users": ["a"], "channels": ["b"]})
        assert (refused.status_code, refused.json()["code"]) == (400, "RT_007")
        write(source.dsn, "select realtime.close_channel('chat:1')")
        refused = await http.post("/broadcast", json={"event": "e", "channels": ["chat:1"]})
        assert (refused.status_code, refused.json()["code"]) == (404, "RT_004")


def _by_sql(dsn: str) -> Any:
    async def send(body: dict[str, Any]) -> None:
        named = {"event": body["event"], "payload": json.dumps(body["data"]), "sender": body.get("sender")}
        named["audience"] = None if "audience" not in body else json.dumps(body["audience"])
        function = "broadcast_all"
        if "users" in body:
            function, named["users"] = "broadcast_users", _array(body["users"])
        elif "channels" in body:
            function, named["rooms"] = "broadcast_rooms", _array(body["channels"])
        given = ", ".join(f"{name} => '{value}'" for name, value in named.items() if value is not None)
        write(dsn, f"select realtime.{function}({given})")

    return send


def _by_rest(http: Any) -> Any:
    async def send(body: dict[str, Any]) -> None:
        answer = await http.post("/broadcast", json=body)
        assert answer.status_code == 201, answer.text

    return send


def _array(items: list[str]) -> str:
    return "{" + ",".join(items) + "}"


async def test_a_message_that_is_too_large_is_refused_by_every_way_and_nothing_is_stored(database: str) -> None:
    write(database, "update realtime.settings set max_payload = 2000")
    async with running_server(database) as server, user_client(server, "ada") as ada, rest_client(server) as http:
        await ada.join()
        large = "x" * 2000
        refused = await ada.ask(type="message", channel="chat:1", event="sent", data=large, ref="r", id="i")
        assert (refused["code"], refused["ref"], refused["id"]) == ("RT_005", "r", "i")
        for path in ("/channels/chat:1/broadcast", "/broadcast"):
            answer = await http.post(path, json={"event": "sent", "data": large})
            assert (answer.status_code, answer.json()["code"]) == (413, "RT_005")
        frame = await ada.ask(type="message", channel="chat:1", event="sent", data="x" * 200_000)
        assert frame["code"] == "RT_005"
        assert (await ada.ask(type="message", channel="chat:1", event="sent", data="small", id="i"))["type"] == "ack"
        assert (await ada.receive("message"))["data"] == "small"
        assert read(database, "select count(*) from realtime.messages") == [(1,)]


async def test_members_of_a_server_that_was_killed_leave_within_its_lease(source: Source) -> None:
    async with (
        running_server(source.dsn, decoder=source.decoder, lease="3") as first,
        user_client(first, "ada") as ada,
        rest_client(first) as http,
    ):
        await ada.join(presence=True)
        async with (
            running_server(source.dsn, decoder=source.decoder, lease="3") as second,
            user_client(second, "bob") as bob,
        ):
            await bob.join(presence=True)
            assert (await ada.receive("presence:join"))["user"]["id"] == "bob"
            assert (await http.get("/channels/chat:1/presence")).json()["count"] == 2
            await second.end(signal.SIGKILL)
            left = await ada.receive("presence:leave")
            assert (left["user"]["id"], left["count"]) == ("bob", 1)
        assert (await http.get("/channels/chat:1/presence")).json()["count"] == 1
        assert [each["userId"] for each in (await http.get("/connections")).json()["connections"]] == ["ada"]
        assert [user for (user,) in read(source.dsn, "select user_id from realtime.last_seen")] == ["bob"]


async def test_presence_has_states_typing_counts_and_last_seen(database: str) -> None:
    write(database, "select realtime.create_channel('chat:1', presence_timeout => '1 hour', typing_timeout => '1 s')")
    async with running_server(database) as server, user_client(server, "ada") as ada, rest_client(server) as http:
        await ada.join(presence=True)
        async with user_client(server, "bob") as bob:
            await bob.join(presence={"name": "Bob", "mood": "curious"})
            assert (await ada.receive("presence:join"))["user"]["state"] == {"mood": "curious"}
            async with user_client(server, "bob") as twin:
                assert (await twin.join(presence=True))["presence"]["count"] == 2
                changed = await ada.receive("presence:update")
                assert changed["user"]["state"] == {}  # the connection that changed last speaks for the user
            back = await ada.receive("presence:update")  # a connection that broke does not speak
            assert back["user"]["state"] == {"mood": "curious"}
            await bob.ask(type="presence:update", channel="chat:1", data={"typing": True})
            assert (await ada.receive("presence:update"))["user"]["state"] == {"mood": "curious", "typing": True}
            taken_back = await ada.receive("presence:update")  # by itself
            assert taken_back["user"]["state"] == {"mood": "curious"}
            users = (await http.get("/channels/chat:1/presence")).json()
            assert users["count"] == 2
        # A connection that broke may come back within the timeout: no event is sent.
        async with user_client(server, "bob") as bob:
            await bob.join(presence={"name": "Bob"})
            write(database, """select realtime.update_channel('chat:1', '{"presence_timeout": "1 s"}')""")
        left = await ada.receive("presence:leave")
        assert (left["user"]["id"], left["count"]) == ("bob", 1)
        assert left["user"]["lastSeen"] is not None
        assert not [message for message in ada.received if message["type"] == "presence:join"]
        [(user, channel)] = read(database, "select user_id, channel from realtime.last_seen")
        assert (user, channel) == ("bob", "chat:1")
