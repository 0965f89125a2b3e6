"""The clients of a benchmark, in a process of their own: ``python -m tests.bench.parts.load '{…}'`` (see :class:`Plan`).

Reports ``"ready"`` when everybody has subscribed, publishes when it is asked to (if there are publishers), receives until
everything has come, and reports what it has seen.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import msgspec
import uvloop

from tests.bench.parts.sockets import Checker, Publisher, Subscriber

__all__ = ["Plan"]

_STUCK = 5.0  # seconds without a message after which the rest is lost


class Plan(msgspec.Struct):
    """``rate``: messages per second of all publishers together, one look at the clock every ``tick`` seconds. ``every``: of
    so many messages each subscriber takes the time of one. Without publishers, a line of input reports how many to wait for.
    """

    url: str
    channel: str
    subscribers: int
    publishers: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    warmup: float = 0.0
    tick: float = 0.001
    every: int = 1
    check: bool = True


async def run(plan: Plan) -> dict[str, Any]:
    """Everything; returns the result."""
    subscribe = json.dumps({"type": "subscribe", "channel": plan.channel}).encode()
    checker = Checker() if plan.check else None
    subscribers = [
        await Subscriber.open(
            plan.url, subscribe, every=plan.every, offset=number, checker=checker if number == 0 else None
        )
        for number in range(plan.subscribers)
    ]
    publishers = [
        await Publisher.open(plan.url, plan.channel, number, plan.rate / plan.publishers)
        for number in range(plan.publishers)
    ]
    report("ready")
    order = await receive()
    began = time.time()
    cpu = time.process_time()
    for subscriber in subscribers:
        subscriber.since = began + plan.warmup
    for publisher in publishers:
        publisher.since = began + plan.warmup
    if publishers:
        await publish(plan, publishers, subscribers)
        expected = sum(publisher.sent for publisher in publishers)
        sent_in = time.time() - began
    else:
        expected = int((await receive()) if order == "wait" else order)
        sent_in = 0.0
    await received(subscribers, publishers, expected)
    return result(subscribers, publishers, checker, expected, began, sent_in, time.process_time() - cpu)


async def publish(plan: Plan, publishers: list[Publisher], subscribers: list[Subscriber]) -> None:
    """All publishers, out of step with each other."""

    async def one(number: int, publisher: Publisher) -> None:
        await asyncio.sleep(plan.tick * number / len(publishers))
        await publisher.run(
            plan.warmup + plan.seconds, plan.tick, lambda: any(subscriber.ended for subscriber in subscribers)
        )

    await asyncio.gather(*(one(number, publisher) for number, publisher in enumerate(publishers)))


async def received(subscribers: list[Subscriber], publishers: list[Publisher], expected: int) -> None:
    """Wait until everything has come, or nothing comes any more."""
    before, since = -1, time.monotonic()
    while min((subscriber.count for subscriber in subscribers), default=expected) < expected or any(
        publisher.answered + publisher.errors < publisher.sent for publisher in publishers
    ):
        now = sum(subscriber.count for subscriber in subscribers)
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > _STUCK:
            return
        await asyncio.sleep(0.002)


def result(
    subscribers: list[Subscriber],
    publishers: list[Publisher],
    checker: Checker | None,
    expected: int,
    began: float,
    sent_in: float,
    cpu: float,
) -> dict[str, Any]:
    """What was seen."""
    delivered = sum(subscriber.count for subscriber in subscribers)
    last = max((subscriber.last for subscriber in subscribers), default=began)
    return {
        "expected": expected,
        "delivered": delivered,
        "missing": expected * len(subscribers) - delivered,
        "same": len({subscriber.checksum for subscriber in subscribers}) <= 1,
        "problems": [] if checker is None else checker.problems,
        "ended": [subscriber.ended for subscriber in subscribers if subscriber.ended],
        "errors": sum(publisher.errors for publisher in publishers),
        "taken": [seconds for subscriber in subscribers for seconds in subscriber.taken],
        "acks": [seconds for publisher in publishers for seconds in publisher.acks],
        "bytes": subscribers[0].bytes if subscribers else 0,
        "sent_in": sent_in,
        "took": last - began,
        "last": last,
        "cpu": cpu,
    }


def report(value: object) -> None:
    """A line to the parent process."""
    print(json.dumps(value), flush=True)


async def receive() -> Any:
    """A line from the parent process."""
    return json.loads(await asyncio.to_thread(sys.stdin.readline))


if __name__ == "__main__":
    report(uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Plan))))
