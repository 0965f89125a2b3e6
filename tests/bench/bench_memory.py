"""What a live query costs in memory: one more subscriber of a shared window, and one more window of 50 rows.

Measured as the growth of resident memory. The reference in the same run is the rows themselves: the same 50 rows (and the
25 of the spare rows) as plain tuples of bytes. Run with ``python -m tests.bench.bench_memory``.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from multiprocessing import get_context
from time import monotonic
from types import SimpleNamespace

from engine.catalog.model import Catalog
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.live.core.window import read_size
from engine.postgres.snapshot import ReadResult, Snapshot
from engine.stream.tail import TransactionTail
from tests.bench.parts.report import report
from tests.support.values.message_stream import MESSAGES, plan_for, resident_kib, row

_SOURCE = SimpleNamespace(position=0)
_SNAPSHOT = Snapshot(1000, 1000, frozenset())


def growth(make: Callable[[int], object], count: int) -> float:
    """Bytes of resident memory per item that ``make`` adds, in a process of its own: freed memory would be used again."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (make, count))


def _growth(make: Callable[[int], object], count: int) -> float:
    make(1)
    gc.collect()
    before = resident_kib()
    kept = make(count)
    gc.collect()
    grown = resident_kib() - before
    del kept
    return grown * 1024 / count


def windows(count: int) -> tuple[Dispatcher, list[LiveQuery]]:
    """A dispatcher with ``count`` distinct windows of 50 rows and their spare rows."""
    dispatcher = Dispatcher(TransactionTail(), monotonic)
    dispatcher.use(Catalog({"messages": MESSAGES}, {MESSAGES.oid: MESSAGES}))
    size = read_size(50)
    queries = []
    for number in range(count):
        room = f"room-{number}"
        plan = plan_for(room)
        query = LiveQuery(plan.visibility, plan.key, "messages", {})
        query.plan = plan
        rows = [row(number * size + each, room) for each in range(size)]
        assert dispatcher.hand_over_window(query, plan, ReadResult(_SNAPSHOT, rows, ()))
        subscribe(query)
        queries.append(query)
    return dispatcher, queries


def rows_alone(count: int) -> list[tuple[bytes | None, ...]]:
    """The rows that ``count`` windows keep, and nothing else."""
    size = read_size(50)
    return [row(number, f"room-{number // size}") for number in range(count * size)]


def subscribe(query: LiveQuery) -> None:
    """One more subscriber."""
    subscription = Subscription(query, lambda _, __: None, _SOURCE, lambda _: None)
    query.subscriptions[subscription] = None
    subscription.begin()


def subscribers(count: int) -> LiveQuery:
    """A query with ``count`` subscribers."""
    _, [query] = windows(1)
    for _ in range(count):
        subscribe(query)
    return query


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=5_000)
    parser.add_argument("--subscribers", type=int, default=200_000)
    arguments = parser.parse_args()
    alone = growth(rows_alone, arguments.windows)
    window = growth(windows, arguments.windows)
    subscriber = growth(subscribers, arguments.subscribers)
    report(
        "memory",
        [
            {"what": "75 rows as tuples of bytes (reference)", "bytes": round(alone), "times reference": 1.0},
            {"what": "a distinct window of 50 rows", "bytes": round(window), "times reference": window / alone},
            {
                "what": "a live query sharing a window",
                "bytes": round(subscriber),
                "times reference": subscriber / alone,
            },
        ],
    )


if __name__ == "__main__":
    main()
