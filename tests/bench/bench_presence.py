"""Presence through real sockets: many members join one channel at once, then change their presence at a steady rate.

Every member gets every join and every update. Stands beside a bare picows server that sends the same bytes to the same
clients (``tests.bench.parts.relay``); the load is that of ``realtime bench presence``. Run with
``python -m tests.bench.bench_presence``.
"""

from __future__ import annotations

import argparse

import uvloop

from server.bench.report import cores
from server.bench.scenario import Figures
from tests.bench.parts.report import report
from tests.bench.peers.ground import ground

_QUANTILES = ("p50", "p95", "p99")


def line(what: str, seen: Figures, times: str, *, count: float) -> dict[str, object]:
    """A row of the table. ``times``: which of the times of ``seen``; ``count``: of what it was in all."""
    busy = cores(seen)
    return {
        "what": what,
        "per s": count / seen["took_s"],
        "deliveries/s": float(seen.get("deliveries_per_s", 0.0)),
        "missing": seen["missing"],
        **{f"{name} ms": float(seen.get(f"{times}_{name}_ms", 0.0)) for name in _QUANTILES},
        "CPU server": busy.get("server", 0.0),
        "CPU Postgres": busy.get("postgres", 0.0),
        "CPU clients": busy.get("clients", 0.0),
    }


async def measure(members: int, rate: float, seconds: float) -> list[dict[str, object]]:
    """Both systems."""
    lines: list[dict[str, object]] = []
    async with ground(1) as place:
        for name, started in (("bare picows", place.bare()), ("server", place.server())):
            async with started as system:
                played = await system.play("presence", clients=members, rate=rate, seconds=seconds, every=50)
            seen = played.figures
            joining = seen["joining"]
            lines.append(line(f"{name}: {members} join: answered", joining, "answered", count=members))
            lines.append(line(f"{name}:   each knows all", joining, "complete", count=members))
            lines.append(line(f"{name}: updates", seen, "latency", count=seen["messages"]))
    return lines


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=500, help="updates a second of all members")
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    report("presence", uvloop.run(measure(arguments.members, arguments.rate, arguments.seconds)))


if __name__ == "__main__":
    main()
