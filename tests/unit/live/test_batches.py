"""One transaction that changes many lists gives the event loop turns between them, and each list changes in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from time import monotonic

from engine.catalog.model import Catalog
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.document_changes import WindowEvent, apply_changes
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.postgres.snapshot import ReadResult, Snapshot
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.stream.tail import TransactionTail
from engine.transaction import Transaction
from tests.support.steps import finished
from tests.support.values.message_stream import MESSAGES, insert, relation, row, transaction

QUERIES = 12
ROWS = 400
AT_ONCE = 1_000


class SlicedQueries:
    """A dispatcher with queries over the same rows, a subscriber each. ``encoded``, ``delivered``: counts of documents."""

    def __init__(self) -> None:
        self.dispatcher = Dispatcher(TransactionTail(), monotonic)
        self.dispatcher.use(Catalog({"messages": MESSAGES}, {MESSAGES.oid: MESSAGES}))
        self.encoded = 0
        self.delivered = 0
        self.lists: dict[Subscription, list[tuple[str, bytes]]] = {}
        self.queries = [self._query(1_000 + number) for number in range(QUERIES)]
        for query in self.queries:
            self.subscribe(query)
        self.encoded = self.delivered = 0

    def _query(self, limit: int) -> LiveQuery:
        plan = compile_incremental(parse_query({"orderBy": [["id", "desc"]], "limit": limit}, MESSAGES), MESSAGES)
        assert isinstance(plan, IncrementalPlan)
        encode = plan.encode

        def counting(values: Sequence[bytes | None]) -> bytes:
            self.encoded += 1
            return encode(values)

        plan = replace(plan, encode=counting)
        query = LiveQuery(plan.visibility, plan.key, "messages", {})
        query.plan = plan
        read = ReadResult(Snapshot(1000, 1000, frozenset()), [row(1, "room")], ())
        assert self.dispatcher.hand_over_window(query, plan, read)
        return query

    def subscribe(self, query: LiveQuery) -> None:
        subscription = Subscription(query, self._deliver, self.dispatcher, lambda _: None)
        self.lists[subscription] = []
        query.subscriptions[subscription] = None
        subscription.begin()

    def _deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        self.delivered += len(event.changes)
        if event.reset:
            self.lists[subscription].clear()
        apply_changes(self.lists[subscription], event.changes)


def large_transaction() -> Transaction:
    decoder = PgOutputDecoder()
    changes = [relation(), *[insert(number, "room") for number in range(100, 100 + ROWS)]]
    [done] = [each for payload in transaction(9, changes) if (each := decoder.feed(payload)) is not None]
    assert isinstance(done, Transaction)
    return done


def test_many_changed_lists_are_found_and_delivered_in_batches() -> None:
    queries, found, delivered = SlicedQueries(), [0], [0]
    outcome = finished(queries.dispatcher.process(large_transaction()), lambda: found.append(queries.encoded))
    found.append(queries.encoded)
    assert (found[-1], queries.delivered) == (QUERIES * ROWS, 0), "an event came before all lists had changed"
    assert max(after - before for before, after in pairwise(found)) <= AT_ONCE + ROWS
    for _ in outcome.deliver(queries.dispatcher.position):
        delivered.append(queries.delivered)
    delivered.append(queries.delivered)
    assert delivered[-1] == QUERIES * ROWS
    assert max(after - before for before, after in pairwise(delivered)) <= AT_ONCE + ROWS


def test_a_subscriber_between_two_batches_gets_the_same_list_as_the_others() -> None:
    queries = SlicedQueries()

    def subscribe_to_all() -> None:
        for query in queries.queries:
            queries.subscribe(query)

    outcome = finished(queries.dispatcher.process(large_transaction()), subscribe_to_all)
    for _ in outcome.deliver(queries.dispatcher.position):
        subscribe_to_all()
    assert len(queries.lists) > 3 * QUERIES
    for subscription, documents in queries.lists.items():
        assert documents == list(subscription.query.current().documents)
        assert len(documents) == ROWS + 1
