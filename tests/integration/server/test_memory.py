"""What a burst of large requests took is given back to the system after they have ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
from functools import partial
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from engine.tasks import end
from server.app.memory import give_back, resident
from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving

CONNECTIONS = 4
CHANNEL = "db:collection:messages"
LARGE = 90_000


async def test_freed_memory_between_pieces_in_use_is_given_back_and_looked_for_again_while_it_grows() -> None:
    kept: list[bytes] = []
    giving = asyncio.create_task(give_back(0.05, 3600.0))
    try:
        for _ in range(3):
            burst = []
            for _ in range(1_000):
                burst.append(bytes(LARGE))
                kept.append(bytes(1_000))  # of glibc, too: Python's own allocator takes up to 512 bytes
            most = resident()
            burst.clear()
            async with asyncio.timeout(4 * GIVE_UP_AFTER):
                while resident() > most - LARGE * 500:  # noqa: ASYNC110 - the system is waited for
                    await asyncio.sleep(0.05)
    finally:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await end([giving])
    assert len(kept) == 3_000


def _resident(server: ServerProcess) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])


async def _flood(client: ClientConnection, number: int) -> None:
    """As many large queries at once as a connection may have, each another."""
    await client.recv()
    for each in range(100):
        where = [["body", "==", f"{number}-{each:03}" + "x" * LARGE]]
        query = (
            {"where": where}
            if each % 2
            else {"sql": "select id from messages where body = $1", "params": [where[0][2]]}
        )
        await client.send(json.dumps({"type": "subscribe", "channel": CHANNEL, "id": str(each), "query": query}))
    for _ in range(100):
        while json.loads(await client.recv())["type"] != "subscribed":
            pass


@pytest.mark.long
async def test_a_server_is_as_large_as_before_after_floods_of_large_queries(table: str) -> None:
    async with serving(table, free_port(), slot_name=slot_name(), ephemeral=True, max_message_rate=1e6) as server:
        before = _resident(server)
        async with asyncio.timeout(7 * GIVE_UP_AFTER), contextlib.AsyncExitStack() as stack:
            dial = partial(
                connect, server.websocket, ping_interval=None
            )  # nothing is read from a client that is held back
            clients = [await stack.enter_async_context(dial()) for _ in range(CONNECTIONS)]
            await asyncio.gather(*(_flood(client, number) for number, client in enumerate(clients)))
        assert _resident(server) > 1.5 * before, "the flood cost it something"
        async with asyncio.timeout(4 * GIVE_UP_AFTER):
            while _resident(server) > 1.5 * before:  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(0.1)
