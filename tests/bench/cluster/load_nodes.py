"""Subscribers at several nodes: ``python -m tests.bench.cluster.load_nodes '{…}'`` (see :class:`Plan`).

Reports ``"ready"`` when each has subscribed. A line of input is a round: the channels in which others publish, with the
number of messages of each; what their subscribers saw of it is reported when each has all of them.
"""

from __future__ import annotations

import asyncio
import json
import sys

import msgspec
import uvloop

from tests.bench.costs.load_fanout import Subscriber, joined, received
from tests.bench.parts.load import report
from tests.bench.parts.processes import percentile

__all__ = ["Plan"]


class Plan(msgspec.Struct):
    """``urls``: of the nodes; ``channels``: with the number of subscribers that each has at each node; ``own``: channels
    that have so many at one node, by its place in ``urls``.
    """

    urls: tuple[str, ...]
    channels: dict[str, int]
    own: dict[str, tuple[int, int]]


async def run(plan: Plan) -> None:
    """Everything; reports each round."""
    subscribers: dict[str, list[Subscriber]] = {}
    for channel, count in plan.channels.items():
        subscribers[channel] = [each for url in plan.urls for each in await joined(url, channel, count)]
    for channel, (place, count) in plan.own.items():
        subscribers[channel] = await joined(plan.urls[place], channel, count)
    report("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        counts = json.loads(line)
        for channel, count in counts.items():
            await received(subscribers[channel], count)
        those = [each for channel in counts for each in subscribers[channel]]
        taken = [seconds for each in those for seconds in each.taken]
        report({"deliveries": len(taken), "p50": percentile(taken, 50), "p99": percentile(taken, 99)})
        for each in those:
            each.taken.clear()


if __name__ == "__main__":
    uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Plan)))
