"""What a transaction means to live queries: who gets an event, and what has to be read again, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

import msgspec
import orjson
from structlog.typing import EventDict

from engine.catalog.model import Catalog, Table
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.document_changes import WindowEvent, apply_changes
from engine.live.core.outcome import DdlNote, Outcome
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.postgres.snapshot import ReadResult, Snapshot
from engine.postgres.statements.statement import RoleReading
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.query.compile.rule import Rule, Shown
from engine.query.ir.model import And
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import reread_instead
from engine.stream.tail import TransactionTail
from engine.transaction import UNCHANGED, Change, Message, Value
from engine.values.labels import UnknownLabelError
from tests.support.steps import finished
from tests.support.values.changes import deleted, inserted, relation_of, transaction_of, truncated, updated
from tests.support.values.message_stream import MESSAGES, row

RELATION = relation_of(MESSAGES)
ALL_SHOWN = Snapshot(1_000, 1_000, frozenset())


class Live:
    """A dispatcher over the table of messages, and the list that each query's subscriber has."""

    def __init__(
        self,
        *tables: Table,
        max_rows: int = 10_000,
        spare_rows: int = 10,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.tail = TransactionTail()
        self.dispatcher = Dispatcher(self.tail, clock, max_rows, spare_rows)
        self.use(*(tables or (MESSAGES,)))
        self.lists: dict[LiveQuery, list[tuple[str, bytes]]] = {}

    def use(self, *tables: Table) -> set[int]:
        return self.dispatcher.use(
            Catalog({table.collection: table for table in tables}, {table.oid: table for table in tables})
        )

    def plan(self, room: str, **spec: object) -> IncrementalPlan:
        table = self.dispatcher.catalog.by_collection["messages"]
        spec = {"where": [["roomId", "==", room]], "orderBy": ["id"], **spec}
        plan = compile_incremental(parse_query(spec, table), table)
        assert isinstance(plan, IncrementalPlan)
        return plan

    def query(self, room: str, rows: Sequence[int] = (), **spec: object) -> LiveQuery:
        """A subscribed query of a room that was read with these rows."""
        query = self.unread(room, **spec)
        assert self.hand_over(query, rows)
        self.lists[query] = []
        subscription = Subscription(query, self._deliver, self.dispatcher, lambda _: None)
        query.subscriptions[subscription] = None
        subscription.begin()
        return query

    def unread(self, room: str, **spec: object) -> LiveQuery:
        plan = self.plan(room, **spec)
        query = LiveQuery(plan.visibility, plan.key, "messages", {"room": room})
        query.plan = plan
        return query

    def hand_over(self, query: LiveQuery, rows: Sequence[int] = (), snapshot: Snapshot = ALL_SHOWN) -> bool:
        assert isinstance(query.plan, IncrementalPlan)
        read = ReadResult(snapshot, [row(number, str(query.spec["room"])) for number in rows], ())
        return self.dispatcher.hand_over_window(query, query.plan, read)

    def reread(self, *oids: int, snapshot: Snapshot = ALL_SHOWN) -> LiveQuery:
        """A query that is read again whenever one of the tables changes."""
        plan = replace(reread_instead(self.plan("room"), "a join"), dependencies=frozenset(oids))
        query = LiveQuery(plan.visibility, plan.key, "messages", {})
        query.plan = plan
        self.dispatcher.hand_over_rows(query, plan, ReadResult(snapshot, [], ()))
        return query

    def _deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        documents = self.lists[subscription.query]
        if event.reset:
            documents.clear()
        apply_changes(documents, event.changes)

    def process(self, number: int, *changes: Change | Message, deliver: bool = True) -> Outcome:
        transaction = transaction_of(number, *changes)
        outcome = finished(self.dispatcher.process(transaction))
        self.tail.append(transaction)
        if deliver:
            for _ in outcome.deliver(self.dispatcher.position):
                pass
        return outcome

    def ids(self, query: LiveQuery) -> list[int]:
        return [int(identifier) for identifier, _ in self.lists[query]]


def new(number: int, room: str = "a") -> Change:
    return inserted(RELATION, row(number, room))


def key(number: int) -> tuple[Value, ...]:
    return (b"%d" % number, *[None] * (len(RELATION.columns) - 1))


def note(**fields: object) -> Message:
    return Message("realtime.ddl", orjson.dumps({"tag": "ALTER TABLE", **fields}), True)


def reasons(logs: list[EventDict]) -> list[tuple[str, str]]:
    return [(entry["log_level"], entry["error"]) for entry in logs]


# -- events --------------------------------------------------------------------------------------------------------


def test_a_transaction_is_one_event_for_each_query_that_it_changes() -> None:
    live = Live()
    a, b, c = live.query("a", [1]), live.query("b"), live.query("c", [9])
    outcome = live.process(1, new(2), updated(RELATION, row(1, "b")), new(3), deleted(RELATION, key(3)))
    assert [(query, [change.type for change in changes]) for query, changes in outcome.changed] == [
        (a, ["removed", "added"]),
        (b, ["added"]),
    ]
    assert (live.ids(a), live.ids(b), live.ids(c)) == ([2], [1], [9])
    assert (a.committed_at, live.dispatcher.position) == (1_000_000, 256)


def test_a_query_that_is_read_again_is_due_for_each_table_it_reads() -> None:
    live, other = Live(), msgspec.structs.replace(RELATION, oid=99, name="others")
    query, bystander = live.reread(MESSAGES.oid, 99), live.reread(98)
    assert live.process(1, new(1)).refresh == {query}
    assert (query.due, query.stale_since) == (1001, 1_000_000)
    assert live.process(2, inserted(other, key(1))).refresh == {query}
    assert (query.due, query.stale_since) == (1001, 1_000_000), "since the first change"
    read = ReadResult(Snapshot(1_002, 1_003, frozenset({1_002})), [], ())
    assert isinstance(query.plan, ReReadPlan)
    live.dispatcher.hand_over_rows(query, query.plan, read)
    assert query.due == 1002, "the rows show the first transaction"
    live.dispatcher.forget(query)
    assert live.process(3, new(3)).refresh == set()
    assert bystander.due is None


def test_a_query_that_is_due_already_costs_no_further_commit_anything() -> None:
    live = Live()
    query = live.reread(MESSAGES.oid)
    assert live.process(1, new(1)).refresh == {query}
    assert live.process(2, new(2)).refresh == set(), "it will be read for the first one"
    assert isinstance(query.plan, ReReadPlan)
    live.dispatcher.hand_over_rows(query, query.plan, ReadResult(Snapshot(1_002, 1_002, frozenset()), [], ()))
    assert query.due == 1002, "and then for the second one"
    live.dispatcher.hand_over_rows(query, query.plan, ReadResult(Snapshot(1_003, 1_003, frozenset()), [], ()))
    assert query.due is None
    assert live.process(3, new(3)).refresh == {query}


def test_a_change_of_what_a_rule_looks_up_takes_the_window_away_unless_its_snapshot_shows_the_change() -> None:
    live, members = Live(), msgspec.structs.replace(RELATION, oid=99, name="members")
    query = live.query("a", [1])
    assert isinstance(query.plan, IncrementalPlan)
    otherwise = replace(reread_instead(query.plan, "policies"), dependencies=frozenset({MESSAGES.oid, 99}))
    role = RoleReading("people", "request.jwt.claims", "{}")
    rule = Rule(role, lambda _: Shown(And(())), frozenset({99}), calls=True, otherwise=otherwise)
    table = query.plan.table
    seen = replace(table, readable=frozenset(column.attnum for column in table.columns), base=table)
    query.plan = replace(query.plan, table=seen, rule=rule)
    assert live.hand_over(query, [1], Snapshot(1_001, 1_003, frozenset({1_002}), position=10_000))
    assert live.process(1, inserted(members, key(1))).refresh == set()
    assert live.process(2, new(2), inserted(members, key(2)), new(3)).refresh == {query}
    assert live.ids(query) == [1], "what is committed with the change is seen with the next read"
    assert not live.hand_over(query, [1], Snapshot(1_001, 1_003, frozenset({1_002}))), "it has to be read again"
    assert live.hand_over(query, [1, 2, 3], Snapshot(1_003, 1_003, frozenset()))
    assert live.process(4, note(routines=True)).refresh == {query}, "a function that policies call"


def test_rows_that_were_read_before_a_transaction_that_has_been_delivered_are_due_again() -> None:
    live = Live()
    live.process(1, new(1))
    query = live.reread(MESSAGES.oid, snapshot=Snapshot(1_001, 1_001, frozenset()))
    assert query.due == 1001
    assert live.reread(MESSAGES.oid, snapshot=Snapshot(1_002, 1_002, frozenset())).due is None


# -- reads meet the stream -----------------------------------------------------------------------------------------


def test_a_window_is_read_and_brought_up_to_the_stream_whatever_its_snapshot_shows() -> None:
    live = Live()
    live.process(1, new(1))
    live.process(2, new(2), note(oids=[99]))
    live.process(3, updated(RELATION, row(1, "b")))
    query = live.unread("a")
    assert live.hand_over(query, [1], Snapshot(1_002, 1_002, frozenset(), position=256))
    assert [identifier for identifier, _ in query.current().documents] == ["2"]
    ahead = live.unread("a")
    assert live.hand_over(ahead, [2, 5], Snapshot(1_005, 1_006, frozenset(), position=6 * 256))
    assert [changed for changed, _ in live.process(5, new(5)).changed] == [query]
    assert [changed for changed, _ in live.process(6, new(6)).changed] == [query, ahead]
    assert [identifier for identifier, _ in ahead.current().documents] == ["2", "5", "6"]


def test_a_window_that_cannot_take_a_delivered_transaction_is_read_again(logs: list[EventDict]) -> None:
    live = Live()
    live.process(1, deleted(RELATION, None))
    live.process(2, new(2))
    query = live.unread("a")
    assert not live.hand_over(query, [1], Snapshot(1_001, 1_001, frozenset()))
    assert query.window is None
    assert reasons(logs) == [("warning", "a deleted row of messages came without replica identity")]
    assert live.hand_over(query, [2], Snapshot(1_003, 1_003, frozenset()))
    assert live.process(3, new(3)).changed != []


def test_a_query_that_is_read_again_goes_on_from_its_new_rows() -> None:
    live = Live()
    query = live.query("a", [1])
    first = query.window
    assert live.hand_over(query, [1, 2])
    assert query.window is not first
    assert [changed for changed, _ in live.process(1, new(3)).changed] == [query]
    assert [identifier for identifier, _ in query.current().documents] == ["1", "2", "3"]


def test_a_query_that_is_forgotten_while_a_transaction_is_processed_gets_no_event() -> None:
    live = Live()
    first, second, third = live.query("a", [1]), live.query("b"), live.query("c")

    def forget() -> None:
        """The first list has changed, the second not yet."""
        if len(first.current().documents) > 1:
            live.dispatcher.forget(second)

    many = [new(number) for number in range(2, 2_002)]
    outcome = finished(live.dispatcher.process(transaction_of(1, *many, new(5_000, "b"), new(5_000, "c"))), forget)
    assert [changed for changed, _ in outcome.changed] == [first, third]
    assert live.process(2, new(6_000, "b")).changed == []


# -- what cannot be applied ----------------------------------------------------------------------------------------


def test_a_row_that_the_stream_does_not_identify_breaks_the_windows_of_its_table(
    logs: list[EventDict],
) -> None:
    live = Live()
    query = live.query("a", [1])
    outcome = live.process(1, deleted(RELATION, None))
    assert (outcome.refresh, outcome.changed, outcome.ddl) == ({query}, [], [])
    assert query.stale_since == 1_000_000
    assert live.ids(query) == [1], "until it is read again"
    assert reasons(logs) == [("warning", "a deleted row of messages came without replica identity")]
    assert live.hand_over(query, [], Snapshot(1_002, 1_002, frozenset()))
    assert live.process(2, new(2)).refresh == set()


def test_values_that_the_catalog_does_not_know_have_it_loaded_once_and_the_windows_read_again(
    logs: list[EventDict],
) -> None:
    live = Live()
    query = live.query("a", [1], where=[["likes", ">", 0]])
    wrong = list(row(2, "a"))
    wrong[5] = b"many"
    outcome = live.process(1, inserted(RELATION, wrong), inserted(RELATION, wrong))
    assert outcome.ddl == [DdlNote("STREAM", [MESSAGES.oid])]
    assert outcome.refresh == {query}
    assert [level for level, _ in reasons(logs)] == ["warning"], "logged once"
    assert logs[0]["exc_info"] is None, "an expected disagreement has no traceback"


def test_an_error_that_is_not_expected_is_logged_with_its_traceback(logs: list[EventDict]) -> None:
    outcome = Outcome()
    outcome.disagree(MESSAGES, RuntimeError("a defect"))
    assert logs[0]["exc_info"] is not None
    assert outcome.ddl == [DdlNote("STREAM", [MESSAGES.oid])]


def test_a_label_that_is_newer_than_the_catalog_is_no_warning(logs: list[EventDict]) -> None:
    Outcome().disagree(MESSAGES, UnknownLabelError(b"new"))
    assert reasons(logs) == [("info", "the enum has no label 'new' in the catalog in use")]


def test_a_document_that_cannot_be_encoded_has_its_query_read_again_and_no_other() -> None:
    live = Live()
    query, other = live.query("a", [1]), live.query("a", [1])
    assert query.window is not None

    def encode(values: Sequence[Value]) -> bytes:
        raise ValueError("no JSON")

    query.window.plan = replace(query.window.plan, encode=encode)
    outcome = live.process(1, new(2))
    assert (outcome.refresh, [changed for changed, _ in outcome.changed]) == ({query}, [other])
    assert live.ids(query) == [1]


def test_a_list_that_has_become_too_long_is_read_again_also_if_its_limit_is_larger_than_a_list_may_be() -> None:
    live = Live(max_rows=3)
    query, limited = live.query("a", [1, 2, 3]), live.query("a", [1, 2, 3], limit=3)
    large = live.query("a", [1, 2, 3], limit=1000)
    assert query.window is not None
    outcome = live.process(1, new(0))
    assert (outcome.refresh, [changed for changed, _ in outcome.changed]) == ({query, large}, [limited])


def test_a_query_whose_spare_rows_run_low_is_read_again_and_goes_on_meanwhile() -> None:
    live = Live(spare_rows=4)
    query = live.query("a", range(1, 7), limit=2)
    assert live.process(1, deleted(RELATION, key(1))).refresh == set()
    assert live.process(2, deleted(RELATION, key(2))).refresh == set()
    assert live.process(3, deleted(RELATION, key(3))).refresh == set()
    outcome = live.process(4, deleted(RELATION, key(4)))
    assert (outcome.refresh, [changed for changed, _ in outcome.changed]) == ({query}, [query])
    assert live.ids(query) == [5, 6]


def test_a_truncated_table_empties_its_lists() -> None:
    live = Live()
    query, reread = live.query("a", [1, 2]), live.reread(MESSAGES.oid)
    outcome = live.process(1, truncated(RELATION))
    assert (live.ids(query), outcome.refresh) == ([], {reread})


def test_a_large_value_that_was_left_alone_is_the_one_in_the_window() -> None:
    live = Live()
    query = live.query("a", [1])
    large = list(row(1, "a"))
    large[3] = UNCHANGED
    large[5] = b"7"
    live.process(1, updated(RELATION, large))
    [(_, document)] = live.lists[query]
    assert orjson.loads(document)["likes"] == 7
    assert orjson.loads(document)["body"].startswith("message number 1")
