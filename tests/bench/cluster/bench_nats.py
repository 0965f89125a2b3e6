"""What NATS spends on a message of the stream, by how many nodes take it: up to 64 consumers as nodes have them.

The consumers are in this process, each with a connection of its own, and look at what they take as far as a node does that
has no subscriber (``Sent``). Numbers of consumers take turns; medians, in microseconds of processor time for a message.
*each* is NATS' by the number of consumers, *taking* what a consumer spends itself.
Run with ``python -m tests.bench.cluster.bench_nats``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from engine.cluster.messages import Sent, pack
from engine.cluster.nats_stream import NatsStream, connected
from engine.cluster.settings import ClusterSettings
from server.bench.load.usage import ran
from server.cli.serving.local_nats import LocalNats
from tests.bench.parts.report import report

CONSUMERS = (1, 2, 4, 8, 16, 32, 64)
_SIZE = 300  # bytes of a message
_SILENCE = 60.0


async def take(stream: NatsStream, sequence: int, messages: int, ready: asyncio.Event) -> None:
    """So many messages, as a node takes them."""
    async with stream.consumer(sequence) as consumer:
        ready.set()
        while messages:
            found = await consumer.next(_SILENCE)
            messages -= found is not None and found.sent is not None


async def turn(
    nats: LocalNats, streams: Sequence[NatsStream], subject: str, plan: argparse.Namespace
) -> dict[str, float]:
    """One round with a consumer for each stream; the first one's connection publishes."""
    assert nats.process is not None, "it runs"
    state = await streams[0].state()
    assert state is not None, "it was made"
    ready = [asyncio.Event() for _ in streams]
    taking = [
        asyncio.create_task(take(stream, state.last + 1, plan.messages, event))
        for stream, event in zip(streams, ready, strict=True)
    ]
    await asyncio.gather(*(each.wait() for each in ready))
    spent, own, began = ran(nats.process.pid), time.process_time(), time.monotonic()
    data = pack(Sent(1, 1, 0, 0, first=True, last=True, chunk=0, more=False, data=bytes(_SIZE)))
    for number in range(plan.messages):
        await asyncio.sleep(max(0.0, began + number / plan.rate - time.monotonic()))
        await streams[0].client.publish(subject, data)
    await asyncio.gather(*taking)
    return {
        "NATS": (ran(nats.process.pid) - spent) / plan.messages / 1000,
        "taking": (time.process_time() - own) / plan.messages / len(streams) * 1e6,
    }


async def measure(plan: argparse.Namespace) -> list[dict[str, object]]:
    """A row for each of :data:`CONSUMERS`."""
    rounds: dict[int, list[dict[str, float]]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        nats = LocalNats(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "nats")
        nats.start()
        stack.callback(nats.stop)
        settings = ClusterSettings(urls=(nats.url,), slot="bench")
        streams = [await stack.enter_async_context(connected(settings, "bench")) for _ in range(max(CONSUMERS))]
        await streams[0].make()
        for number in range(1 + plan.rounds):
            for consumers in CONSUMERS if number % 2 else reversed(CONSUMERS):
                found = await turn(nats, streams[:consumers], settings.events, plan)
                if number:
                    rounds[consumers].append(found)
    rows: list[dict[str, object]] = []
    for consumers in CONSUMERS:
        costs = [each["NATS"] for each in rounds[consumers]]
        middle = statistics.median(costs)
        taking = statistics.median(each["taking"] for each in rounds[consumers])
        rows.append(
            {
                "nodes": consumers,
                "NATS µs": middle,
                "least": min(costs),
                "most": max(costs),
                "each": middle / consumers,
                "taking": taking,
            }
        )
    return rows


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=300, help="of a round")
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=5)
    report("cluster_nats", uvloop.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
