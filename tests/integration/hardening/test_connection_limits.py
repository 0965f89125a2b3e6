"""Limits of connections on several nodes behind a proxy."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import httpx
import pytest
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports import TRANSPORTS, Address
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.support.clients.list_client import read, write
from tests.support.clients.users import running_server
from tests.support.postgres.sql import until
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess

PROXIED = {"trusted_proxies": "127.0.0.1"}
# As the other nodes do when its lease has run out: the one that was started last.
REMOVE_NODE = "delete from realtime.nodes where started_at = (select max(started_at) from realtime.nodes)"


async def try_to_connect(server: ServerProcess, query: str, ip: str) -> ClientConnection | InvalidStatus:
    """A connection as through a proxy, or how it was refused."""
    try:
        return await connect(f"{server.websocket}{query}", additional_headers={"X-Forwarded-For": ip})
    except InvalidStatus as refused:
        return refused


async def refused_at_last(server: ServerProcess, query: str, ip: str) -> InvalidStatus:
    """How a client is refused once the stream has shown the connections of other nodes."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while not isinstance(answer := await try_to_connect(server, query, ip), InvalidStatus):
            await answer.close()
    return answer


async def registered(database: str, count: int) -> None:
    """Wait until so many connections have their rows."""
    await until(lambda: len(read(database, "select from realtime.connections where dropped_at is null")) == count)


async def test_connections_of_users_and_addresses_are_counted_on_all_nodes_until_a_node_dies(database: str) -> None:
    limits = PROXIED | {"max_connections_per_user": 2, "max_connections_per_ip": 3, "max_connection_rate": 10_000}
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running_server(database, **limits))
        two = await stack.enter_async_context(running_server(database, **limits))
        for server, user, ip in ((one, "ada", "192.0.2.1"), (two, "ada", "192.0.2.2"), (two, "bob", "192.0.2.2")):
            held = await try_to_connect(server, f"?user={user}", ip)
            assert isinstance(held, ClientConnection)
            stack.push_async_callback(held.close)
        await registered(database, 3)  # so that what comes now is later in the stream, and thus the one too many
        by_user = await refused_at_last(one, "?user=ada", "192.0.2.9")
        assert by_user.response.status_code == 429
        assert by_user.response.headers["Retry-After"] == "10"
        assert b'"RT_006"' in by_user.response.body
        third = await try_to_connect(one, "", "192.0.2.2")
        assert isinstance(third, ClientConnection)
        stack.push_async_callback(third.close)
        await registered(database, 4)
        by_address = await refused_at_last(one, "", "192.0.2.2")
        assert b"address 192.0.2.2 has 3 connections" in by_address.response.body
        async with httpx.AsyncClient(base_url=f"{one.url}/realtime", timeout=GIVE_UP_AFTER) as http:
            header = {"X-Forwarded-For": "192.0.2.2"}
            for answer in (await http.get("/sse", headers=header), await http.post("/poll", json={}, headers=header)):
                assert (answer.status_code, answer.json()["code"]) == (429, "RT_006")
                assert answer.headers["retry-after"] == "10"
        for name in TRANSPORTS:
            transport = TRANSPORTS[name](Address(one.url, headers={"X-Forwarded-For": "192.0.2.2"}), GIVE_UP_AFTER)
            with pytest.raises(ConnectionEndedError) as refused:
                await transport.open()
            assert refused.value.retry_after == 10
            await transport.close(leave=False)
        await two.end(signal.SIGKILL)
        write(database, REMOVE_NODE)
        async with asyncio.timeout(GIVE_UP_AFTER):  # until the stream has shown that
            while isinstance(again := await try_to_connect(one, "?user=ada", "192.0.2.2"), InvalidStatus):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        stack.push_async_callback(again.close)


async def test_an_address_that_connects_too_often_is_asked_to_wait(database: str) -> None:
    async with running_server(database, **PROXIED, max_connection_rate=1) as server:
        refused = await refused_at_last(server, "", "192.0.2.1")
        assert refused.response.status_code == 429
        assert refused.response.headers["RateLimit-Policy"] == '"connections";q=1;w=60'
        assert 0 < int(refused.response.headers["Retry-After"]) <= 60
        other = await try_to_connect(server, "", "192.0.2.2")
        assert isinstance(other, ClientConnection)
        await other.close()
