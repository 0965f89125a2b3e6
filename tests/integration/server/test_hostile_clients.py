"""A hostile client within its rate: another client's list stays right, it gets no error, and memory stays bounded."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from tests.support.clients.hostile import TABLES, HostileClient
from tests.support.clients.list_client import TOP, list_client, slot_name, write
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, serving


@pytest.mark.long
async def test_another_client_does_not_notice_a_hostile_one(table: str) -> None:
    write(table, *TABLES.split(";\n"), "insert into vault values (1, 'bars')")
    async with serving(table, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        good = await list_client(server)
        assert (await good.subscribe(TOP))["type"] == "subscribed"
        async with connect(server.websocket, max_size=None) as client:
            await client.recv()
            hostile = HostileClient(client)
            attack = asyncio.create_task(_attack(hostile))
            ids: list[str] = []
            number = 0
            while not attack.done():
                number += 1
                write(table, f"insert into messages values ({number}, 'a', 'body', {number})")
                ids = [str(number), *ids][:3]
                await good.until(ids)
                await _ping(good.client)
            await attack
        assert 0 < (await server.healthy())["cacheBytes"] <= 48 << 20
        assert hostile.answers["RT_003"] >= 4, hostile.answers  # the types, the system column, the catalog
        assert hostile.answers["RT_007"] >= 3, hostile.answers  # the function's default, regclass, the long pattern
        assert hostile.answers.keys() <= {"subscribed", "unsubscribed", "ack", "RT_003", "RT_007"}, hostile.answers
        assert not any("Traceback" in line or "bars" in line for line in server.lines)
        await good.client.close()


async def _attack(hostile: HostileClient) -> None:
    await hostile.look_behind()
    await hostile.stall_filters(10)
    await hostile.ask_a_hundred_times(2)
    await hostile.flood_plans(3)


async def _ping(client: object) -> None:
    """Ask the server, not the socket; the good client has nothing else to receive."""
    await client.send(json.dumps({"type": "ping"}))  # type: ignore[attr-defined]
    async with asyncio.timeout(GIVE_UP_AFTER):
        assert json.loads(await client.recv()) == {"type": "pong"}  # type: ignore[attr-defined]
