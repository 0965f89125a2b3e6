"""What a region is away: times of clients of a node in another region, beside those of a node in the primary region.

Between the regions every byte takes ``--delay`` (80 ms) one way, in the leaf node's connection of NATS and in those of the
region's node to PostgreSQL. The NATS servers run with what ``realtime nats-config`` writes. Both nodes do the same in turn;
medians, in milliseconds, and *ways*: the difference by the delay, or how often a region waits for the other. *crossed* is
messages over the leaf node's connection for each commit, with one subscriber in the region and with ``--subscribers`` more.
Run with ``python -m tests.bench.cluster.bench_regions``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import uvloop

from tests.bench.cluster.ground import servers
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.clients.transports import TransportClient, transport_client
from tests.support.ports import free_port
from tests.support.servers.link import Link
from tests.support.servers.processes import start
from tests.support.servers.region_servers import RegionServers, regions

_SLOT = "bench_regions"
_LIMITS = {"max_connections_per_ip": "100000", "max_connection_rate": "1000000", "max_message_rate": "10000"}


class NodeClient:
    """A node with a client. ``number``: of its channel and its row; ``times``: of each thing that was done, in seconds."""

    def __init__(self, number: int, client: TransportClient, sql: psycopg.AsyncConnection[tuple[str]]) -> None:
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


@asynccontextmanager
async def node(dsn: str, config: Mapping[str, object]) -> AsyncIterator[str]:
    """Its address."""
    process = await start("serve", "--dsn", dsn, port=free_port(), config={**config, **_LIMITS}, preloaded=False)
    try:
        await process.healthy()
        yield process.url
    finally:
        await process.end()


async def crossed(made: RegionServers, commits: int, commit: Callable[[], Awaitable[object]]) -> float:
    """Messages over the leaf node's connection for each commit, in both directions, signs of life included."""
    before = made.primary.crossed()
    for _ in range(commits):
        await commit()
    await asyncio.sleep(1)
    return (sum(made.primary.crossed()) - sum(before)) / commits


async def measure(plan: argparse.Namespace) -> list[list[dict[str, object]]]:
    """Both tables."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        postgres, _ = stack.enter_context(servers())
        dsn = fresh_database(postgres)
        sql = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        stack.push_async_callback(sql.close)
        await sql.execute("create table items (id int primary key, n int)")
        await sql.execute("insert into items select i, 0 from generate_series(1, 10000) i")
        await sql.execute("select realtime.expose('items')")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made = await enter(regions(folder, _SLOT, plan.delay))
        far = await enter(Link("127.0.0.1", postgres.port, plan.delay))
        relay = await start(
            "relay", "--dsn", dsn, port=free_port(), config=made.primary.settings("relay"), preloaded=False
        )
        stack.push_async_callback(relay.end)
        await relay.healthy()
        places, urls = [], []
        for number, (side, through) in enumerate(((made.primary, postgres.port), (made.region, far.port)), 1):
            config = {**side.settings("node"), "node_name": f"bench_{number}"}
            urls.append(await enter(node(dsn.replace(str(postgres.port), str(through)), config)))
            places.append(NodeClient(number, await enter(transport_client(urls[-1], "websocket")), sql))
            await places[-1].join()
        for turn in range(plan.turns):
            for each in places if turn % 2 else reversed(places):
                await each.turn(2 * turn + each.number)
        crossings: list[dict[str, object]] = []
        for more in (0, plan.subscribers):
            for _ in range(more):
                await (await enter(transport_client(urls[1], "websocket"))).join("room2")
            count = await crossed(
                made, plan.commits, lambda: sql.execute("select realtime.broadcast('room2', 'e', '1')")
            )
            crossings.append({"subscribers": 1 + more, "commits": plan.commits, "crossed": count})
        return [[_row(what, plan.delay, *(each.times[what] for each in places)) for what in places[0].times], crossings]


def _row(what: str, delay: float, here: list[float], there: list[float]) -> dict[str, object]:
    near, away = (statistics.median(each) * 1000 for each in (here, there))
    return {"what": what, "primary ms": near, "region ms": away, "ways": (away - near) / delay / 1000}


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.08, help="seconds, one way")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--commits", type=int, default=200)
    parser.add_argument("--subscribers", type=int, default=200)
    plan = parser.parse_args()
    times, crossings = uvloop.run(measure(plan))
    report("region_times", times)
    report("region_crossings", crossings)


if __name__ == "__main__":
    main()
