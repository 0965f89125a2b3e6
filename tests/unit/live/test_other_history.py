"""The stream begins anew, in another history, below what the last one had reached."""

from __future__ import annotations

from time import monotonic

from engine.catalog.model import Catalog
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.outcome import Outcome
from engine.live.core.shared_query import LiveQuery
from engine.postgres.snapshot import ReadResult, Snapshot
from engine.stream.tail import TransactionTail
from engine.transaction import Transaction
from tests.support.steps import finished
from tests.support.values.message_stream import MESSAGES, insert, plan_for, relation, transaction


def test_transactions_in_a_snapshot_are_not_applied_again_although_positions_begin_lower() -> None:
    dispatcher, decoder = Dispatcher(TransactionTail(), monotonic), PgOutputDecoder()
    dispatcher.use(Catalog({"messages": MESSAGES}, {MESSAGES.oid: MESSAGES}))

    def process(number: int) -> Outcome:
        """Transaction ``number`` inserts a row with that number."""
        changes = [relation(), insert(number, "room")]
        [done] = [each for payload in transaction(number, changes) if (each := decoder.feed(payload)) is not None]
        assert isinstance(done, Transaction)
        return finished(dispatcher.process(done))

    process(100)
    position = dispatcher.position
    dispatcher.interrupt(other_history=True)
    plan = plan_for("room")
    query = LiveQuery(plan.visibility, plan.key, "messages", {})
    query.plan = plan
    # The row of transaction 10 is gone again; the stream, which is behind, brings it all the same.
    snapshot = Snapshot(1012, 1012, frozenset(), position=12 * 256)
    assert dispatcher.hand_over_window(query, plan, ReadResult(snapshot, [], ()))
    assert process(10).changed == []
    assert dispatcher.position == position, "positions that clients receive never go back"
    [(changed, changes)] = process(20).changed
    assert (changed, [change.type for change in changes]) == (query, ["added"])
