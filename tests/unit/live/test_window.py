"""A window, notified of random transactions, shows what the query run again would."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.live.core.document_changes import apply_changes, list_changes
from engine.live.core.row_index import RowIndex
from engine.live.core.window import Effect, Window, read_size
from engine.transaction import UNCHANGED, UNKNOWN
from tests.support.examples import examples

Row = tuple[Any, ...]


@dataclass
class Plan:
    """``select id, rank, body from t where kind = 'a' order by rank desc, id limit N`` over (id, kind, rank, body);
    ``narrow``: ``select id, body``.
    """

    limit: int | None
    narrow: bool = False
    needs: frozenset[int] = frozenset({0, 1, 2})
    query: Any = None
    table: Any = field(
        default_factory=lambda: SimpleNamespace(
            columns=(SimpleNamespace(exposed=True),) * 4, primary_key=(0,), identity=(0,)
        )
    )

    def __post_init__(self) -> None:
        self.query = SimpleNamespace(projection=(("id", "id"), ("body", "body")) if self.narrow else None)

    def matches(self, row: Row) -> bool:
        return bool(row[1] == b"a")

    def sort_key(self, row: Row) -> tuple[Any, ...]:
        return (-int(row[2]), row[0])

    def identity(self, row: Row) -> bytes:
        return row[0]  # type: ignore[no-any-return]

    def doc_id(self, row: Row) -> str:
        return row[0].decode()  # type: ignore[no-any-return]

    def encode(self, row: Row) -> bytes:
        return repr((row[0], row[3]) if self.narrow else row).encode()


class StrictIndex(RowIndex[Window]):
    """Takes each row once, and gives back only what it has."""

    def __init__(self) -> None:
        super().__init__()
        self.held: set[Any] = set()

    def add(self, identity: Any, window: Window) -> None:
        assert identity not in self.held
        self.held.add(identity)
        super().add(identity, window)
        assert list(self.windows(identity)) == [window]

    def remove(self, identity: Any, window: Window) -> None:
        self.held.remove(identity)
        super().remove(identity, window)
        assert list(self.windows(identity)) == []


class Client:
    """A table in a dict, a window over it, and a client's list made of the changes alone."""

    def __init__(self, limit: int | None, rows: list[Row], spare_rows: int = 10, *, narrow: bool = False) -> None:
        self.plan = Plan(limit, narrow)
        self.spare_rows = spare_rows
        self.table = {row[0]: row for row in rows}
        self.list: list[tuple[str, bytes]] = []
        self.rebases = 0
        self.read()

    def answer(self, size: int | None) -> list[Row]:
        rows = sorted((r for r in self.table.values() if self.plan.matches(r)), key=self.plan.sort_key)
        return rows[:size]

    def documents(self) -> list[tuple[str, bytes]]:
        return [(self.plan.doc_id(row), self.plan.encode(row)) for row in self.answer(self.plan.limit)]

    def read(self) -> None:
        self.index = StrictIndex()
        self.window = Window(self.plan, self.spare_rows)  # type: ignore[arg-type]
        self.window.load(self.answer(self.plan.limit and read_size(self.plan.limit, self.spare_rows)))
        for identity in self.window.identities:
            self.index.add(identity, self.window)
        after = [(self.plan.doc_id(row), self.plan.encode(row)) for row in self.window.shown]
        apply_changes(self.list, list_changes(list(self.list), after))

    def took(self, effect: Effect | None) -> None:
        entered, left = effect or (None, ())
        if entered is not None:
            self.index.add(entered, self.window)
        for identity in left:
            self.index.remove(identity, self.window)

    def commit(self) -> None:
        shown = len(self.window.shown)
        assert [self.plan.doc_id(row) for row in self.window.shown] == [i for i, _ in self.list], (
            "not before the commit"
        )
        changes = self.window.commit()
        if self.window.invalidated:
            assert changes == []
            assert len(self.window.shown) == shown, "an invalidated window goes on showing what it showed"
            self.rebases += 1
            self.read()
        else:
            assert len({change.id for change in changes}) == len(changes), "one change a document"
            assert changes == [] or self.list != self.documents(), "no change of a list that stays as it is"
            apply_changes(self.list, changes)
            assert [self.plan.doc_id(row) for row in self.window.shown] == [i for i, _ in self.list]
        assert self.list == self.documents()
        assert self.index.held == {row[0] for row in self.window._rows}


