"""What a message costs the server per subscriber of its channel, beside a bare picows server that writes the same bytes.

One channel with ``--subscribers``, a message each 1 / ``--rate`` seconds. The server of this tree, that of another tree (if
``--other`` names its folder), and the relay (``tests.bench.parts.relay``) have clients, and the former a database, of their
own. They take turns in short rounds, so a noisy machine disturbs all alike. *CPU* is the processor time of all threads of
the server per delivery: the median of the rounds; the times are from the publish to the receipt: *first* of the first
subscriber of a message. Run with ``python -m tests.bench.costs.bench_fanout``.
"""

from __future__ import annotations

import argparse
import statistics
from contextlib import AsyncExitStack
from pathlib import Path

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

_CONFIG = {"max_connections_per_ip": "100000", "max_connection_rate": "1000000"}


class Side:
    """One server and its clients. ``rounds``: what each brought, with ``cpu`` in microseconds per delivery."""

    def __init__(self, name: str, pid: int, load: Child) -> None:
        self.name = name
        self.rounds: list[dict[str, float]] = []
        self._pid = pid
        self._load = load

    async def round(self, messages: int) -> None:
        """Publish so many messages; returns when all clients have all of them."""
        before = ran(self._pid)
        self._load.send(messages)
        seen = await self._load.receive()
        self.rounds.append(seen | {"cpu": (ran(self._pid) - before) / seen["deliveries"] / 1000})

    def median(self, what: str) -> float:
        """Of all rounds."""
        return statistics.median(each[what] for each in self.rounds)


async def compare(postgres: LocalPostgres, trees: dict[str, Path], plan: argparse.Namespace) -> list[dict[str, object]]:
    """A row for each side."""
    async with AsyncExitStack() as stack:
        servers: list[tuple[str, str, int]] = []
        for number, (name, tree) in enumerate(trees.items()):
            server = await serve_tree(fresh_database(postgres, migrated=False), tree, number, _CONFIG)
            stack.push_async_callback(server.end)
            await server.healthy()
            servers.append((name, server.websocket, server.process.pid))
        port = free_port()
        relay = await Child.start("tests.bench.parts.relay", port=port)
        stack.push_async_callback(relay.end)
        await relay.receive()
        servers.append(("bare picows", f"ws://127.0.0.1:{port}/realtime", relay.pid))
        sides = []
        for number, (name, url, pid) in enumerate(servers):
            load = await Child.start(
                "tests.bench.costs.load_fanout",
                url=url,
                channel=f"bench{number}",
                subscribers=plan.subscribers,
                rate=plan.rate,
            )
            stack.push_async_callback(load.end)
            await load.receive()
            sides.append(Side(name, pid, load))
        for number in range(1 + plan.rounds):
            for place in range(len(sides)):
                await sides[(number + place) % len(sides)].round(plan.messages)
            if not number:
                for side in sides:
                    side.rounds.clear()
    bare = sides[-1].median("cpu")
    return [
        {
            "subscribers": plan.subscribers,
            "server": side.name,
            "CPU µs": side.median("cpu"),
            "of bare": side.median("cpu") / bare,
            **{f"{what} ms": side.median(what) for what in ("first", "p50", "p95", "p99")},
        }
        for side in sides
    ]


def main() -> None:
    """Compare, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=5_000)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--messages", type=int, default=10, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--other", type=Path, help="the folder of another version, with its own modules")
    plan = parser.parse_args()
    trees = {"server": ROOT} if plan.other is None else {"other": plan.other.resolve(), "server": ROOT}
    with local_postgres() as postgres:
        report("fanout", uvloop.run(compare(postgres, trees, plan)))


if __name__ == "__main__":
    main()
