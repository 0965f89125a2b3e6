"""Row changes a second from pgoutput bytes through matcher and windows to WebSocket frames; and what is merely ignored.

*match*: every inserted row belongs to exactly one of N queries ``roomId == x order by createdAt desc limit 50``, one row a
transaction, each query with one subscriber. *ignore*: 100,000 such queries, none of which the row belongs to. The
reference in the same run is decoding alone: the same bytes into transactions, every value of every row taken out.
Run with ``python -m tests.bench.bench_match``.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from time import monotonic

from engine.catalog.model import Catalog
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.document_changes import WindowEvent
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.postgres.snapshot import ReadResult, Snapshot
from engine.stream.tail import TransactionTail
from engine.transaction import Message, Transaction
from server.app.gc_tuning import tune_gc
from server.wire.encoder import EventFrames
from tests.bench.parts.report import report
from tests.support.values.message_stream import MESSAGES, insert, plan_for, relation, row, transaction

ROUNDS = 3


class Bench:
    """A dispatcher with N live queries, each with a subscriber that builds its frame."""

    def __init__(self, queries: int, rows_each: int) -> None:
        self.tail = TransactionTail()
        self.dispatcher = Dispatcher(self.tail, monotonic)
        self.dispatcher.use(Catalog({"messages": MESSAGES}, {MESSAGES.oid: MESSAGES}))
        self.decoder = PgOutputDecoder()
        self.decoder.feed(next(transaction(0, [])))
        self.decoder.feed(relation())
        self.frames = EventFrames()
        self.sent = 0
        self.bytes = 0
        self.next_row = 10_000_000
        snapshot = Snapshot(1000, 1000, frozenset())
        for number in range(queries):
            room = f"room-{number}"
            plan = plan_for(room)
            query = LiveQuery(plan.visibility, plan.key, "messages", {})
            query.plan = plan
            rows = [row(number * rows_each + each, room) for each in range(rows_each)]
            assert self.dispatcher.hand_over_window(query, plan, ReadResult(snapshot, list(rows), ()))
            head = b'{"type":"snapshot","channel":"db:collection:messages","id":"q%d"' % number
            subscription = Subscription(query, self._subscriber(head), self.dispatcher, lambda _: None)
            query.subscriptions[subscription] = None
            subscription.begin()
        self.sent = 0

    def _subscriber(self, head: bytes) -> Callable[[Subscription, WindowEvent], None]:
        def deliver(_: Subscription, event: WindowEvent) -> None:
            self.bytes += len(self.frames.frame(head, event).data)
            self.sent += 1

        return deliver

    def run(self, messages: list[bytes]) -> float:
        """Seconds to take ``messages`` from the decoder to the frames."""
        feed, tail = self.decoder.feed, self.tail
        started = time.perf_counter()
        for payload in messages:
            done = feed(payload)
            if done is None:
                continue
            for _ in self._process(done):
                pass
            tail.append(done)
            if len(tail) > 1000:
                xid = done.xid + 1
                tail.end_read(tail.begin_read(), Snapshot(xid, xid, frozenset()))
        return time.perf_counter() - started

    def _process(self, transaction: Transaction) -> Iterator[None]:
        """As the live queries process a transaction of the stream."""
        outcome = yield from self.dispatcher.process(transaction)
        yield from outcome.deliver(transaction.position)


def history(count: int, room: Callable[[int], str], per_transaction: int, start: int) -> list[bytes]:
    """``count`` inserts of rows from number ``start`` on, as a stream."""
    messages: list[bytes] = []
    for number in range(start // per_transaction, (start + count) // per_transaction):
        at = number * per_transaction
        rows = [insert(at + each, room(at + each)) for each in range(per_transaction)]
        messages += transaction(number, rows)
    return messages


def decode_only(messages: list[bytes]) -> float:
    """Seconds to decode the stream and take every value out."""
    decoder = PgOutputDecoder()
    decoder.feed(next(transaction(0, [])))
    decoder.feed(relation())
    started = time.perf_counter()
    for payload in messages:
        done = decoder.feed(payload)
        if done is not None:
            for change in done.changes:
                if not isinstance(change, Message):
                    change.new()
    return time.perf_counter() - started


def measure(
    name: str, bench: Bench, queries: int, changes: int, per_transaction: int, room: Callable[[int], str], hits: int
) -> dict[str, object]:
    """One line of the table: medians of interleaved runs, each over rows of its own."""
    own, reference = [], []
    for _ in range(ROUNDS):
        messages = history(changes, room, per_transaction, bench.next_row)
        bench.next_row += changes
        gc.collect()
        bench.sent = 0
        own.append(bench.run(messages))
        assert bench.sent == hits, (bench.sent, hits)
        reference.append(decode_only(messages))
    seconds, decoding = statistics.median(own), statistics.median(reference)
    return {
        "case": name,
        "queries": queries,
        "changes/s": round(changes / seconds),
        "us a change": seconds / changes * 1e6,
        "decoding alone, us": decoding / changes * 1e6,
        "times decoding": seconds / decoding,
    }


def main() -> None:
    """Measure with so many queries, few first: more cases with the most."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=50_000)
    parser.add_argument("--rows-each", type=int, default=10, help="rows every window starts with")
    parser.add_argument("--queries", type=int, nargs="+", default=[100, 10_000, 100_000])
    arguments = parser.parse_args()
    count: int = arguments.changes
    lines: list[dict[str, object]] = []
    costs: list[float] = []
    fewest, most = min(arguments.queries), max(arguments.queries)
    for queries in sorted(arguments.queries):
        bench = Bench(queries, arguments.rows_each)
        tune_gc()
        spread = lambda number, n=queries: f"room-{number * 7919 % n}"  # noqa: E731
        lines.append(measure("match, 1 a transaction", bench, queries, count, 1, spread, count))
        costs.append(float(str(lines[-1]["us a change"])))
        if queries == most:
            lines.append(measure("match, 100 a transaction", bench, queries, count, 100, spread, count))
            lines.append(measure("ignore", bench, queries, count, 1, lambda _: "an empty room", 0))
        del bench
        gc.unfreeze()
    print(f"\ncost a change at {most:,} queries / at {fewest:,}: {costs[-1] / costs[0]:.2f}")
    report("match", lines)


if __name__ == "__main__":
    main()