ids = st.integers(0, 40).map(lambda n: b"%02d" % n)
rows = st.tuples(ids, st.sampled_from([b"a", b"a", b"b"]), st.integers(0, 9).map(lambda n: b"%d" % n), st.just(b"x"))
operations = st.one_of(
    st.tuples(st.just("write"), rows),
    st.tuples(st.just("write"), rows),
    st.tuples(st.just("delete"), ids),
    st.tuples(st.just("rename"), ids, rows),
    st.tuples(st.just("toast"), ids, st.integers(0, 9).map(lambda n: b"%d" % n)),
    st.tuples(st.just("shift"), st.integers(0, 9), st.sampled_from([-2, -1, 1, 1, 20])),
    st.tuples(st.just("truncate"), st.just(b"")),
)
transactions = st.lists(st.lists(operations, max_size=25), max_size=12)


def play(client: Client, operation: tuple[Any, ...]) -> None:
    table, window = client.table, client.window
    match operation:
        case ("write", row):
            if row[0] in table:
                client.took(window.update(row[0], row[0], row))
            else:
                client.took(window.insert(row[0], row))
            table[row[0]] = row
        case ("delete", identity) if table.pop(identity, None):
            client.took(window.delete(identity))
        case ("rename", old, row) if old in table and row[0] not in table:
            del table[old]
            table[row[0]] = row
            client.took(window.update(old, row[0], row))
        case ("toast", identity, rank) if identity in table:
            old = table[identity]
            table[identity] = (identity, old[1], rank, old[3])
            client.took(window.update(identity, identity, (identity, old[1], rank, UNCHANGED), whole=False))
        case ("shift", least, by):
            for identity, kind, rank, body in [row for row in table.values() if int(row[2]) >= least]:
                play(client, ("write", (identity, kind, b"%d" % (int(rank) + by), body)))
        case ("truncate", _):
            table.clear()
            client.took(window.truncate())


@settings(max_examples=examples(200), deadline=None)
@given(
    st.one_of(st.none(), st.integers(1, 12)),
    st.sampled_from([1, 10]),
    st.booleans(),
    st.lists(rows, max_size=60, unique_by=lambda r: r[0]),
    transactions,
)
def test_after_every_commit_the_list_is_the_query_run_again(
    limit: int | None, spare_rows: int, narrow: bool, start: list[Row], history: list[list[tuple[Any, ...]]]
) -> None:
    client = Client(limit, start, spare_rows, narrow=narrow)
    assert client.list == client.documents()
    for transaction in history:
        for operation in transaction:
            play(client, operation)
        client.commit()


@pytest.mark.parametrize(
    ("operations", "changes"),
    [
        ([("write", (b"03", b"a", b"61", b"x"))], []),
        ([("write", (b"03", b"a", b"71", b"x"))], [("modified", 3, 2, "03")]),
        ([("write", (b"03", b"a", b"61", b"y"))], [("modified", 3, 3, "03")]),
        ([("write", (b"02", b"a", b"71", b"x")), ("write", (b"07", b"a", b"25", b"x"))], []),
        ([("shift", 0, 100)], []),
        ([("shift", 40, 10), ("write", (b"99", b"a", b"45", b"x"))], [("added", -1, 6, "99")]),
        ([("shift", 40, 10), ("delete", b"03")], [("removed", 3, -1, "03")]),
        ([("shift", 40, 10), ("write", (b"09", b"a", b"200", b"x"))], [("modified", 9, 0, "09")]),
    ],
)
def test_a_row_without_another_document_or_place_is_no_change(
    operations: list[tuple[Any, ...]], changes: list[tuple[str, int, int, str]]
) -> None:
    client = Client(None, [(b"%02d" % n, b"a", b"%d" % (90 - 10 * n), b"x") for n in range(10)], narrow=True)
    for operation in operations:
        play(client, operation)
    found = [(each.type, each.old_index, each.new_index, each.id) for each in client.window.commit()]
    assert found == changes


def test_deletes_that_use_up_the_spare_rows_ask_for_another_read() -> None:
    client = Client(10, [(b"%02d" % n, b"a", b"1", b"") for n in range(41)])
    for n in range(11):
        play(client, ("delete", b"%02d" % n))
        client.commit()
    assert client.rebases == 1


