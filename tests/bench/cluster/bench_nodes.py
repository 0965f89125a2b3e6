"""What a delivery costs nodes of a cluster, by how many they are: processor time with 1, 2, 4 and 8 nodes.

Each number of nodes is a cluster of its own, with a database, a relay and a slot; all share a PostgreSQL and a NATS server,
and take turns in short rounds. Messages are committed in SQL, one a transaction, and so seldom that each is taken by itself:
where a node is late it takes several in a turn, which costs less for each, and the more so the less of a core it gets.

* *shared*: into a channel that has ``--few`` or ``--many`` subscribers at each node, so each node receives each message.
  *node µs* is the processor time of all nodes per delivery, *of one* by that of a single node in the same turn: median,
  least and most of the turns. *message* and *delivery* are the two parts of what a node spends for a message: what it takes
  to receive it, and what each subscriber adds.
* *apart*: into channels that have ``--many`` subscribers at one node each, as where a channel's clients are on one node.
  Each node has ``--rate`` messages a second, so the load grows with the nodes; of others it gets the signs of life.

Relay and NATS are per message. What all of them need without messages is taken off; *rest* is that of a node, in cores.
*deliveries/s* is what so many nodes deliver in a second with a core each. *p50* and *p99* are from the commit to the
subscriber, in milliseconds; with more nodes than cores they have the wait for a core.

The second table is a simulation: 100,000 connections, spread over so many nodes, in channels of 200 members, of which each
gets a message in ten seconds; each node receives all messages. It has the cores that this takes by the figures of the first
table, with NATS' by a straight line through them. Run with ``python -m tests.bench.cluster.bench_nodes``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import psycopg
import uvloop

from server.bench.load.child import Child
from tests.bench.cluster.ground import Cluster, cluster, servers
from tests.bench.parts.report import report
from tests.bench.parts.sockets import pad

NODES = (1, 2, 4, 8)
SIMULATED = (1, 2, 4, 8, 16, 32, 64)
CONNECTIONS = 100_000
INTERVAL = 10.0  # seconds between two messages for a connection
MEMBERS = 200  # of a channel
_REST = 10.0  # seconds


@dataclass
class Side:
    """One cluster and its clients.

    ``rest``: microseconds of each part in a second without messages; ``rounds``: by the channel, microseconds per message of
    each part beside that, and what came.
    """

    cluster: Cluster
    load: Child
    sql: psycopg.AsyncConnection[tuple[str]]
    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    rest: dict[str, float] = field(default_factory=dict)

    @property
    def own(self) -> list[str]:
        """A channel for each node."""
        return [f"own-{place}" for place in range(len(self.cluster.nodes))]

    async def round(self, kind: str, messages: int, rate: float) -> None:
        """Commit so many messages; returns when all clients have all of them."""
        channels = self.own if kind == "apart" else [kind]
        messages -= messages % len(channels)
        before = self.cluster.spent()
        self.load.send(dict.fromkeys(channels, messages // len(channels)))
        began = time.monotonic()
        for number in range(messages):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            await self.sql.execute(
                "select realtime.broadcast(%s, 'sent', jsonb_build_object('at', to_char(%s::float8, 'FM9999999999.000000')"
                "::numeric, 'text', %s::text))",
                [channels[number % len(channels)], time.time(), pad.decode()],
            )
        seen = await self.load.receive()
        passed = time.monotonic() - began
        spent = {
            part: (value - before[part] - passed * self.rest[part]) / messages
            for part, value in self.cluster.spent().items()
        }
        self.rounds.setdefault(kind, []).append(spent | seen | {"per message": seen["deliveries"] / messages})

    def median(self, channel: str, what: str) -> float:
        return statistics.median(each[what] for each in self.rounds[channel])


async def measure(plan: argparse.Namespace) -> list[Side]:
    """A side for each of :data:`NODES`, with all rounds."""
    channels = {"few": plan.few, "many": plan.many}
    async with AsyncExitStack() as stack:
        postgres, nats = stack.enter_context(servers(max_connections="500"))
        sides = []
        for nodes in NODES:
            made = await stack.enter_async_context(cluster(postgres, nats, nodes, f"bench_{nodes}", relay_lease=10))
            own = {f"own-{place}": (place, plan.many) for place in range(nodes)}
            load = await Child.start("tests.bench.cluster.load_nodes", urls=made.urls, channels=channels, own=own)
            stack.push_async_callback(load.end)
            await load.receive()
            sql = await psycopg.AsyncConnection.connect(made.dsn, autocommit=True)
            stack.push_async_callback(sql.close)
            sides.append(Side(made, load, sql))
        await rest(sides)
        for number in range(1 + plan.rounds):
            for place in range(len(sides)):
                side = sides[(number + place) % len(sides)]
                nodes = len(side.cluster.nodes)
                for channel in channels:
                    await side.round(channel, plan.messages, plan.rate)
                await side.round("apart", plan.messages * nodes, plan.rate * nodes)
            if not number:
                for side in sides:
                    side.rounds.clear()
        return sides


async def rest(sides: Sequence[Side]) -> None:
    """Find what all parts of all sides need without messages."""
    before = [each.cluster.spent() for each in sides]
    await asyncio.sleep(_REST)
    for each, then in zip(sides, before, strict=True):
        each.rest = {part: (value - then[part]) / _REST for part, value in each.cluster.spent().items()}


def parts_of(side: Side, plan: argparse.Namespace) -> tuple[float, float]:
    """Microseconds of a node for a message, and for each of its deliveries."""
    few, many = (side.median(channel, "nodes") / len(side.cluster.nodes) for channel in ("few", "many"))
    delivery = (many - few) / (plan.many - plan.few)
    return max(0.0, few - delivery * plan.few), delivery


def compared(sides: Sequence[Side], plan: argparse.Namespace) -> list[dict[str, object]]:
    """A row for each number of nodes."""
    rows: list[dict[str, object]] = []
    for side in sides:
        each, ratios = _per_delivery(side, sides[0], "many")
        apart, apart_ratios = _per_delivery(side, sides[0], "apart")
        message, delivery = parts_of(side, plan)
        rows.append(
            {
                "nodes": len(side.cluster.nodes),
                "deliveries": round(side.median("many", "per message")),
                "deliveries/s": round(len(side.cluster.nodes) * 1e6 / statistics.median(each)),
                "p50": side.median("many", "p50"),
                "p99": side.median("many", "p99"),
                "node µs": statistics.median(each),
                "of one": statistics.median(ratios),
                "least": min(ratios),
                "most": max(ratios),
                "apart µs": statistics.median(apart),
                "apart of one": statistics.median(apart_ratios),
                "apart least": min(apart_ratios),
                "apart most": max(apart_ratios),
                "message µs": message,
                "delivery µs": delivery,
                "relay µs": side.median("many", "relay"),
                "NATS µs": side.median("many", "nats"),
                "rest": side.rest["nodes"] / len(side.cluster.nodes) / 1e6,
            }
        )
    return rows


def _per_delivery(side: Side, one: Side, kind: str) -> tuple[list[float], list[float]]:
    """Microseconds of the nodes for each delivery, by turns; and by those of ``one`` in the same turn."""
    ours, its = ([each["nodes"] / each["per message"] for each in some.rounds[kind]] for some in (side, one))
    return ours, [a / b for a, b in zip(ours, its, strict=True)]


def simulated(sides: Sequence[Side], plan: argparse.Namespace) -> list[dict[str, object]]:
    """A row for each number of :data:`SIMULATED`."""
    costs = [parts_of(side, plan) for side in sides]
    message, delivery = (statistics.median(each) for each in zip(*costs, strict=True))
    relay = statistics.median(side.median("many", "relay") for side in sides)
    resting = statistics.median(side.rest["nodes"] / len(side.cluster.nodes) for side in sides) / 1e6
    line = statistics.linear_regression(NODES, [side.median("many", "nats") for side in sides])
    messages, deliveries = CONNECTIONS / MEMBERS / INTERVAL, CONNECTIONS / INTERVAL
    rows: list[dict[str, object]] = []
    for nodes in SIMULATED:
        receiving, delivering = messages * message / 1e6 + resting, deliveries * delivery / 1e6
        rows.append(
            {
                "nodes": nodes,
                "connections of each": CONNECTIONS // nodes,
                "cores of each": receiving + delivering / nodes,
                "of all nodes": nodes * receiving + delivering,
                "µs per delivery": (nodes * receiving + delivering) / deliveries * 1e6,
                "relay": messages * relay / 1e6,
                "NATS": messages * max(0.0, line.intercept + line.slope * nodes) / 1e6,
            }
        )
    return rows


def main() -> None:
    """Measure, simulate, and report both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=5)
    parser.add_argument("--many", type=int, default=50)
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second of a node")
    parser.add_argument("--messages", type=int, default=40, help="of a round")
    parser.add_argument("--rounds", type=int, default=7)
    plan = parser.parse_args()
    sides = uvloop.run(measure(plan))
    report("cluster_nodes", compared(sides, plan))
    report("cluster_simulated", simulated(sides, plan))


if __name__ == "__main__":
    main()
