"""Changes of a table reach exactly the windows that they concern, whatever the stream sends of a row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.catalog.model import Table
from engine.live.core.rows import Row
from engine.live.core.table_windows import RelationChangedError, RowUnknownError, TableWindows
from engine.live.core.window import Window
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.transaction import UNCHANGED, UNKNOWN, Change, Value
from engine.values.pg_types import Collation, Column, TypeInfo
from tests.support.values.changes import deleted, inserted, relation_of, truncated, updated

TEXT = TypeInfo(25, "text", "base", category="S")
C = Collation("C", deterministic=True, bytewise=True, ascii_case=True)


def table_of(*names: str, identity: tuple[int, ...] = (0,), replica_identity: str = "d") -> Table:
    """A table of texts whose primary key is the first column."""
    columns = tuple(Column(name, number, TEXT, C, True, field=name) for number, name in enumerate(names, 1))
    return Table(
        7,
        "public",
        "notes",
        "notes",
        columns,
        (0,),
        identity,
        replica_identity,
        tuple((name, TEXT.oid) for name in names),
        frozenset({7}),
    )


NOTES = table_of("id", "room", "body")


class Windows:
    """A table with a window per room, and what each one shows."""

    def __init__(self, table: Table = NOTES, rooms: str = "ab") -> None:
        self.live = TableWindows(table)
        self.dirty: dict[Window, None] = {}
        self.windows = {room: self.window([["room", "==", room]]) for room in rooms}

    def window(self, where: object) -> Window:
        plan = compile_incremental(parse_query({"where": where, "orderBy": ["id"]}, self.live.table), self.live.table)
        assert isinstance(plan, IncrementalPlan)
        window = Window(plan)
        window.load([])
        self.live.add(window)
        return window

    def apply(self, *changes: Change, skip: tuple[str, ...] = ()) -> list[str]:
        """Apply a transaction; returns the rooms whose windows were touched."""
        for change in changes:
            self.live.apply(change, self.dirty, {self.windows[room] for room in skip})
        touched = [room for room, window in self.windows.items() if window in self.dirty]
        for window in self.dirty:
            window.commit()
        self.dirty.clear()
        return touched

    def shown(self, room: str) -> list[Row]:
        return [tuple(row) for row in self.windows[room].shown]


def row(*values: str | None) -> tuple[Value, ...]:
    return tuple(None if value is None else value.encode() for value in values)


def test_an_update_concerns_the_window_that_holds_the_old_row_and_the_one_that_takes_the_new_one() -> None:
    windows, notes = Windows(rooms="abc"), relation_of(NOTES)
    assert windows.apply(inserted(notes, row("1", "a", "x"))) == ["a"]
    assert windows.apply(updated(notes, row("1", "b", "x"))) == ["a", "b"]
    assert (windows.shown("a"), windows.shown("b")) == ([], [row("1", "b", "x")])
    assert windows.apply(updated(notes, row("2", "b", "x"), row("1", None, None))) == ["b"], "with another key"
    assert windows.shown("b") == [row("2", "b", "x")]
    assert windows.apply(deleted(notes, row("1", None, None))) == [], "nothing holds it any more"
    assert windows.apply(deleted(notes, row("2", None, None))) == ["b"]
    assert windows.shown("b") == []


def test_every_window_that_holds_a_row_gets_its_change() -> None:
    windows, notes = Windows(rooms="a"), relation_of(NOTES)
    windows.windows |= {name: windows.window([["body", "==", "x"]]) for name in "xy"}
    assert windows.apply(inserted(notes, row("1", "a", "x"))) == ["a", "x", "y"]
    windows.live.remove(windows.windows["y"])
    windows.dirty.clear()
    assert windows.apply(updated(notes, row("1", "a", "z"))) == ["a", "x"]
    assert windows.apply(deleted(notes, row("1", None, None))) == ["a"]
    assert list(windows.live.rows.windows(b"1")) == [], "the index keeps nothing of a row that no window holds"


def test_a_removed_window_gets_no_change_and_is_removed_once() -> None:
    windows, notes = Windows(), relation_of(NOTES)
    windows.apply(inserted(notes, row("1", "a", "x")))
    window = windows.windows["a"]
    windows.live.remove(window)
    windows.live.remove(window)
    windows.dirty.clear()
    assert windows.apply(updated(notes, row("1", "a", "y"))) == []
    assert window not in windows.live.windows
    assert windows.shown("a") == [row("1", "a", "x")], "what subscribers have stays"


def test_windows_whose_snapshot_shows_a_transaction_are_skipped() -> None:
    windows, notes = Windows(), relation_of(NOTES)
    first = row("1", "a", "x")
    windows.apply(inserted(notes, first))
    both = [updated(notes, row("1", "b", "x")), inserted(notes, row("2", "a", "x"))]
    assert windows.apply(*both, skip=("a",)) == ["b"]
    assert windows.shown("a") == [first]
    assert windows.apply(deleted(notes, row("1", None, None)), skip=("b",)) == ["a"]
    assert windows.apply(truncated(notes), skip=("a", "b")) == []
    assert windows.shown("b") == [row("1", "b", "x")]
    assert windows.apply(truncated(notes), skip=("a",)) == ["b"]
    assert windows.shown("b") == []


@pytest.mark.parametrize("kind", ["insert", "update", "delete", "truncate"])
def test_one_window_alone_catches_up_with_a_change(kind: str) -> None:
    windows, notes = Windows(), relation_of(NOTES)
    start, other = row("1", "a", "x"), row("2", "a", "x")
    windows.apply(inserted(notes, start))
    twin = windows.window([["room", "==", "a"]])
    twin.load([start])
    change, expected = {
        "insert": (inserted(notes, other), [start, other]),
        "update": (updated(notes, row("1", "a", "y")), [row("1", "a", "y")]),
        "delete": (deleted(notes, row("1", None, None)), []),
        "truncate": (truncated(notes), []),
    }[kind]
    windows.live.apply_to(twin, change)
    twin.commit()
    assert [tuple(each) for each in twin.shown] == expected
    assert windows.shown("a") == [start], "no other window sees the change"


def test_columns_in_another_order_and_columns_that_the_layout_lacks_are_arranged_by_name() -> None:
    wide = replace(NOTES, stream_columns=(("hidden", 25), *NOTES.stream_columns))
    windows, notes = Windows(wide), relation_of(wide)
    windows.apply(inserted(notes, row("secret", "1", "a", "x")))
    assert windows.shown("a") == [row("1", "a", "x")]
    windows.apply(deleted(notes, row(None, "1", None, None)))
    assert windows.shown("a") == []


def test_a_layout_of_one_column_out_of_several_is_a_row_of_one() -> None:
    narrow = replace(table_of("id"), stream_columns=(("hidden", 25), ("id", 25)))
    windows, notes = Windows(narrow, rooms=""), relation_of(narrow)
    windows.windows["all"] = windows.window([])
    windows.apply(inserted(notes, row("secret", "1")))
    assert windows.shown("all") == [row("1")]


def test_a_relation_with_other_columns_than_the_catalog_is_refused() -> None:
    windows = Windows()
    renamed = relation_of(table_of("id", "room", "text"))
    with pytest.raises(RelationChangedError, match=r"public\.notes have changed"):
        windows.apply(inserted(renamed, row("1", "a", "x")))
    with pytest.raises(RelationChangedError, match=r"public\.notes have changed"):
        windows.live.apply_to(windows.windows["a"], inserted(renamed, row("1", "a", "x")))


@pytest.mark.parametrize(
    "change",
    [
        deleted(relation_of(NOTES), None),
        deleted(relation_of(NOTES), (None, b"a", b"x")),
        updated(relation_of(NOTES), (UNCHANGED, b"a", b"x")),
        updated(relation_of(NOTES), (b"1", b"a", b"x"), (UNKNOWN, None, None)),
    ],
    ids=["a delete without the old row", "a null key", "an unsent new key", "an unsent old key"],
)
def test_a_change_of_a_row_that_the_stream_does_not_identify_is_refused(change: Change) -> None:
    with pytest.raises(RowUnknownError, match="notes"):
        Windows().apply(change)


def test_a_row_is_followed_by_an_identity_of_several_columns() -> None:
    pairs = table_of("id", "room", "body", identity=(0, 1))
    windows, notes = Windows(pairs), relation_of(pairs)
    windows.apply(inserted(notes, row("1", "a", "x")))
    windows.apply(updated(notes, row("1", "b", "x"), row("1", "a", None)))
    assert (windows.shown("a"), windows.shown("b")) == ([], [row("1", "b", "x")])
    with pytest.raises(RowUnknownError):
        windows.apply(deleted(notes, (b"1", UNKNOWN, None)))


@pytest.mark.parametrize(("replica_identity", "broken"), [("f", False), ("d", True)])
def test_a_value_left_alone_is_taken_from_the_old_row_where_the_stream_sends_all_of_it(
    replica_identity: str, broken: bool
) -> None:
    """The row enters the window of room b: its large value is known only by the old row."""
    table = replace(NOTES, replica_identity=replica_identity)
    windows, notes = Windows(table, rooms="b"), relation_of(table)
    old = row("1", "a", "large" if replica_identity == "f" else None)
    windows.live.apply(updated(notes, (b"1", b"b", UNCHANGED), old), windows.dirty)
    assert list(windows.dirty) == [windows.windows["b"]], "a window that is invalidated is to be read again"
    assert (windows.windows["b"].invalidated is not None) is broken
    windows.windows["b"].commit()
    assert windows.shown("b") == ([] if broken else [row("1", "b", "large")])


def test_a_row_whose_primary_key_changes_under_the_same_replica_identity_is_another_document() -> None:
    by_room = table_of("id", "room", "body", identity=(1,))
    windows, notes = Windows(by_room, rooms="a"), relation_of(by_room)
    windows.apply(inserted(notes, row("1", "a", "x")))
    windows.live.apply(updated(notes, row("2", "a", "x")), windows.dirty)
    changes = windows.windows["a"].commit()
    assert [(change.type, change.id) for change in changes] == [("removed", "1"), ("added", "2")]
