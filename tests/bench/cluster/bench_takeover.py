"""How long a node gets nothing after the leading relay or NATS has failed: from the fault to the first row behind it.

Rows are inserted every few milliseconds, and a node's feed notes when each arrives. Each fault is done again and again to a
cluster of a PostgreSQL, NATS servers and two relays. The time is that of the first row whose insertion began after it.
Run with ``python -m tests.bench.cluster.bench_takeover``: four minutes on a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from engine.cluster.feed import ClusterFeed
from engine.cluster.settings import ClusterSettings
from engine.feed.settings import FeedSettings
from engine.transaction import Transaction
from server.cli.serving.local_nats import LocalNats
from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.postgres.sql import run_each
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, start

SLOT = "bench_takeover"
PAUSE = 0.005  # seconds between two rows
CALM = 1.0  # seconds in which rows must have come before a fault


class Arrivals:
    """The rows that are written, by the ids of their transactions, and those that a node's feed has brought."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._begun: dict[int, float] = {}
        self._since = 0.0
        self._found: asyncio.Future[float] | None = None

    async def write(self) -> None:
        """Until cancelled."""
        async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
            while True:
                began = time.monotonic()
                statement = "insert into t default values returning pg_current_xact_id()::text::bigint"
                [xid] = await (await connection.execute(statement)).fetchone() or [0]
                self._begun[xid] = began
                await asyncio.sleep(PAUSE)

    async def read(self, feed: ClusterFeed) -> None:
        """Until cancelled."""
        async for event in feed:
            if isinstance(event, Transaction):
                feed.confirm(event.end)
                self._take(event.xid)

    def _take(self, xid: int) -> None:
        began = self._begun.pop(xid, 0.0)
        if self._found is not None and not self._found.done() and began > self._since:
            self._found.set_result(time.monotonic())

    async def after(self, moment: float) -> float:
        """When the first row arrives whose insertion began after ``moment``."""
        self._since, self._found = moment, asyncio.get_running_loop().create_future()
        async with asyncio.timeout(GIVE_UP_AFTER):
            return await self._found


class Cluster:
    """Two relays and the NATS servers. ``urls``: of the latter."""

    def __init__(self, dsn: str, nats: list[LocalNats]) -> None:
        self._dsn = dsn
        self.nats = nats
        self.relays: list[ServerProcess] = []

    async def relay(self) -> None:
        """A relay more, ready."""
        urls = [each.url for each in self.nats]
        config = {"nats_url": urls, "nats_replicas": len(urls), "slot_name": SLOT, "log_format": "json"}
        relay = await start("relay", "--dsn", self._dsn, port=free_port(), config=config)
        self.relays.append(relay)
        await relay.healthy()

    async def leader(self) -> ServerProcess:
        """The relay that leads, once one does."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                for relay in self.relays:
                    with contextlib.suppress(httpx.TransportError):
                        if (await relay.health())[1]["role"] == "leader":
                            return relay
                await asyncio.sleep(0.05)

    async def end_leader(self, how: signal.Signals) -> tuple[float, Callable[[], Awaitable[None]]]:
        """Send the leading relay a signal. Returns when, and what makes up for it."""
        relay = await self.leader()
        moment = time.monotonic()
        relay.process.send_signal(how)

        async def again() -> None:
            self.relays.remove(relay)
            if how == signal.SIGSTOP:
                relay.process.send_signal(signal.SIGKILL)
            await relay.end(signal.SIGKILL)
            await self.relay()

        return moment, again

    async def kill_nats(self, *, wipe: bool) -> tuple[float, Callable[[], Awaitable[None]]]:
        """Kill all NATS servers and start them again. Returns when they accept connections again."""
        for each in self.nats:
            each.kill()
            if wipe:
                each.wipe()
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in self.nats))
        moment = time.monotonic()

        async def nothing() -> None:
            """They run."""

        return moment, nothing


FAULTS: dict[str, Callable[[Cluster], Awaitable[tuple[float, Callable[[], Awaitable[None]]]]]] = {
    "leading relay, kill -9": lambda cluster: cluster.end_leader(signal.SIGKILL),
    "leading relay, SIGSTOP": lambda cluster: cluster.end_leader(signal.SIGSTOP),
    "all NATS servers, kill -9": lambda cluster: cluster.kill_nats(wipe=False),
    "all NATS servers, kill -9 and wiped": lambda cluster: cluster.kill_nats(wipe=True),
}


def nats_servers(folder: Path, count: int) -> list[LocalNats]:
    """``count`` servers that know each other."""
    routes = [free_port() for _ in range(count)]
    known = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    names = [f"n{number}" for number in range(count)]
    more = [
        f'server_name: "{name}"\ncluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{known}] }}'
        for name, port in zip(names, routes, strict=True)
    ]
    return [LocalNats(folder / name, 0, each if count > 1 else "") for name, each in zip(names, more, strict=True)]


@asynccontextmanager
async def running(dsn: str, folder: Path, nats: int) -> AsyncIterator[tuple[Cluster, Arrivals]]:
    """Everything, with rows arriving."""
    cluster, arrivals = Cluster(dsn, nats_servers(folder, nats)), Arrivals(dsn)
    await asyncio.gather(*(asyncio.to_thread(each.start) for each in cluster.nats))
    try:
        for _ in range(2):
            await cluster.relay()
        settings = FeedSettings(slot_name=SLOT, node_id=f"n_{uuid.uuid4().hex[:8]}")
        urls = tuple(each.url for each in cluster.nats)
        async with ClusterFeed(dsn, settings, ClusterSettings(urls=urls, slot=SLOT, replicas=nats)) as feed:
            async with asyncio.timeout(GIVE_UP_AFTER):
                await feed.streaming()
            tasks = [asyncio.create_task(arrivals.write()), asyncio.create_task(arrivals.read(feed))]
            yield cluster, arrivals
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for relay in cluster.relays:
            await relay.end(signal.SIGKILL)
        for each in cluster.nats:
            each.kill()


async def measure(dsn: str, folder: Path, times: int, nats: int, faults: list[str]) -> list[dict[str, object]]:
    """One row of the report for each fault."""
    rows: list[dict[str, object]] = []
    async with running(dsn, folder, nats) as (cluster, arrivals):
        for name in faults:
            seconds = []
            for _ in range(times):
                await arrivals.after(time.monotonic() + CALM)
                moment, again = await FAULTS[name](cluster)
                seconds.append(await arrivals.after(moment) - moment)
                await again()
            rows.append({"fault": name, "NATS servers": nats, "times": times, **distribution(seconds)})
    return rows


def distribution(seconds: list[float]) -> dict[str, Any]:
    """In milliseconds."""
    tenths = statistics.quantiles(seconds, n=10, method="inclusive") if len(seconds) > 1 else seconds * 9
    values = {"least": min(seconds), "median": tenths[4], "p90": tenths[8], "longest": max(seconds)}
    return {f"{key} (ms)": round(1000 * value) for key, value in values.items()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--nats", type=int, default=3, help="NATS servers")
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=FAULTS, metavar="FAULT")
    arguments = parser.parse_args()
    with local_postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        dsn = fresh_database(postgres)
        run_each(dsn, "create table t (id int generated always as identity primary key)", "select realtime.expose('t')")
        rows = asyncio.run(measure(dsn, Path(folder), arguments.times, arguments.nats, arguments.faults))
    report("bench_takeover", rows)


if __name__ == "__main__":
    main()
