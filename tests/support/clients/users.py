"""Who talks over a server: clients of its WebSocket that keep what they receive, and one of its REST API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import Message, SocketClient
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving


class UserClient(SocketClient):
    """A client that keeps what it receives; a close is raised, and leaving the block is ending the connection."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__(socket, packed=False)
        self.id = ""

    async def next(self) -> Message:
        message: Message = json.loads(await self.socket.recv())
        return message


@asynccontextmanager
async def user_client(server: ServerProcess, user: str) -> AsyncIterator[UserClient]:
    async with connect(f"{server.websocket}?user={user}", max_size=None) as socket:
        client = UserClient(socket)
        client.id = (await client.receive("connected"))["connectionId"]
        yield client


@asynccontextmanager
async def running_server(dsn: str, **config: object) -> AsyncIterator[ServerProcess]:
    port = free_port()
    async with (
        asyncio.timeout(4 * GIVE_UP_AFTER),
        serving(dsn, port, slot_name=slot_name(), trust_user_parameter="true", **config) as server,
    ):
        yield server


@asynccontextmanager
async def rest_client(server: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the server over HTTP, at ``/realtime``."""
    async with httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
        yield http


@asynccontextmanager
async def two_users(dsn: str, **config: object) -> AsyncIterator[tuple[UserClient, UserClient, httpx.AsyncClient]]:
    """Ada, Bob and the REST API of one server."""
    async with (
        running_server(dsn, **config) as server,
        user_client(server, "ada") as ada,
        user_client(server, "bob") as bob,
        rest_client(server) as http,
    ):
        yield ada, bob, http
