"""What a published message costs the server's processor, beside servers that do less.

10 WebSocket clients publish 10,000 messages a second into one channel with ``--subscribers``. In turns, in short rounds: the
server of this tree, that of other trees (``--other`` names their folders), the floor (``tests.bench.costs.floor_publish``:
the same steps through the same PostgreSQL, with nothing of ours between them) and bare picows (``tests.bench.parts.relay``:
no database). Each has clients and a database of its own. *CPU* is the processor time of all threads of the server per
message: the median of the rounds, and their lower quarter. Run with ``python -m tests.bench.costs.bench_publish``.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from server.bench.load.child import Child
from server.bench.load.usage import ran
from server.cli.local_postgres import LocalPostgres
from tests.bench.costs.tree_server import serve_tree
from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import ROOT

CHANNEL = "bench"
_CONFIG = {"max_message_rate": "1000000"}


class Side:
    """One server. ``rounds``: what each brought, ``cpu`` in microseconds per message."""

    def __init__(self, name: str, url: str, pid: int) -> None:
        self.name = name
        self.rounds: list[dict[str, float]] = []
        self._url = url
        self._pid = pid
        self._load: Child | None = None

    async def begin(self, plan: argparse.Namespace, subscribers: int) -> None:
        """Clients come."""
        self.rounds.clear()
        self._load = await Child.start(
            "tests.bench.costs.load_publish",
            url=self._url,
            channel=CHANNEL,
            subscribers=subscribers,
            publishers=plan.publishers,
            rate=plan.rate,
        )
        await self._load.receive()

    async def round(self, seconds: float) -> None:
        """They publish for this many seconds."""
        assert self._load is not None
        before = ran(self._pid)
        self._load.send(seconds)
        seen: dict[str, Any] = await self._load.receive()
        spent = ran(self._pid) - before
        if seen["problems"] or seen["errors"] or seen["missing"] or not seen["same"]:
            raise SystemExit(f"{self.name}: {seen}")
        self.rounds.append({**seen, "cpu": spent / seen["messages"] / 1000})

    async def end(self) -> None:
        """Clients go."""
        assert self._load is not None
        await self._load.end()

    def quarter(self, what: str, number: int) -> float:
        """The ``number``-th quartile of all rounds but the first."""
        return statistics.quantiles([each[what] for each in self.rounds[1:]], n=4)[number - 1]


async def _sides(postgres: LocalPostgres, plan: argparse.Namespace, stack: AsyncExitStack) -> list[Side]:
    sides: list[Side] = []
    for number, tree in enumerate([*plan.other, ROOT]):
        server = await serve_tree(fresh_database(postgres, migrated=False), tree.resolve(), number, _CONFIG)
        stack.push_async_callback(server.end)
        await server.healthy()
        sides.append(Side("server" if tree is ROOT else tree.name, server.websocket, server.process.pid))
    if plan.alone:
        return sides
    floor = {"dsn": fresh_database(postgres)}
    for name, module, more in (
        ("floor", "tests.bench.costs.floor_publish", floor),
        ("bare picows", "tests.bench.parts.relay", {}),
    ):
        port = free_port()
        child = await Child.start(module, port=port, **more)
        stack.push_async_callback(child.end)
        await child.receive()
        sides.append(Side(name, f"ws://127.0.0.1:{port}/realtime", child.pid))
    return sides


async def compare(postgres: LocalPostgres, plan: argparse.Namespace) -> list[dict[str, object]]:
    """A row for each number of subscribers and side."""
    rows: list[dict[str, object]] = []
    async with AsyncExitStack() as stack:
        sides = await _sides(postgres, plan, stack)
        for subscribers in plan.subscribers:
            for side in sides:
                await side.begin(plan, subscribers)
            for number in range(1 + plan.rounds):
                for place in range(len(sides)):
                    await sides[(number + place) % len(sides)].round(plan.seconds)
            for side in sides:
                await side.end()
            rows += [
                {
                    "subscribers": subscribers,
                    "server": side.name,
                    "CPU µs": side.quarter("cpu", 2),
                    "lower quarter": side.quarter("cpu", 1),
                    "p50 ms": side.quarter("p50", 2),
                    "p95 ms": side.quarter("p95", 2),
                }
                for side in sides
            ]
    return rows


def main() -> None:
    """Compare, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--publishers", type=int, default=10)
    parser.add_argument("--rate", type=float, default=10_000, help="messages a second of all publishers")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--alone", action="store_true", help="without the floor and picows")
    parser.add_argument("--other", type=Path, nargs="*", default=[], help="folders of other versions")
    plan = parser.parse_args()
    with local_postgres() as postgres:
        report("publish", uvloop.run(compare(postgres, plan)))


if __name__ == "__main__":
    main()
