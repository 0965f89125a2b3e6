"""What a region is away: times of clients of a node in another region, beside those of a node in the primary region.

Between the regions everything takes ``--delay`` (80 ms) one way: in the leaf node's connection of NATS and in those of the
region's node to PostgreSQL. With ``--namespaces`` (root on Linux) each region is a network namespace, with its clients in
it, and a switch delays and counts the packets between them; else proxies do it over loopback. The NATS servers run with
what ``realtime nats-config`` writes.

Both nodes do the same in turn; milliseconds, and *ways*: the difference of the medians by the delay, or how often a region
waits for the other. *crossings* are what passes between the regions for each commit, to subscribers in the region, and in
rows with 0 commits what passes in the time of one; *back* is from the region. The times of deliveries are those of all
subscribers, which are clients in Python in this one process.
Run with ``python -m tests.bench.cluster.bench_regions``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import uvloop
from websockets.asyncio.client import connect

from tests.bench.cluster.region_ground import OTHER, PRIMARY, Regions, regions_apart, server
from tests.bench.parts.report import report
from tests.cluster.namespaces.namespaces import own_network
from tests.conftest import fresh_database
from tests.support.clients.transports import SocketClient
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess

_SLOT = "bench_regions"


class NodeClient:
    """A node with a client. ``number``: of its channel and its row; ``times``: of each thing that was done, in seconds."""

    def __init__(self, number: int, client: SocketClient, sql: psycopg.AsyncConnection[tuple[str]]) -> None:
        self.number = number
        self.times: dict[str, list[float]] = {}
        self._client = client
        self._sql = sql

    async def join(self) -> None:
        """What it is subscribed to all the time."""
        await self._client.join(f"room{self.number}")
        await self._open("held", self.number)

    async def turn(self, number: int) -> None:
        """Everything once."""
        await self._sql.execute("select realtime.broadcast(%s, 'sent', '1')", [f"room{self.number}"])
        await self._timed("message, from its commit", self._client.receive("message"))
        await self._sql.execute("update items set n = n + 1 where id = %s", [self.number])
        await self._timed("change of a query, from its commit", self._client.receive("snapshot"))
        await self._timed("a query that is open at the node", self._open("open", self.number))
        await self._close("open")
        await self._timed("a new query", self._open("new", 10 + number))
        await self._close("new")
        await self._timed(
            "publish, until its answer", self._client.ask(type="message", channel="own", event="e", data=1)
        )

    async def _timed(self, what: str, act: Awaitable[object]) -> None:
        began = time.perf_counter()
        await act
        self.times.setdefault(what, []).append(time.perf_counter() - began)

    async def _open(self, name: str, item: int) -> None:
        query = {"where": [["id", "==", item]]}
        answer = await self._client.join("db:collection:items", id=name, query=query)
        assert answer["type"] == "subscribed", answer
        await self._client.receive("snapshot")

    async def _close(self, name: str) -> None:
        await self._client.send(type="unsubscribe", channel="db:collection:items", id=name)
        await self._client.receive("unsubscribed")


class Room:
    """Subscribers in the region of a channel whose messages are numbers."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self.count = 0
        self._sent: list[float] = []
        self._expected = -1  # of what was sent, by all subscribers
        self._all = asyncio.Event()

    async def send(self, sql: psycopg.AsyncConnection[tuple[str]], messages: int, every: float) -> None:
        """Commit so many, and wait until all subscribers have them."""
        self.took, self._sent, self._expected = [], [], -1
        self._all.clear()
        for number in range(messages):
            pause = asyncio.create_task(asyncio.sleep(every))
            self._sent.append(time.perf_counter())
            await sql.execute("select realtime.broadcast('crowd', 'e', %s::text::jsonb)", [str(number)])
            await pause
        self._expected = messages * self.count
        self._check()
        await asyncio.wait_for(self._all.wait(), GIVE_UP_AFTER)

    def _check(self) -> None:
        if len(self.took) == self._expected:
            self._all.set()

    async def listen(self, client: SocketClient) -> None:
        """One subscriber more; see :meth:`take`."""
        assert (await client.join("crowd"))["type"] == "subscribed"
        self.count += 1

    async def take(self, client: SocketClient) -> None:
        """All messages of a client that listens."""
        async for text in client.socket:
            message = json.loads(text)
            if message["type"] == "message":
                self.took.append(time.perf_counter() - self._sent[message["data"]])
                self._check()