def test_spare_rows_save_reads() -> None:
    client = Client(10, [(b"%02d" % n, b"a", b"1", b"") for n in range(41)])
    for n in range(9):
        play(client, ("delete", b"%02d" % n))
        client.commit()
    assert client.rebases == 0
    assert client.window.needs_refill


def test_rows_beyond_the_spare_ones_are_not_kept() -> None:
    client = Client(2, [], spare_rows=2)
    for number in range(10):  # each comes first
        play(client, ("write", (b"%02d" % number, b"a", b"%d" % number, b"x")))
        client.commit()
    assert (len(client.window), client.rebases) == (4, 0)
    play(client, ("write", (b"00", b"a", b"0", b"y")))  # far beyond: it is not even looked up
    assert client.window.commit() == []
    for number in (9, 8):
        play(client, ("write", (b"%02d" % number, b"a", b"0", b"x")))  # moves beyond the bound, so it leaves
        client.commit()
    assert (len(client.window), client.rebases) == (2, 0)
    play(client, ("delete", b"07"))
    client.commit()
    assert client.rebases == 1, "which row comes next is not known here"


def test_a_row_that_is_evicted_by_the_transaction_that_moved_it_is_removed_from_the_list() -> None:
    client = Client(1, [(b"05", b"a", b"5", b"x")], spare_rows=1)
    for number in (9, 8, 7):
        play(client, ("write", (b"%02d" % number, b"a", b"%d" % number, b"x")))
    client.commit()
    assert [identifier for identifier, _ in client.list] == ["09"]


def test_a_row_beyond_the_bound_is_ignored_whatever_it_lacks() -> None:
    client = Client(1, [(b"%02d" % number, b"a", b"%d" % number, b"x") for number in range(9)], spare_rows=1)
    client.table[b"20"] = (b"20", b"a", b"0", b"large")
    client.window.insert(b"20", (b"20", b"a", b"0", UNKNOWN), whole=False)
    assert not client.window.invalidated
    client.window.insert(b"21", (b"21", b"a", b"9", UNKNOWN), whole=False)
    assert client.window.invalidated


def test_a_row_that_enters_without_all_its_values_breaks_the_window() -> None:
    client = Client(None, [])
    client.table[b"01"] = (b"01", b"a", b"1", b"large")
    client.window.update(b"01", b"01", (b"01", b"a", b"1", UNCHANGED), whole=False)
    assert client.window.invalidated
    client.commit()
    assert client.rebases == 1


def test_a_row_without_a_place_leaves_the_store_as_the_index_has_it() -> None:
    client = Client(None, [(b"01", b"a", b"1", b"x")])
    with pytest.raises(ValueError, match="no number"):
        client.window.update(b"01", b"02", (b"02", b"a", b"no number", b"x"))
    assert set(client.window.identities) == client.index.held == {b"01"}


def test_a_row_that_stays_outside_is_ignored_whatever_it_lacks() -> None:
    client = Client(None, [])
    client.window.update(b"01", b"01", (b"01", b"b", b"1", UNCHANGED), whole=False)
    assert not client.window.invalidated


def large_window(limit: int | None = None) -> tuple[Window, list[Row]]:
    table: list[Row] = [(b"%05d" % n, b"a", b"%d" % n, b"x") for n in range(10_000)]
    window = Window(Plan(limit))  # type: ignore[arg-type]
    window.load(table)
    return window, table


def test_a_change_of_one_row_does_not_copy_a_large_list() -> None:
    window, table = large_window()
    tracemalloc.start()
    try:
        window.update(table[5][0], table[5][0], (table[5][0], b"a", b"77777", b"x"))
        before = window.shown
        [change] = window.commit()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (change.old_index, change.new_index, len(before)) == (9994, 0, 10_000)
    assert most < 8 * len(table), "a list of that many pointers was made"


def test_a_list_that_is_held_does_not_change_with_its_window() -> None:
    window, table = large_window()
    first = list(window.shown)
    held = []
    for number in (5, 6):
        window.update(table[number][0], table[number][0], (table[number][0], b"a", b"77777", b"x"))
        held.append(window.shown)
        window.commit()
    last = list(window.shown)
    window.unload()
    second = [(table[5][0], b"a", b"77777", b"x"), *(row for row in first if row[0] != table[5][0])]
    assert [list(rows) for rows in held] == [first, second]
    assert list(window.shown) == last
    assert (held[0][0], held[0][-2:]) == (first[0], first[-2:])
