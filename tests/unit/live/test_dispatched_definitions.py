"""What changed definitions, distrust and interruptions of the stream do to the windows of live queries."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import orjson
import pytest

from engine.catalog.policies import UNKNOWN
from engine.live.core import dispatcher as dispatcher_module
from engine.postgres.snapshot import ReadResult
from engine.query.ir.reread_plan import ReReadPlan
from engine.transaction import Message
from tests.support.values.changes import inserted
from tests.support.values.message_stream import MESSAGES
from tests.unit.live.test_dispatcher import ALL_SHOWN, RELATION, Live, key, new, note

# -- definitions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "broken"),
    [
        (note(oids=[MESSAGES.oid]), True),
        (note(all=True), True),
        (note(oids=[99]), False),
        (Message("realtime.ddl", b"no json", True), False),
        (Message("another", orjson.dumps({"tag": "x", "all": True}), True), False),
    ],
    ids=["its table", "everything", "another table", "not a note", "another prefix"],
)
def test_a_changed_definition_invalidates_the_windows_over_it(message: Message, broken: bool) -> None:
    live = Live()
    query = live.query("a", [1])
    outcome = live.process(1, message, new(2))
    assert outcome.refresh == ({query} if broken else set())
    assert len(outcome.ddl) == (message.prefix == "realtime.ddl" and message.content != b"no json")
    assert live.ids(query) == ([1] if broken else [1, 2])


@pytest.mark.parametrize(
    ("message", "broken"),
    [
        (note(tag="ALTER DOMAIN", types=[99]), True),
        (note(tag="DROP TYPE", types=[99]), True),
        (note(tag="ALTER TYPE", oids=[99]), True),  # so come attributes of composite types
        (note(tag="DROP TABLE", oids=[99], types=[100, 101]), False),
        (note(tag="DROP VIEW", oids=[99], types=[100, 101]), False),
        (note(tag="COMMENT", types=[99]), False),
        (note(tag="ALTER TABLE", oids=[99]), False),
    ],
    ids=lambda each: each.content.decode() if isinstance(each, Message) else None,
)
def test_types_that_no_column_has_concern_tables_with_policies_and_rows_of_other_tables_none(
    message: Message, broken: bool
) -> None:
    """With every table that is dropped, a work table too, the types of its rows are."""
    for policies, concerned in ((replace(UNKNOWN, problem=None), broken), (None, False)):
        live = Live(replace(MESSAGES, policies=policies))
        query = live.query("a", [1])
        assert live.process(1, message, new(2)).refresh == ({query} if concerned else set())
        assert live.ids(query) == ([1] if concerned else [1, 2])


def test_tables_that_are_the_same_in_a_new_catalog_keep_their_windows() -> None:
    live = Live()
    query = live.query("a", [1])
    assert live.use(replace(MESSAGES)) == set()
    assert live.process(1, new(2)).changed != []
    changed = replace(MESSAGES, problem="its replica identity is nothing")
    assert live.use(changed) == {MESSAGES.oid}
    live.dispatcher.distrust({99})
    assert live.process(2, new(3)).changed != [], "another table is meant"
    live.dispatcher.distrust({MESSAGES.oid})
    assert query.window is not None
    assert query.window.invalidated == "the table's definition changed"
    assert live.process(3, new(4)).changed == []
    assert live.use() == {MESSAGES.oid}


def test_distrust_of_all_tables_invalidates_every_window() -> None:
    live = Live()
    query = live.query("a", [1])
    live.dispatcher.distrust(None)
    assert query.window is not None
    assert query.window.invalidated
    assert live.ids(query) == [1]


def test_changes_reach_the_windows_of_the_table_in_use_and_those_of_its_former_definition() -> None:
    """A new catalog is in use before each query has been read over it: until then both definitions have windows."""
    live = Live()
    live.query("a", [1])
    live.use(replace(MESSAGES, remediable=True))
    query = live.query("a", [1])
    assert [changed for changed, _ in live.process(1, new(2)).changed] == [query]


# -- the stream is interrupted -------------------------------------------------------------------------------------


@pytest.mark.parametrize("other_history", [False, True])
def test_an_interrupted_stream_invalidates_every_window(other_history: bool) -> None:
    live = Live()
    query, reread = live.query("a", [1]), live.reread(MESSAGES.oid)
    live.process(1, new(2))
    if other_history:
        live.tail.forget()
    live.dispatcher.interrupt(other_history=other_history)
    assert query.window is not None
    assert query.window.invalidated == "the stream was interrupted"
    assert isinstance(reread.plan, ReReadPlan)
    live.dispatcher.hand_over_rows(reread, reread.plan, ReadResult(ALL_SHOWN, [], ()))
    assert reread.due == (None if other_history else 1001), "another history has not got those transactions"
    assert live.process(2, new(3)).changed == []
    assert live.ids(query) == [1, 2]


def test_relations_that_come_and_go_without_end_are_not_remembered_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher_module, "_MAX_ROUTES", 20)
    live = Live()
    query = live.query("a", [1])
    for oid in range(50_000, 50_050):
        live.process(oid, inserted(msgspec.structs.replace(RELATION, oid=oid), key(1)))
        assert len(live.dispatcher._routes) <= 21
    assert live.process(60_000, new(2)).changed != []
    assert live.ids(query) == [1, 2]
