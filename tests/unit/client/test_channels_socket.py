"""Channels over a real socket, with events that the test makes: answers, order, slow subscribers, the end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec import Raw
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus
from websockets.frames import Opcode

from engine.channels.core.messages.model import DisconnectedError, KickedError, NodeRemovedError
from server.limits.connection_limits import ConnectionLimits, SessionLimits
from server.protocol.client_messages import Publish
from tests.support.clients.raw_socket import masked, read_frame, reading, slow_client
from tests.support.fakes.channels import Event, FullError
from tests.support.fakes.server import FakeServer, closed_after, fake_server, receive, receive_to_the_end, send

GIVE_UP_AFTER = 60


async def subscribed(client: ClientConnection, channel: str = "chat:1", **options: object) -> dict[str, Any]:
    await send(client, {"type": "subscribe", "channel": channel, **options})
    answer = await receive(client)
    assert answer["type"] == "subscribed", answer
    return answer


async def greeted(client: ClientConnection) -> ClientConnection:
    assert (await receive(client))["type"] == "connected"
    return client


async def until_gone(server: FakeServer, count: int = 1) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), server.rooms.changed:
        await server.rooms.changed.wait_for(lambda: len(server.rooms.gone) == count)


async def test_history_comes_after_the_answer_and_before_what_follows() -> None:
    async with fake_server() as server, server.connect() as client:
        await greeted(client)
        for number in range(5):
            server.rooms.send("chat:1", {"n": number})
        await subscribed(client, history=2)
        server.rooms.send("chat:1", {"n": 5})
        assert [(await receive(client))["n"] for _ in range(3)] == [3, 4, 5]


async def test_a_message_is_acknowledged_with_its_ref_id_and_position() -> None:
    async with fake_server() as server, server.connect("?user=ada") as client:
        await greeted(client)
        await send(client, {"type": "message", "channel": "c", "event": "e", "data": {"a": 1}, "ref": "17", "id": "u"})
        assert await receive(client) == {"type": "ack", "channel": "c", "ref": "17", "id": "u", "position": "0/20/1"}
        [message] = server.rooms.published
        assert (message.data, message.member.user_id) == (b'{"a": 1}', "ada")


async def test_publishes_are_handed_over_in_order_and_reading_stops_while_too_many_wait() -> None:
    async with fake_server(SessionLimits(message_rate=10_000)) as server, server.connect() as client:
        await greeted(client)
        server.rooms.gate.clear()
        sending = asyncio.create_task(send_many(client, 3000))
        async with asyncio.timeout(GIVE_UP_AFTER), server.rooms.changed:
            await server.rooms.changed.wait_for(
                lambda: any(connection.reading_paused for connection in server.connections)
            )
        assert len(server.rooms.published) < 600
        server.rooms.gate.set()
        acks = [await receive(client) for _ in range(3000)]
        await sending
        assert [json.loads(message.data)["n"] for message in server.rooms.published] == list(range(3000))
        assert {ack["ref"] for ack in acks} == {str(number) for number in range(3000)}


async def test_a_message_does_not_overtake_one_that_waits_for_room() -> None:
    async with fake_server() as server, server.connect() as client:
        await greeted(client)
        server.rooms.without_room = 1
        [connection] = server.connections
        messages = [Publish(channel="c", event="e", data=Raw(b"%d" % n), ref=str(n)) for n in range(4)]
        connection.client.publish(messages)  # all in one turn of the loop
        acks = [await receive(client) for _ in messages]
        assert [message.data for message in server.rooms.published] == [b"0", b"1", b"2", b"3"]
        assert [ack["ref"] for ack in acks] == ["0", "1", "2", "3"]


async def send_many(client: ClientConnection, count: int) -> None:
    for n in range(count):
        data = {"n": n, "text": "x" * 2000}
        await send(client, {"type": "message", "channel": "c", "event": "e", "data": data, "ref": str(n)})


async def test_a_message_is_stored_also_when_its_sender_has_disconnected() -> None:
    async with fake_server() as server:
        async with server.connect() as client:
            await greeted(client)
            server.rooms.gate.clear()
            await send(client, {"type": "message", "channel": "c", "event": "e", "data": 1})
            await send(client, {"type": "ping"})
            assert (await receive(client))["type"] == "pong"
        await until_gone(server)
        server.rooms.gate.set()
        await server.services.background.drain(GIVE_UP_AFTER)
        assert len(server.rooms.past["c"]) == 1


@pytest.mark.parametrize(
    ("channel", "code"),
    [("private:user-1", "RT_003"), ("db:collection:messages", "RT_003"), ("db:other", "RT_004")],
)
async def test_closed_channels_are_refused_by_name(channel: str, code: str) -> None:
    async with fake_server() as server, server.connect() as client:
        await greeted(client)
        await send(client, {"type": "message", "channel": channel, "event": "e", "data": 1, "ref": "r"})
        refused = await receive(client)
        assert (refused["code"], refused["channel"], refused["ref"]) == (code, channel, "r")
        if channel != "db:collection:messages":
            await send(client, {"type": "subscribe", "channel": channel})
            assert (await receive(client))["code"] == code
        assert (server.rooms.published, server.rooms.subscriptions) == ([], [])


@pytest.mark.parametrize(
    ("failure", "code"),
    [(FullError("5 of 5 places are taken"), "RT_008"), (OSError("gone"), "RT_001"), (KeyError("bug"), "RT_001")],
)
async def test_a_failed_request_is_answered_and_can_be_repeated(failure: Exception, code: str) -> None:
    async with fake_server() as server, server.connect() as client:
        await greeted(client)
        server.rooms.refuse = failure
        await send(client, {"type": "subscribe", "channel": "chat:1", "id": "a"})
        refused = await receive(client)
        assert (refused["code"], refused["channel"], refused["id"]) == (code, "chat:1", "a")
        assert "bug" not in refused["message"]
        server.rooms.refuse = None
        await subscribed(client)


async def test_presence_is_part_of_the_answer_and_an_update_is_acknowledged() -> None:
    async with fake_server() as server, server.connect("?user=ada&connection=c1") as client:
        await greeted(client)
        await send(client, {"type": "subscribe", "channel": "chat:1", "presence": True})
        await send(client, {"type": "presence:update", "channel": "chat:1", "data": {"status": "typing"}, "ref": "1"})
        assert (await receive(client))["presence"] == {"users": ["ada"], "count": 1}
        assert await receive(client) == {"type": "ack", "channel": "chat:1", "ref": "1"}
        assert server.rooms.presences == [("chat:1", "c1", {"status": "typing"})]


async def test_unsubscribing_leaves_and_losing_the_connection_only_drops() -> None:
    async with fake_server() as server:
        async with server.connect("?connection=c1") as client:
            await greeted(client)
            await subscribed(client, "chat:1", presence=True)
            await subscribed(client, "chat:2", presence=True)
            first, second = server.rooms.subscriptions
            await send(client, {"type": "unsubscribe", "channel": "chat:1"})
            assert (await receive(client))["type"] == "unsubscribed"
            assert (first.cancelled, second.cancelled) == ("left", "")
        await until_gone(server)
        assert second.cancelled == "dropped"
        assert server.rooms.gone == ["c1"]


async def test_unsubscribing_while_it_is_being_opened_leaves_nothing_behind() -> None:
    async with fake_server() as server, server.connect() as client:
        await greeted(client)
        server.rooms.gate.clear()
        await send(client, {"type": "subscribe", "channel": "chat:1"})
        await send(client, {"type": "unsubscribe", "channel": "chat:1"})
        assert (await receive(client))["type"] == "unsubscribed"
        await server.services.background.drain(GIVE_UP_AFTER)
        assert not server.rooms.waiting, "what is not wanted any more takes its place from others"
        server.rooms.gate.set()
        assert server.rooms.subscriptions == []
        await subscribed(client)


async def test_a_kick_ends_the_subscription_and_a_deleted_row_the_connection() -> None:
    async with fake_server() as server, server.connect() as client:
        await greeted(client)
        await subscribed(client)
        [subscription] = server.rooms.subscriptions
        subscription.receiver.deliver(Event(error=KickedError("you were removed: spam")))
        kicked = await receive(client)
        assert (kicked["type"], kicked["code"], kicked["channel"]) == ("error", "RT_003", "chat:1")
        subscription.receiver.deliver(Event({"n": 1}))
        server.rooms.members["test"](Event({"n": 2}))
        assert await receive(client) == {"n": 2}
        server.rooms.members["test"](Event(error=DisconnectedError("disconnected")))
        assert (await receive(client))["code"] == "RT_001"
        assert await closed_after(receive_to_the_end(client)) == 4001


async def test_clients_of_a_node_taken_for_dead_are_asked_to_resume() -> None:
    async with fake_server() as server, server.connect() as client:
        await greeted(client)
        await subscribed(client)
        server.rooms.members["test"](Event(error=NodeRemovedError("this server was taken for dead")))
        assert (await receive(client))["code"] == "RT_001"
        assert await closed_after(receive_to_the_end(client)) == 4008


async def test_a_slow_subscriber_is_asked_to_resume_and_others_get_every_message() -> None:
    limits = ConnectionLimits(buffer_size=64 * 1024, backlog=256 * 1024)
    async with fake_server(connection_limits=limits) as server, server.connect() as quick:
        await greeted(quick)
        await subscribed(quick)
        reader, writer, _ = await slow_client(server, queries=0)
        reading(writer).resume_reading()
        writer.write(masked(Opcode.TEXT, b'{"type":"subscribe","channel":"chat:1"}'))
        await read_frame(reader)
        reading(writer).pause_reading()
        sent = 0
        while len(server.rooms.subscriptions) == 2 and not any(c.closing for c in server.connections):
            sent += 1
            server.rooms.send("chat:1", {"n": sent, "text": "x" * 5000})
            assert (await receive(quick))["n"] == sent
        for _ in range(50):
            sent += 1
            server.rooms.send("chat:1", {"n": sent, "text": "x" * 5000})
            assert (await receive(quick))["n"] == sent
        reading(writer).resume_reading()
        received = 0
        while True:
            opcode, payload = await asyncio.wait_for(read_frame(reader), GIVE_UP_AFTER)
            if opcode == Opcode.CLOSE:
                break
            received += 1
            assert json.loads(payload)["n"] == received
        assert (int.from_bytes(payload[:2], "big"), payload[2:]) == (4008, b"resume")
        assert 256 // 5 < received < sent
        writer.close()


async def test_a_burst_larger_than_the_buffer_does_not_close_a_reading_client() -> None:
    limits = ConnectionLimits(buffer_size=64 * 1024, backlog=1024 * 1024)
    async with fake_server(connection_limits=limits) as server, server.connect() as client:
        await greeted(client)
        await subscribed(client)
        for number in range(500):
            server.rooms.send("chat:1", {"n": number, "text": "x" * 1000})
        assert [(await receive(client))["n"] for _ in range(500)] == list(range(500))


@pytest.mark.parametrize(
    "query",
    [
        "?user=",
        "?user=a%00b",
        "?user=" + "x" * 300,
        "?attributes=5",
        "?attributes={%22a%22:[]}",
        "?attributes={%22a%22:%22\\u0000%22}",
        "?user=%ff",
    ],
)
async def test_an_identity_that_cannot_be_is_refused_at_the_handshake(query: str) -> None:
    async with fake_server() as server:
        with pytest.raises(InvalidStatus) as refused:
            async with server.connect(query):
                pass
        assert refused.value.response.status_code == 400


async def test_pages_of_the_history_wait_for_the_subscription_and_are_bounded() -> None:
    async with fake_server() as server, server.connect() as client:
        await greeted(client)
        server.rooms.past["chat:1"] = [Event({"n": number}) for number in range(5)]
        server.rooms.gate.clear()
        await send(client, {"type": "subscribe", "channel": "chat:1", "history": 1})
        for ref in map(str, range(11)):
            await send(client, {"type": "history", "channel": "chat:1", "before": "0/20/7", "limit": 2, "ref": ref})
        refused = await receive(client)
        assert (refused["code"], refused["ref"]) == ("RT_006", "10")
        server.rooms.gate.set()
        assert (await receive(client))["type"] == "subscribed"
        assert (await receive(client))["n"] == 4
        for ref in map(str, range(10)):
            assert await receive(client) == {
                "type": "history",
                "channel": "chat:1",
                "ref": ref,
                "messages": [{"n": 3}, {"n": 4}],
                "before": "0/1/1",
            }
        assert server.rooms.asked == ["(32, 7) 2"] * 10


async def test_a_history_is_refused_if_the_subscription_could_not_be_opened() -> None:
    async with fake_server() as server, server.connect() as client:
        await greeted(client)
        server.rooms.gate.clear()
        server.rooms.refuse = FullError("full")
        await send(client, {"type": "subscribe", "channel": "chat:1"})
        await send(client, {"type": "history", "channel": "chat:1", "ref": "h"})
        server.rooms.gate.set()
        assert [(await receive(client))["code"] for _ in range(2)] == ["RT_008", "RT_004"]
