"""One transaction that changes many lists gives the event loop turns between them, and each list changes in one step. So do
several transactions that are applied together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from time import monotonic
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.model import Catalog
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.document_changes import WindowEvent, apply_changes
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.postgres.snapshot import ReadResult, Snapshot
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.stream.tail import TransactionTail
from engine.transaction import Change, Transaction, Value
from tests.support.steps import finished
from tests.support.values.changes import deleted, inserted, transaction_of, updated
from tests.support.values.message_stream import MESSAGES, insert, relation, row, transaction
from tests.unit.live.test_dispatcher import ALL_SHOWN, RELATION, Live, key, new

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


Rooms = dict[int, tuple[str, int]]
"""The table: the room of each row and the version of its text."""

_CHANGE = st.tuples(st.integers(1, 12), st.sampled_from(["a", "b", None]), st.integers(1, 3))
_GROUPS = st.lists(st.lists(st.lists(_CHANGE, max_size=4), min_size=1, max_size=4), max_size=12)
_QUERIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a", {}),
    ("a", {"limit": 3}),
    ("b", {"limit": 2, "orderBy": [["id", "desc"]]}),
    ("b", {"limit": 2, "orderBy": [["body", "desc"], ["id", "asc"]]}),
)


def changed(table: Rooms, number: int, room: str | None, version: int) -> Change | None:
    """Make the row ``number`` of ``table`` one of ``room``, or remove it; returns the change in the stream."""
    before = table.pop(number, None)
    if room is None:
        return None if before is None else deleted(RELATION, key(number))
    table[number] = room, version
    values: list[Value] = list(row(number, room))
    values[3] = b"%d" % version
    return inserted(RELATION, values) if before is None else updated(RELATION, values)


def listed(table: Rooms, room: str, spec: dict[str, Any]) -> list[tuple[int, str]]:
    """What the query shows of ``table``."""
    rows = [(number, str(version)) for number, (its_room, version) in table.items() if its_room == room]
    rows.sort(reverse=spec.get("orderBy") == [["id", "desc"]])
    if spec.get("orderBy", [["id"]])[0][0] == "body":
        rows.sort(key=lambda each: each[1], reverse=True)
    return rows[: spec.get("limit")]


@given(groups=_GROUPS)
def test_transactions_that_are_applied_together_change_each_list_once_to_what_the_last_leaves(
    groups: list[list[list[tuple[int, str | None, int]]]],
) -> None:
    live, table, number = Live(spare_rows=40), Rooms(), 0
    queries = [live.query(room, **spec) for room, spec in _QUERIES]
    for group in groups:
        transactions: list[Transaction] = []
        for changes in group:
            number += 1
            made = [changed(table, *each) for each in changes]
            transactions.append(transaction_of(number, *(each for each in made if each is not None)))
        outcome = finished(live.dispatcher.process(*transactions))
        assert live.dispatcher.position == transactions[-1].position
        assert len({query for query, _ in outcome.changed}) == len(outcome.changed), "one event for each list at most"
        for _ in outcome.deliver(live.dispatcher.position):
            pass
        for query, (room, spec) in zip(queries, _QUERIES, strict=True):
            documents = [(int(id), msgspec.json.decode(doc)["body"]) for id, doc in live.lists[query]]
            assert documents == listed(table, room, spec)


def test_nothing_is_applied_together_while_a_list_is_ahead_of_the_stream() -> None:
    live = Live()
    live.query("a")
    assert live.dispatcher.gathers
    query = live.unread("a", limit=5)
    assert live.hand_over(query, [1], replace(ALL_SHOWN, position=2 * 256))
    assert not live.dispatcher.gathers, "which of them it shows is asked for each"
    live.process(1, new(1))
    assert not live.dispatcher.gathers
    live.process(2, new(2))
    assert live.dispatcher.gathers


def test_others_have_a_turn_between_transactions_that_are_gathered() -> None:
    live, applied = Live(clock=lambda: 0.0), list[int]()  # time would give them more turns
    live.query("a")
    transactions = [transaction_of(number, new(number)) for number in range(1, 9)]
    finished(live.dispatcher.process(*transactions), lambda: applied.append(sum(1 for t in transactions if t.tables)))
    assert set(applied) == set(range(1, 9))