async def entered(stack: AsyncExitStack, made: Regions, region: str, node: ServerProcess) -> SocketClient:
    """A client in the same region as its node."""
    port = urlsplit(node.url).port
    connection = made.links.inside(region, lambda: socket.create_connection(("127.0.0.1", port), timeout=10))
    connection.setblocking(False)
    opened = await connect(f"ws://127.0.0.1:{port}/realtime", sock=connection, max_size=None, proxy=None)
    stack.push_async_callback(opened.close)
    client = SocketClient(opened, packed=False)
    await client.receive("connected")
    return client


async def times(
    stack: AsyncExitStack,
    made: Regions,
    nodes: dict[str, ServerProcess],
    sql: psycopg.AsyncConnection[tuple[str]],
    turns: int,
) -> dict[str, dict[str, list[float]]]:
    """By region and by what was done."""
    places = {
        name: NodeClient(number, await entered(stack, made, name, node), sql)
        for number, (name, node) in enumerate(nodes.items(), 1)
    }
    for each in places.values():
        await each.join()
    for turn in range(turns):
        for each in list(places.values())[:: 1 if turn % 2 else -1]:
            await each.turn(2 * turn + each.number)
    return {name: each.times for name, each in places.items()}


async def crossings(
    stack: AsyncExitStack,
    made: Regions,
    node: ServerProcess,
    sql: psycopg.AsyncConnection[tuple[str]],
    plan: argparse.Namespace,
) -> list[dict[str, object]]:
    """A row for each number of subscribers."""
    room = Room()
    rows: list[dict[str, object]] = []
    tasks = []
    for subscribers in plan.subscribers:
        while (lacking := subscribers - room.count) > 0:
            clients = [await entered(stack, made, OTHER, node) for _ in range(min(lacking, 50))]
            await asyncio.gather(*map(room.listen, clients))
            tasks += [asyncio.create_task(room.take(each)) for each in clients]
        await asyncio.sleep(5)  # rows of new connections are written
        idle = await counted(made, lambda: asyncio.sleep(plan.commits * plan.every))
        crossed = await counted(made, lambda: room.send(sql, plan.commits, plan.every))
        for commits, found in ((0, idle), (plan.commits, crossed)):
            each = {name: number / plan.commits for name, number in found.items()}
            p50, p99 = _percentiles(room.took) if commits else ("", "")
            rows.append({"subscribers": subscribers, "commits": commits, **each, "p50 ms": p50, "p99 ms": p99})
    return rows


async def counted(made: Regions, act: Callable[[], Awaitable[object]]) -> dict[str, int]:
    """What crosses meanwhile."""
    before = made.crossed()
    await act()
    return {name: number - before[name] for name, number in made.crossed().items()}


async def measure(plan: argparse.Namespace) -> list[list[dict[str, object]]]:
    """Both tables."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(server(folder / "pg", namespaces=plan.namespaces))
        dsn = fresh_database(postgres)
        sql = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        stack.push_async_callback(sql.close)
        await sql.execute("create table items (id int primary key, n int)")
        await sql.execute("insert into items select i, 0 from generate_series(1, 10000) i")
        await sql.execute("select realtime.expose('items')")
        apart = regions_apart(folder, _SLOT, dsn, postgres.port, plan.delay, namespaces=plan.namespaces)
        made = await stack.enter_async_context(apart)
        nodes: dict[str, ServerProcess] = {}
        for command, region in (("relay", PRIMARY), ("serve", PRIMARY), ("serve", OTHER)):
            process = await made.start(command, region, node_name=f"bench_{region}")
            stack.push_async_callback(process.end)
            if command == "serve":
                nodes[region] = process
        took = await times(stack, made, nodes, sql, plan.turns)
        crossed = await crossings(stack, made, nodes[OTHER], sql, plan)
        return [[_row(what, plan.delay, took[PRIMARY][what], took[OTHER][what]) for what in took[PRIMARY]], crossed]


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    """The median and the 99th, in milliseconds."""
    return statistics.median(seconds) * 1000, statistics.quantiles(seconds, n=100, method="inclusive")[98] * 1000


def _row(what: str, delay: float, here: list[float], there: list[float]) -> dict[str, object]:
    near, away = _percentiles(here), _percentiles(there)
    return {
        "what": what,
        "primary p50 ms": near[0],
        "primary p99 ms": near[1],
        "region p50 ms": away[0],
        "region p99 ms": away[1],
        "ways": (away[0] - near[0]) / delay / 1000,
    }


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.08, help="seconds, one way")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--commits", type=int, default=100, help="with each number of subscribers")
    parser.add_argument("--every", type=float, default=0.2, help="seconds from one to the next")
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--namespaces", action="store_true", help="each region in a network of its own (root on Linux)")
    plan = parser.parse_args()
    if plan.namespaces:
        own_network()
    took, crossed = uvloop.run(measure(plan))
    report("region_times", took)
    report("region_crossings", crossed)


if __name__ == "__main__":
    main()
