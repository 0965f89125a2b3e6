"""A client of the whole service that keeps its list as the protocol requires, and the table it looks at."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import psycopg
from websockets.asyncio.client import ClientConnection, connect

from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess

TABLE = """
create table messages (id int primary key, room text not null, body text, likes int not null default 0);
select realtime.expose('messages', camel_case => true)
"""
TOP = {"where": [["room", "==", "a"]], "orderBy": [["likes", "desc"]], "limit": 3}


def slot_name() -> str:
    return f"t_{uuid.uuid4().hex[:12]}"


def write(dsn: str, *statements: str) -> None:
    """Run all of it in one transaction."""
    with psycopg.connect(dsn) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def read(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(statement.encode()).fetchall()


class ListClient:
    """A client that keeps the list of one subscription as the protocol requires."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.list: list[tuple[str, dict[str, Any]]] = []
        self.events: list[dict[str, Any]] = []

    async def subscribe(self, query: dict[str, Any], id: str = "q") -> dict[str, Any]:
        message = {"type": "subscribe", "channel": "db:collection:messages", "id": id, "query": query}
        await self.client.send(json.dumps(message))
        answer = await self.receive()
        if answer["type"] == "subscribed":
            await self.event()
        return answer

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(GIVE_UP_AFTER):
            message: dict[str, Any] = json.loads(await self.client.recv())
        return message

    async def event(self) -> None:
        """Take the next event and apply it."""
        while (event := await self.receive())["type"] == "gap":
            pass  # of messages, which it does not follow
        assert event["type"] == "snapshot", event
        self.events.append(event)
        if event["reset"]:
            self.list.clear()
        for change in event["changes"]:
            if change["type"] != "added":
                assert self.list.pop(change["oldIndex"])[0] == change["doc"]["id"]
            if change["type"] != "removed":
                self.list.insert(change["newIndex"], (change["doc"]["id"], change["doc"]["data"]))

    async def until(self, ids: list[str]) -> None:
        """Take events until the list has these rows."""
        while [id for id, _ in self.list] != ids:
            await self.event()

    @property
    def ids(self) -> list[str]:
        return [id for id, _ in self.list]


async def list_client(server: ServerProcess, **options: Any) -> ListClient:
    client = await connect(server.websocket, **options)
    target = ListClient(client)
    greeting = await target.receive()
    assert greeting["type"] == "connected"
    assert greeting["connectionId"]
    return target
