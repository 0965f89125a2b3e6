"""Presence through real sockets: 1,000 members join one channel at once, then 500 updates a second that all receive.

Clients in one process, ``realtime serve`` in another, PostgreSQL with ``fsync`` on; beside it a bare picows server that
sends the same bytes to the same clients (``tests.bench.parts.relay``). Run with ``python -m tests.bench.bench_presence``.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import uvloop

from server.bench.load.child import Child
from server.bench.load.usage import Cpu
from server.cli.local_postgres import LocalPostgres
from tests.bench.parts.processes import local_postgres, percentile, postmaster
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import serving_measured

CHANNEL = "bench"


class Bench:
    """One PostgreSQL; the relay, then the server."""

    def __init__(self, postgres: LocalPostgres, members: int, rate: float, seconds: float) -> None:
        self.lines: list[dict[str, object]] = []
        self._postgres = postgres
        self._members = members
        self._rate = rate
        self._seconds = seconds

    async def run(self, dsn: str) -> None:
        """Measure both."""
        port = free_port()
        relay = await Child.start("tests.bench.parts.relay", port=port)
        await relay.receive()
        await self._measure("bare picows", f"ws://127.0.0.1:{port}/realtime", relay.pid)
        await relay.end()
        async with serving_measured(dsn, free_port(), ephemeral=True, max_message_rate=1e6) as server:
            await self._measure("server", server.websocket, server.process.pid)

    async def _measure(self, what: str, url: str, pid: int) -> None:
        load = await Child.start(
            "tests.bench.parts.load_presence",
            url=url,
            channel=CHANNEL,
            members=self._members,
            rate=self._rate,
            seconds=self._seconds,
        )
        await load.receive()  # all are connected: what a join costs is measured, not what connecting does
        server, database = Cpu(pid), Cpu(postmaster(self._postgres))
        load.send("go")
        joins = await load.receive()
        self._join(what, joins, server.seconds(), database.seconds())
        server, database = Cpu(pid), Cpu(postmaster(self._postgres))
        load.send("go")
        updates = await load.receive()
        self._update(what, updates, server.seconds(), database.seconds())
        await load.end()

    def _join(self, what: str, seen: dict[str, Any], server: float, database: float) -> None:
        if seen["failures"]:
            print(what, seen["failures"], file=sys.stderr)
        took = max(seen["complete"], default=0.0)
        for name, taken in ((f"{self._members} join: answered", "joined"), ("  everybody knows all", "complete")):
            self._line(
                f"{what}: {name}",
                len(seen[taken]) / took if took else 0.0,
                seen[taken],
                missing=self._members - len(seen[taken]),
                cpu=(server, database, seen["cpu"]),
            )

    def _update(self, what: str, seen: dict[str, Any], server: float, database: float) -> None:
        if seen["failures"] or not seen["same"]:
            print(what, seen["failures"], "same:", seen["same"], file=sys.stderr)
        took = seen["took"]
        self._line(
            f"{what}: updates",
            seen["sent"] / seen["sent_in"],
            seen["taken"],
            deliveries=seen["delivered"] / took,
            missing=seen["missing"],
            cpu=(server / took, database / took, seen["cpu"] / took),
        )

    def _line(
        self,
        what: str,
        rate: float,
        taken: list[float],
        *,
        deliveries: float = 0.0,
        missing: int = 0,
        cpu: tuple[float, float, float],
    ) -> None:
        self.lines.append(
            {
                "what": what,
                "per s": rate,
                "deliveries/s": deliveries,
                "missing": missing,
                "p50 ms": percentile(taken, 50),
                "p95 ms": percentile(taken, 95),
                "p99 ms": percentile(taken, 99),
                "CPU server": cpu[0],
                "CPU Postgres": cpu[1],
                "CPU clients": cpu[2],
            }
        )


def main() -> None:
    """Start Postgres, measure, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=500, help="updates a second of all members")
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    with local_postgres() as postgres:
        bench = Bench(postgres, arguments.members, arguments.rate, arguments.seconds)
        uvloop.run(bench.run(fresh_database(postgres)))
        report("presence", bench.lines)


if __name__ == "__main__":
    main()
