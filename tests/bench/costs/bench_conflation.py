"""What ``conflate`` saves: processor time of the server per published message, and deliveries, as a ratio within one run.

Two channels of one server have equally many subscribers: those of one subscribe with ``conflate`` and ``--ms``, those of the
other without. Into both go ``--rate`` messages a second that change ``--keys`` values in turn. They take turns in short
rounds, so a noisy machine disturbs both alike. *CPU* is the processor time of all threads of the server until the last
delivery; *ratio* is by the other channel, the median of the rounds. Times are from the publish to the receipt: for conflated
messages they contain the interval. Run with ``python -m tests.bench.costs.bench_conflation``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass, field

import uvloop

from server.bench.load.fleet import Fleet
from server.bench.load.orders import Publish, Subscribe
from server.bench.load.target import target_of
from server.bench.load.usage import ran
from server.bench.messages import joined
from server.cli.local_postgres import LocalPostgres
from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import serving_measured

PUBLISHERS = 10
CONFIG = {"ephemeral": True, "max_message_rate": 1e6, "max_published_bytes": 1 << 34}
UNREACHABLE = 1 << 40  # deliveries: how many there will be is what is measured
QUIET = 1.0  # seconds without a delivery after which there are no more


@dataclass
class Side:
    """Subscribers of one channel. ``rounds``: what each brought, with ``cpu`` in microseconds per published message."""

    name: str
    rounds: list[dict[str, float]] = field(default_factory=list)

    @property
    def publication(self) -> str:
        """A message of one of the values."""
        data = {"key": "%n", "at": "%d"}
        return json.dumps({"type": "message", "channel": f"bench:{self.name}", "event": "moved", "data": data})

    async def join(self, fleet: Fleet, plan: argparse.Namespace) -> None:
        """Connect and subscribe."""
        options = {"conflate": {"key": "key", "ms": plan.ms}} if self.name == "conflated" else {}
        await fleet.connect(self.name, plan.subscribers, rate=500.0)
        await fleet.subscribe(Subscribe(self.name, joined(f"bench:{self.name}", **options), rate=500.0))

    async def round(self, fleet: Fleet, pid: int, plan: argparse.Namespace) -> None:
        """Publish for ``plan.seconds``, until nothing comes any more."""
        before = ran(pid)
        order = Publish("publishers", self.publication, plan.rate, plan.seconds, plan.size, numbers=plan.keys)
        sent = await fleet.publish(order)
        counts = await fleet.receive(self.name, UNREACHABLE, stuck=QUIET)
        spent = ran(pid) - before
        tally = await fleet.count()
        if tally.errors or counts.least != counts.greatest:
            raise RuntimeError(f"{self.name}: {counts.least} to {counts.greatest} deliveries, {dict(tally.errors)}")
        each = counts.greatest / sent.done
        if self.name == "plain" and each != 1:
            raise RuntimeError(f"{sent.done} messages were published, and a subscriber has {counts.greatest}")
        seen = {"messages": sent.done, "deliveries": counts.done, "each": each, "cpu": spent / 1000 / sent.done}
        times = {f"p{percent}": tally.latency.quantile(percent / 100) * 1000 for percent in (50, 99)}
        self.rounds.append(seen | times)

    def median(self, what: str) -> float:
        """Of all rounds."""
        return statistics.median(each[what] for each in self.rounds)


async def compare(postgres: LocalPostgres, plan: argparse.Namespace) -> list[dict[str, object]]:
    """A row for each side."""
    sides = [Side("conflated"), Side("plain")]
    async with (
        serving_measured(fresh_database(postgres), free_port(), **CONFIG) as server,
        Fleet.started(target_of(server.url), 1, every=plan.every) as fleet,
    ):
        for side in sides:
            await side.join(fleet, plan)
        await fleet.connect("publishers", PUBLISHERS)
        await fleet.count()
        for number in range(1 + plan.rounds):
            for side in sides if number % 2 else reversed(sides):
                await side.round(fleet, server.process.pid, plan)
            if not number:  # it has warmed up
                for side in sides:
                    side.rounds.clear()
    ratios = [ours["cpu"] / plain["cpu"] for ours, plain in zip(sides[0].rounds, sides[1].rounds, strict=True)]
    return [
        {
            "subscribers": plan.subscribers,
            "side": side.name,
            "messages/s": plan.rate,
            "deliveries per message": side.median("each") * plan.subscribers,
            "CPU µs per message": side.median("cpu"),
            "CPU µs per delivery": side.median("cpu") / side.median("each") / plan.subscribers,
            "p50 ms": side.median("p50"),
            "p99 ms": side.median("p99"),
            "CPU, ratio": statistics.median(ratios) if side is sides[0] else 1.0,
            "deliveries, ratio": side.median("each"),
        }
        for side in sides
    ]


def main() -> None:
    """Compare, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=500.0, help="messages a second")
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--ms", type=int, default=100)
    parser.add_argument("--size", type=int, default=60, help="bytes of a message's data")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--every", type=int, default=20, help="one delivery in so many is timed")
    plan = parser.parse_args()
    with local_postgres() as postgres:
        report("conflation", uvloop.run(compare(postgres, plan)))


if __name__ == "__main__":
    main()
