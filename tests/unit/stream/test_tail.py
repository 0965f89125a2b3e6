"""The tail keeps exactly what a snapshot might not show."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.postgres.snapshot import Snapshot
from engine.stream.tail import TransactionTail
from engine.transaction import Transaction


def transaction(xid: int, position: int) -> Transaction:
    return Transaction(position=position, end=position + 8, xid=xid, commit_time=0)


@pytest.mark.parametrize(
    ("xid", "shown"), [(9, True), (10, False), (11, True), (12, False), (13, True), (14, False), (99, False)]
)
def test_a_snapshot_shows_what_ended_before_it(xid: int, shown: bool) -> None:
    assert Snapshot.parse("10:14:10,12").shows(xid) is shown


@pytest.mark.parametrize(
    ("xmax", "xid", "shown"),
    [
        ((3 << 32) + 5, 0xFFFFFFF0, True),  # from before the 32-bit counter came round
        ((3 << 32) + 5, 7, False),
        ((3 << 32) - 5, 3, False),  # from after it came round
        ((3 << 32) - 5, 0xFFFFFFF0, True),
    ],
)
def test_transaction_ids_are_widened_across_the_epoch(xmax: int, xid: int, shown: bool) -> None:
    assert Snapshot(xmax, xmax, frozenset()).shows(xid) is shown


def test_a_transaction_stays_until_a_snapshot_shows_it() -> None:
    tail = TransactionTail()
    tail.append(transaction(10, 100))
    tail.append(transaction(11, 200))
    ticket = tail.begin_read()
    tail.end_read(ticket, Snapshot.parse("10:12:10"))
    assert [t.xid for t in tail.unseen_by(Snapshot.parse("10:10:"))] == [10]
    assert tail.confirmable == 0
    tail.end_read(tail.begin_read(), Snapshot.parse("12:12:"))
    assert len(tail) == 0
    assert tail.confirmable == 208


def test_another_history_leaves_nothing_to_be_joined_or_confirmed() -> None:
    tail = TransactionTail()
    tail.append(transaction(20, 500))
    tail.distrust()
    tail.forget()
    assert list(tail.unseen_by(Snapshot.parse("10:10:"))) == []
    tail.append(transaction(10, 100))
    tail.append(transaction(11, 200))
    assert [t.xid for t in tail.unseen_by(Snapshot.parse("11:11:"))] == [11]
    assert tail.confirmable == 0, "positions of the other history do not count"


def test_a_read_under_way_keeps_what_a_later_snapshot_has_shown() -> None:
    tail = TransactionTail()
    slow = tail.begin_read()
    tail.append(transaction(10, 100))
    tail.end_read(tail.begin_read(), Snapshot.parse("11:11:"))
    assert [t.xid for t in tail.unseen_by(Snapshot.parse("10:10:"))] == [10]
    later = tail.begin_read()
    tail.end_read(slow, Snapshot.parse("10:10:"))
    assert len(tail) == 0, "only the reads that began before the snapshot was known hold it back"
    tail.end_read(later, None)


@given(st.lists(st.integers(0, 3), max_size=60), st.randoms())
def test_no_read_ever_misses_a_transaction_its_snapshot_does_not_show(steps: list[int], random: Random) -> None:
    """Commits become visible some time after they are delivered; reads take their snapshot at any time between."""
    tail = TransactionTail()
    xid = 10
    invisible: set[int] = set()
    delivered: list[int] = []
    reads: list[tuple[int, Snapshot | None]] = []
    for step in steps:
        if step == 0:
            tail.append(transaction(xid, xid * 10))
            delivered.append(xid)
            invisible.add(xid)
            xid += 1
        elif step == 1 and invisible:
            invisible.discard(random.choice(sorted(invisible)))
        elif step == 2:
            ticket, snapshot = tail.begin_read(), None
            if random.random() < 0.5:
                snapshot = Snapshot(min(invisible, default=xid), xid, frozenset(invisible))
            reads.append((ticket, snapshot))
        elif reads:
            ticket, snapshot = reads.pop(random.randrange(len(reads)))
            snapshot = snapshot or Snapshot(min(invisible, default=xid), xid, frozenset(invisible))
            assert [t.xid for t in tail.unseen_by(snapshot)] == [x for x in delivered if not snapshot.shows(x)]
            tail.end_read(ticket, snapshot)


def test_late_transaction_is_read_in_commit_order_and_once() -> None:
    tail = TransactionTail()
    for number in (1, 3, 5):
        tail.append(transaction(10 + number, 100 * number))
    confirmable = tail.confirmable
    for number in (4, 2, 4, 0, 6):
        tail.insert(transaction(10 + number, 100 * number))
    assert [t.xid for t in tail] == [10, 11, 12, 13, 14, 15, 16]
    assert [t.xid for t in tail.unseen_by(Snapshot.parse("12:15:12"))] == [12, 15, 16]
    assert tail.confirmable == confirmable
    tail.end_read(tail.begin_read(), Snapshot.parse("20:20:"))
    assert len(tail) == 0
    assert tail.confirmable == 508
