"""A client whose address is not allowed reaches nothing but the health of the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from ipaddress import IPv4Address

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.support.clients.list_client import read, slot_name
from tests.support.ports import free_port
from tests.support.postgres.sql import until
from tests.support.servers.processes import GIVE_UP_AFTER, serving

ALLOWED, DENIED = "127.0.0.3", "127.0.0.2"


def client_from(address: str, url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url, timeout=GIVE_UP_AFTER, transport=httpx.AsyncHTTPTransport(local_address=address)
    )


async def test_a_denied_address_gets_403_over_every_transport_and_is_counted(database: str) -> None:
    lists = {"allowed_ips": ["127.0.0.0/8"], "denied_ips": [DENIED]}
    async with (
        serving(database, free_port(), slot_name=slot_name(), ephemeral=True, **lists) as server,
        asyncio.timeout(2 * GIVE_UP_AFTER),
        client_from(DENIED, server.url) as denied,
        client_from(ALLOWED, server.url) as allowed,
    ):
        refused = (
            await denied.get("/realtime/sse"),
            await denied.post("/realtime/poll", json={}),
            await denied.get("/realtime/channels"),
            await denied.get("/realtime"),
        )
        for answer in refused:
            assert answer.status_code == 403
            assert answer.json()["detail"] == "this server accepts no connections from your address"
            assert answer.headers["x-content-type-options"] == "nosniff"
        with pytest.raises(InvalidStatus) as rejected:
            async with connect(server.websocket, local_addr=(DENIED, 0)):
                pass
        assert rejected.value.response.status_code == 403
        health = (await denied.get("/health")).json()
        assert health["refusedAddresses"] == 5
        assert (await allowed.post("/realtime/poll", json={})).status_code == 200
        async with connect(server.websocket, local_addr=(ALLOWED, 0)) as client:
            assert b"connected" in (await client.recv(decode=False))


PROXY = "127.0.0.9"
BEHIND: dict[str, Callable[[str], bytes]] = {
    "version 1": lambda client: f"PROXY TCP4 {client} 198.51.100.1 4711 443\r\n".encode(),
    "version 2": lambda client: (
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + IPv4Address(client).packed + bytes((198, 51, 100, 1, 0, 7, 1, 187))
    ),
}


def through_proxy(port: int, header: bytes) -> socket.socket:
    """A connection from the proxy, with the header sent."""
    opened = socket.create_connection(("127.0.0.1", port), GIVE_UP_AFTER, source_address=(PROXY, 0))
    opened.sendall(header)
    return opened


CLAIM = "X-Forwarded-For: 192.0.2.1\r\n"


def answer_to(port: int, header: bytes, path: str, claim: str = CLAIM) -> bytes:
    """The answer to a request, which claims another address besides."""
    with through_proxy(port, header) as opened:
        opened.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{claim}Connection: close\r\n\r\n".encode())
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: opened.recv(65536), b""))
    return b""


async def test_the_proxy_protocol_gives_the_address_of_the_client_and_only_a_proxy_speaks_it(database: str) -> None:
    options = {"trusted_proxies": [PROXY], "proxy_protocol": True, "denied_ips": ["192.0.2.66"]}
    async with (
        serving(database, free_port(), slot_name=slot_name(), ephemeral=True, **options) as server,
        asyncio.timeout(2 * GIVE_UP_AFTER),
    ):
        for header in BEHIND.values():
            denied, let_in = header("192.0.2.66"), header("192.0.2.7")
            answers = [
                await asyncio.to_thread(answer_to, server.port, each, "/realtime/openapi.json")
                for each in (denied, let_in)
            ]
            assert [answer.split(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 403 Forbidden", b"HTTP/1.1 200 OK"]
            with pytest.raises(InvalidStatus):
                await connect(server.websocket, sock=through_proxy(server.port, denied))
            async with connect(server.websocket, sock=through_proxy(server.port, let_in)) as client:
                assert b"connected" in (await client.recv(decode=False))
                [(shown,)] = await connections_of(database)
                assert shown == "192.0.2.7"
        assert await asyncio.to_thread(answer_to, server.port, b"", "/health") == b""  # without a header: disconnected
        await until(lambda: any("proxy_header_invalid" in line for line in server.lines))
        async with client_from(ALLOWED, server.url) as direct:  # not a proxy, so no header is expected
            assert (await direct.get("/health")).status_code == 200
        assert b"HTTP/1.1 4" in await asyncio.to_thread(from_elsewhere, server.port, BEHIND["version 1"]("192.0.2.7"))


UNKNOWN = (
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",  # LOCAL
    BEHIND["version 1"]("127.0.0.1"),
)


async def test_what_a_proxy_passes_on_is_no_request_of_this_machine_whoever_sent_it(database: str) -> None:
    options = {"trusted_proxies": [PROXY], "proxy_protocol": True}
    async with (
        serving(database, free_port(), slot_name=slot_name(), ephemeral=True, **options) as server,
        asyncio.timeout(2 * GIVE_UP_AFTER),
    ):
        for header in UNKNOWN:
            answer = await asyncio.to_thread(answer_to, server.port, header, "/realtime/channels", "")
            assert answer.startswith(b"HTTP/1.1 403"), header
            assert b"the request came through a proxy" in answer
            async with connect(f"{server.websocket}?watch=on", sock=through_proxy(server.port, header)) as client:
                assert await watching(client) == "error"
        async with client_from(ALLOWED, server.url) as direct:
            assert (await direct.get("/realtime/channels")).status_code == 200
        async with connect(f"{server.websocket}?watch=on", local_addr=(ALLOWED, 0)) as client:
            assert await watching(client) == "subscribed"


async def watching(client: ClientConnection) -> str:
    """The answer to a subscription that operators alone may have."""
    await client.send('{"type": "subscribe", "channel": "db:collection:realtime.connections"}')
    assert json.loads(await client.recv())["type"] == "connected"
    return str(json.loads(await client.recv())["type"])


def from_elsewhere(port: int, header: bytes) -> bytes:
    """The answer to a client that claims to be a proxy."""
    with socket.create_connection(("127.0.0.1", port), GIVE_UP_AFTER, source_address=(DENIED, 0)) as opened:
        opened.sendall(header + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        return opened.recv(65536)


async def connections_of(database: str) -> list[tuple[object, ...]]:
    """The addresses of the open connections, once there are any."""
    statement = "select host(ip) from realtime.connections where dropped_at is null"
    await until(lambda: bool(read(database, statement)))
    return read(database, statement)
