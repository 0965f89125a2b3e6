"""Limits of connections on nodes that share a relay's slot: they see each other's connections in what NATS brings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest_asyncio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from engine.errors import ErrorCode
from server.cli.serving.local_nats import LocalNats
from server.protocol.close_codes import CloseCode
from tests.integration.hardening.test_connection_limits import PROXIED, refused_at_last, registered, try_to_connect
from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving, start

LIMIT = 2
NEW = 40
"""Connections that one user asks for at the same moment, half of them at each node."""


@pytest_asyncio.fixture
async def nodes(database: str, tmp_path: Path) -> AsyncIterator[tuple[ServerProcess, ServerProcess]]:
    """Two, with a relay and a NATS server."""
    nats = LocalNats(tmp_path / "nats", free_port())
    await asyncio.to_thread(nats.start)
    config: dict[str, Any] = {"slot_name": slot_name(), "nats_url": nats.url}
    limits = {"max_connections_per_user": LIMIT, "max_connections_per_ip": 1000, "max_connection_rate": 10_000}
    served = config | PROXIED | limits | {"trust_user_parameter": "true"}
    relay = await start("relay", "--dsn", database, port=free_port(), config=config)
    try:
        await relay.healthy()
        async with serving(database, free_port(), **served) as one, serving(database, free_port(), **served) as two:
            yield one, two
    finally:
        await relay.end()
        await asyncio.to_thread(nats.kill)


async def test_connections_of_a_user_count_at_the_other_node(
    database: str, nodes: tuple[ServerProcess, ServerProcess]
) -> None:
    async with asyncio.timeout(4 * GIVE_UP_AFTER), AsyncExitStack() as stack:
        for number, node in enumerate(nodes):
            held = await try_to_connect(node, "?user=ada", f"192.0.2.{number}")
            assert isinstance(held, ClientConnection)
            stack.push_async_callback(held.close)
        await registered(database, len(nodes))
        for node in nodes:
            refused = await refused_at_last(node, "?user=ada", "192.0.2.9")
            assert refused.response.status_code == 429
            assert f'"{ErrorCode.RATE_LIMITED}"'.encode() in refused.response.body
            other = await try_to_connect(node, "?user=bob", "192.0.2.9")
            assert isinstance(other, ClientConnection), "the limit is of each user"
            await other.close()


async def test_of_connections_that_two_nodes_admit_at_once_no_more_than_the_limit_stay(
    nodes: tuple[ServerProcess, ServerProcess],
) -> None:
    async with asyncio.timeout(4 * GIVE_UP_AFTER), AsyncExitStack() as stack:
        asked = (try_to_connect(nodes[n % 2], "?user=ada", f"198.51.100.{n}") for n in range(NEW))
        admitted = [each for each in await asyncio.gather(*asked) if isinstance(each, ClientConnection)]
        for each in admitted:
            stack.push_async_callback(each.close)
        kept, closed = dict(zip(map(asyncio.create_task, map(code_of, admitted)), admitted, strict=True)), set[int]()
        while len(kept) > LIMIT:
            done, _ = await asyncio.wait(kept, return_when=asyncio.FIRST_COMPLETED)
            closed |= {each.result() for each in done}
            kept = {task: each for task, each in kept.items() if task not in done}
        assert len(kept) == LIMIT
        assert closed <= {CloseCode.POLICY_VIOLATION}
        for task, each in kept.items():
            await (await each.ping())
            assert not task.done(), "both nodes have closed theirs"
            task.cancel()


async def code_of(connection: ClientConnection) -> int:
    """Why the server has closed it, once it has."""
    try:
        while True:
            await connection.recv()
    except ConnectionClosed as closed:
        return 0 if closed.rcvd is None else closed.rcvd.code
