"""The clients of ``bench_publish``: ``python -m tests.bench.costs.load_publish '{…}'`` (see :class:`Plan`).

Reports ``"ready"`` when each has subscribed. A line of input is the number of seconds of a round, in which the publishers
send at ``rate``; what was seen of it is reported when each subscriber has all and each publisher its answers.
"""

from __future__ import annotations

import asyncio
import json
import sys

import msgspec
import uvloop

from tests.bench.parts.load import received, report
from tests.bench.parts.processes import percentile
from tests.bench.parts.sockets import Checker, Publisher, Subscriber

__all__ = ["Plan"]

_TICK = 0.001  # seconds between two looks of a publisher at the clock
_EVERY = 20  # of so many messages a subscriber takes the time of one


class Plan(msgspec.Struct):
    """``rate``: messages a second of all publishers."""

    url: str
    channel: str
    subscribers: int
    publishers: int
    rate: float


async def run(plan: Plan) -> None:
    """Everything; reports each round."""
    subscribe = json.dumps({"type": "subscribe", "channel": plan.channel}).encode()
    checker = Checker()
    subscribers = [
        await Subscriber.open(plan.url, subscribe, every=_EVERY, offset=number, checker=None if number else checker)
        for number in range(plan.subscribers)
    ]
    publishers = [
        await Publisher.open(plan.url, plan.channel, number, plan.rate / plan.publishers)
        for number in range(plan.publishers)
    ]
    report("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        seconds = json.loads(line)
        before = sum(publisher.sent for publisher in publishers)

        async def one(number: int, publisher: Publisher, seconds: float = seconds) -> None:
            await asyncio.sleep(_TICK * number / len(publishers))
            await publisher.run(seconds, _TICK, lambda: False)

        await asyncio.gather(*(one(number, publisher) for number, publisher in enumerate(publishers)))
        sent = sum(publisher.sent for publisher in publishers)
        await received(subscribers, publishers, sent)
        taken = [each for subscriber in subscribers for each in subscriber.taken]
        report(
            {
                "messages": sent - before,
                "missing": sum(sent - subscriber.count for subscriber in subscribers),
                "errors": sum(publisher.errors for publisher in publishers),
                "problems": checker.problems,
                "same": len({subscriber.checksum for subscriber in subscribers}) <= 1,
                "p50": percentile(taken, 50),
                "p95": percentile(taken, 95),
            }
        )
        for subscriber in subscribers:
            subscriber.taken.clear()
        for publisher in publishers:
            publisher.acks.clear()


if __name__ == "__main__":
    uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Plan)))
