"""Nodes that are started one after the other behind a load balancer, and clients of a channel that keep what they get."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from bunbase import Channel, Realtime

from tests.support.clients.list_client import read, slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving

__all__ = ["World", "world"]


class FewestFirst:
    """A load balancer: each connection goes to the node that has the fewest."""

    def __init__(self) -> None:
        self.ports: dict[int, int] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = min(self.ports, key=self.ports.__getitem__)
        self.ports[port] += 1
        try:
            with contextlib.suppress(OSError):
                node = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_copy(reader, node[1]), _copy(node[0], writer))
        finally:
            self.ports[port] -= 1
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


class World:
    """See the module. ``received``: of each client."""

    def __init__(self, dsn: str, nodes: AsyncExitStack, clients: AsyncExitStack, config: dict[str, Any]) -> None:
        self.dsn, self._nodes, self._clients, self._config = dsn, nodes, clients, config
        self.balancer = FewestFirst()
        self.port = free_port()
        self.received: list[list[int]] = []

    async def node(self) -> tuple[str, ServerProcess]:
        """A node more: its name; clients come to it from now on."""
        slot, port = slot_name(), free_port()
        options = {"slot_name": slot, "ephemeral": True, "node_region": "north", **self._config}
        server = await self._nodes.enter_async_context(serving(self.dsn, port, **options))
        self.balancer.ports[port] = 0
        return slot, server

    async def join(self, count: int) -> list[Channel]:
        """Clients of the SDK: their subscribed channels."""
        channels = []
        for _ in range(count):
            client = Realtime(f"http://127.0.0.1:{self.port}", transports=("websocket",))
            channel = (await self._clients.enter_async_context(client)).channel("chat:1")
            seen: list[int] = []
            self.received.append(seen)
            channel.on("sent", lambda message, seen=seen: seen.append(message.data))
            await channel.subscribe()
            channels.append(channel)
        return channels

    def counts(self) -> dict[str, int]:
        """The clients of each node, by its name."""
        return dict(read(self.dsn, "select node, connections from realtime.stat_nodes"))


@asynccontextmanager
async def world(dsn: str, **config: Any) -> AsyncIterator[World]:
    """See the module; ``config``: settings of the nodes."""
    async with asyncio.timeout(3 * GIVE_UP_AFTER), AsyncExitStack() as nodes, AsyncExitStack() as clients:
        made = World(dsn, nodes, clients, config)
        await nodes.enter_async_context(await asyncio.start_server(made.balancer.serve, "127.0.0.1", made.port))
        yield made
