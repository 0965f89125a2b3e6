"""The WebSocket shell over a real socket: framing, limits, slow clients, closing."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from random import Random

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.frames import Opcode

from engine.errors import UnknownCollectionError
from server.limits.connection_limits import ConnectionLimits, SessionLimits
from tests.support.clients.raw_socket import handshake, masked, read_frame
from tests.support.fakes.server import (
    FakeServer,
    closed_after,
    fake_server,
    receive,
    receive_to_the_end,
    send,
    subscribe,
)
from tests.support.servers.processes import GIVE_UP_AFTER

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_client_is_greeted_subscribed_and_sent_every_change_in_order() -> None:
    async with fake_server() as server, server.connect() as client:
        assert await receive(client) == {
            "type": "connected",
            "connectionId": "test",
            "pingInterval": 25_000,
            "limits": {"messagesPerSecond": 100, "messageSize": 131_072, "subscriptions": 100, "presencePerSecond": 10},
        }
        server.lists.rows = ["a"]
        await subscribe(client)
        assert (await receive(client))["type"] == "subscribed"
        assert await receive(client) == {
            "type": "snapshot",
            "channel": "db:collection:list",
            "id": "q",
            "position": "0/1",
            "reset": True,
            "changes": ["a"],
        }
        for number in range(100):
            server.lists.change([str(number)])
        assert [(await receive(client))["changes"] for _ in range(100)] == [[str(n)] for n in range(100)]
        await send(client, {"type": "unsubscribe", "channel": "db:collection:list", "id": "q"})
        assert (await receive(client))["type"] == "unsubscribed"
        assert server.lists.subscriptions == []


async def test_a_refused_query_is_an_error_and_the_connection_lives_on() -> None:
    async with fake_server() as server, server.connect() as client:
        await receive(client)
        await subscribe(client, collection="none")
        assert (await receive(client))["code"] == "RT_007"
        await send(client, {"type": "ping"})
        assert await receive(client) == {"type": "pong"}


async def test_a_subscription_that_ends_by_itself_sends_an_error() -> None:
    async with fake_server() as server, server.connect() as client:
        await receive(client)
        await subscribe(client)
        await receive(client)
        await receive(client)
        server.lists.end(UnknownCollectionError("list was closed"))
        answer = await receive(client)
        assert (answer["type"], answer["code"], answer["id"]) == ("error", "RT_004", "q")
        await subscribe(client)
        assert (await receive(client))["type"] == "subscribed"


async def test_a_query_unsubscribed_while_it_is_being_opened_is_cancelled() -> None:
    async with fake_server() as server, server.connect() as client:
        server.lists.gate = asyncio.Event()
        await receive(client)
        await subscribe(client)
        await send(client, {"type": "unsubscribe", "channel": "db:collection:list", "id": "q"})
        assert (await receive(client))["type"] == "unsubscribed"
        server.lists.gate.set()
        await send(client, {"type": "ping"})
        assert await receive(client) == {"type": "pong"}
        assert server.lists.subscriptions == []


async def test_a_closed_connection_gives_its_subscriptions_back() -> None:
    async with fake_server() as server:
        async with server.connect() as client:
            await receive(client)
            await subscribe(client)
            await receive(client)
        await server.left_alone()
        assert server.lists.subscriptions == []


async def test_messages_may_come_in_fragments_with_pings_between_them() -> None:
    async with fake_server() as server, server.connect(ping_interval=None) as client:
        await receive(client)
        text = json.dumps({"type": "subscribe", "channel": "db:collection:list", "id": "ä" * 50})

        async def parts() -> AsyncIterator[str]:
            for start in range(0, len(text), 7):
                yield text[start : start + 7]

        await client.send(parts())
        assert (await receive(client))["id"] == "ä" * 50
        await (await client.ping())


@pytest.mark.parametrize("fragmented", [False, True])
@pytest.mark.parametrize("size", [128 * 1024 + 1, 1024 * 1024])
async def test_a_message_that_is_too_large_is_drained_and_refused(size: int, fragmented: bool) -> None:
    async with fake_server() as server, server.connect() as client:
        await receive(client)
        text = "x" * size
        await client.send([text[: size // 2], text[size // 2 :]] if fragmented else text)
        assert (await receive(client))["code"] == "RT_005"
        await send(client, {"type": "ping"})
        assert await receive(client) == {"type": "pong"}


@pytest.mark.parametrize("fragmented", [False, True])
async def test_a_message_beyond_the_hard_cap_closes_the_connection(fragmented: bool) -> None:
    async with fake_server() as server, server.connect() as client:

        async def send_too_much() -> None:
            text = "x" * (1024 * 1024 + 1)
            await client.send([text[:400_000], text[400_000:]] if fragmented else text)
            await receive_to_the_end(client)

        assert await closed_after(send_too_much()) == 1009
        await server.left_alone()


async def test_binary_messages_are_refused_and_the_connection_lives_on() -> None:
    async with fake_server() as server, server.connect() as client:
        await receive(client)
        await client.send(b'{"type":"ping"}')
        assert (await receive(client))["code"] == "RT_007"
        await send(client, {"type": "ping"})
        assert await receive(client) == {"type": "pong"}


async def test_a_flood_of_messages_is_refused_then_closed() -> None:
    async with fake_server(SessionLimits(message_rate=10)) as server, server.connect() as client:

        async def flood() -> None:
            for _ in range(1000):
                await client.send('{"type":"ping"}')
            await receive_to_the_end(client)

        assert await closed_after(flood()) == 1008


async def test_a_flood_of_websocket_pings_is_closed() -> None:
    async with fake_server(SessionLimits(message_rate=10)) as server, server.connect() as client:

        async def flood() -> None:
            for _ in range(1000):
                await client.ping()
            await receive_to_the_end(client)

        assert await closed_after(flood()) == 1008


AGAINST_THE_PROTOCOL = [
    (masked(Opcode.CONT, b"x"), 1002),
    (masked(Opcode.TEXT, b"x", fin=False) + masked(Opcode.TEXT, b"y"), 1002),
    (masked(Opcode.TEXT, b"x", rsv1=True), 1002),
    (b"\x81\x01x", 1002),
    (masked(Opcode.PING, b"x", fin=False), 1002),
    (b"\x83\x80\0\0\0\0", 1002),
    (b"\x81\xff" + struct.pack("!Q", 1 << 62) + b"\0\0\0\0", 1009),
    (masked(Opcode.TEXT, b"", fin=False) + masked(Opcode.CONT, b"", fin=False) * 1100, 1009),
    (masked(Opcode.CLOSE, struct.pack("!H", 1000)), 1000),
    (masked(Opcode.CLOSE, struct.pack("!H", 4001) + b"bye"), 4001),
    (masked(Opcode.CLOSE, b""), 1000),
    (masked(Opcode.CLOSE, b"\x03"), 1002),
    (masked(Opcode.CLOSE, struct.pack("!H", 1000), rsv1=True), 1002),
    *((masked(Opcode.CLOSE, struct.pack("!H", wrong)), 1002) for wrong in (0, 999, 1004, 1005, 1006, 1015, 2000, 5000)),
    (masked(Opcode.CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    (masked(Opcode.CLOSE, b"x" * 126), 1002),
    (masked(Opcode.PING, b"x" * 126), 1002),
    (b"\xc9\x80" + bytes(4), 1002),
    (b"\xa1\x80" + bytes(4), 1002),
    (b"\x91\x80" + bytes(4), 1002),
    (b"\x81\xfe" + struct.pack("!H", 125) + bytes(4 + 125), 1002),
    (b"\x81\xff" + struct.pack("!Q", 5) + bytes(4 + 5), 1002),
    (b"\x81\xff" + struct.pack("!Q", (1 << 63) + 5) + bytes(4 + 5), 1002),
    (masked(Opcode.TEXT, b"\xff"), 1007),
    (masked(Opcode.TEXT, b'{"type":"ping"}\xc3'), 1007),
    (masked(Opcode.TEXT, b"\xed\xa0\x80", fin=False), 1007),
    (masked(Opcode.TEXT, b"\xc3", fin=False) + masked(Opcode.CONT, b"\x28", fin=False), 1007),
    (masked(Opcode.TEXT, b"x" * 200_000 + b"\xff"), 1007),
]
"""What a client sends, and the code of the close frame that it gets."""


async def test_frames_against_the_protocol_end_the_connection_with_its_code(caplog: pytest.LogCaptureFixture) -> None:
    async def code_after(server: FakeServer, number: int, data: bytes) -> int:
        reader, writer = await handshake(server, f"?connection={number}")
        writer.write(data)
        opcode, payload = await read_frame(reader)
        assert opcode == Opcode.CLOSE, data
        assert await reader.read() == b""
        writer.close()
        code: int = struct.unpack("!H", payload[:2])[0]
        return code

    with capture_logs() as logs:
        async with fake_server(connection_limits=ConnectionLimits(close_timeout=0.2)) as server:
            tasks = [code_after(server, number, data) for number, (data, _) in enumerate(AGAINST_THE_PROTOCOL)]
            codes = await asyncio.gather(*tasks)
            await server.left_alone()
    assert list(zip((data for data, _ in AGAINST_THE_PROTOCOL), codes, strict=True)) == AGAINST_THE_PROTOCOL
    assert not [each for each in logs if each["log_level"] == "error"]
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_a_character_may_be_divided_between_fragments() -> None:
    async with fake_server() as server:
        reader, writer = await handshake(server)
        text = json.dumps(
            {"type": "subscribe", "channel": "db:collection:list", "id": "é€😀"}, ensure_ascii=False
        ).encode()
        for place in range(len(text)):
            writer.write(masked(Opcode.CONT if place else Opcode.TEXT, text[place : place + 1], fin=False))
        writer.write(masked(Opcode.CONT, b""))
        assert json.loads((await read_frame(reader))[1])["id"] == "é€😀"
        writer.close()


async def test_random_bytes_never_hurt_the_server() -> None:
    random = Random(7)
    async with fake_server() as server:
        for _ in range(50):
            reader, writer = await handshake(server)
            writer.write(random.randbytes(500))
            writer.write_eof()
            await reader.read()
            writer.close()
        await server.left_alone()
        async with server.connect() as client:
            assert (await receive(client))["type"] == "connected"


async def test_only_the_one_path_is_a_websocket() -> None:
    async with fake_server() as server:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{server.port}/elsewhere")
        assert refused.value.response.status_code == 404
        assert json.loads(refused.value.response.body)["title"] == "Not Found"


async def test_http_and_websocket_share_the_port() -> None:
    async with (
        fake_server() as server,
        server.connect(),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=GIVE_UP_AFTER) as http,
    ):
        assert (await http.get("/health")).json() == {"status": "ok"}
        plain = await http.get("/realtime")
        assert (plain.status_code, plain.headers["content-type"]) == (426, "application/problem+json")
        missing = await http.get("/nothing")
        assert (missing.status_code, missing.json()["title"]) == (404, "Not Found")
        assert [each.json()["code"] for each in (plain, missing)] == ["RT_007", "RT_004"]
        assert plain.json().keys() == missing.json().keys() == {"type", "title", "status", "detail", "code"}
