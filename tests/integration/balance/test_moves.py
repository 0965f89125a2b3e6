"""A node that joins gets its part of the clients, by the rule or by an order, and they miss nothing."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest
from bunbase import Channel

from tests.integration.balance.balanced import World, world
from tests.support.clients.list_client import read, write
from tests.support.postgres.sql import until
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER

CLIENTS = 40
MEASURED = "select cpu is not null, loop_lag is not null, feed_lag is not null, capacity > 0 from realtime.stat_nodes"


async def publish(channels: list[Channel], end: asyncio.Event) -> int:
    """Numbers, from one client after the other, until that is set; returns how many."""
    sent = 0
    while not end.is_set():
        await channels[sent % len(channels)].send("sent", sent)
        sent += 1
        await asyncio.sleep(0.05)
    return sent


def spread(made: World) -> bool:
    found = made.counts()
    return len(found) == 2 and sum(found.values()) == CLIENTS and max(found.values()) <= 0.6 * CLIENTS


@pytest.mark.long
async def test_a_node_that_joins_gets_its_part_and_nothing_is_lost_or_doubled(database: str) -> None:
    async with world(database, balance_share=1) as made:
        await made.node()
        channels = await made.join(CLIENTS)
        end = asyncio.Event()
        publishing = asyncio.create_task(publish(channels, end))
        await made.node()
        await until(lambda: spread(made))
        end.set()
        sent = await publishing
        await until(lambda: all(len(each) >= sent for each in made.received))
        assert all(each == list(range(sent)) for each in made.received)
        moves = read(database, "select automatic, asked from realtime.moves")
        assert all(automatic for automatic, _ in moves)
        assert 16 <= sum(asked for _, asked in moves) <= 24


@pytest.mark.long
async def test_an_order_moves_a_share_of_the_clients(database: str) -> None:
    async with world(database) as made:
        first, server = await made.node()
        await made.join(10)
        second, other = await made.node()
        async with httpx.AsyncClient(base_url=other.url, timeout=GIVE_UP_AFTER) as http:
            answer = await http.post(f"/realtime/nodes/{first}/move", json={"share": 0.3, "seconds": 0})
            assert answer.status_code == 202, answer.text
            await until(lambda: made.counts() == {first: 7, second: 3})
            assert (await http.post("/realtime/nodes/none/move", json={"share": 0.3})).status_code == 404
            assert (await http.post(f"/realtime/nodes/{first}/move", json={"share": 0})).status_code == 400
            await until(lambda: read(database, MEASURED) == [(True, True, True, True)] * 2)
            counted = (await http.get(f"{server.url}/metrics")).text
            assert re.search(r"^realtime_moves_total(\{.*\})? 3(\.0)?$", counted, re.MULTILINE)
            nodes = {each["node"]: each for each in (await http.get("/realtime/nodes")).json()["nodes"]}
        for name, count, process in ((first, 7, server), (second, 3, other)):
            shown = nodes[name]
            assert (shown["connections"], shown["ready"], shown["region"]) == (count, True, "north")
            assert shown["url"].endswith(f":{process.port}")
        order = ("nodes", "move", first, "--share", "0.5", "--seconds", "0", "--dsn", database)
        done = await asyncio.to_thread(realtime, *order)
        assert done.returncode == 0, done.stderr
        await until(lambda: made.counts() == {first: 3, second: 7})
        assert read(database, "select share, asked from realtime.moves order by id") == [(0.3, 3), (0.5, 4)]
        write(database, f"select realtime.move_clients('{second}', 1, 0)")
        await until(lambda: len(read(database, "select from realtime.moves where asked is not null")) == 3)
        wrong = await asyncio.to_thread(realtime, "nodes", "move", "none", "--dsn", database)
        assert (wrong.returncode, "no running node" in wrong.stderr) == (1, True)
        listed = await asyncio.to_thread(realtime, "nodes", "list", "--dsn", database)
        assert first in listed.stdout
