"""The log of a transaction's changes gives back what was put in, wherever it keeps it."""

from __future__ import annotations

import gc
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.feed.decoders.change_log import ChangeLog
from engine.transaction import Message


def _make(prefix: str, raw: bytes) -> Message:
    return Message(prefix, raw, True)


entries = st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=300)), max_size=200)


@given(entries, st.integers(0, 20_000))
def test_every_entry_comes_back_in_order_however_small_the_memory(added: list[tuple[int, bytes]], limit: int) -> None:
    log = ChangeLog(limit)
    makers = [partial(_make, str(i)) for i in range(3)]
    for number, raw in added:
        log.append(makers[number], raw)
    expected = [Message(str(number), raw, True) for number, raw in added]
    assert list(log) == expected
    assert list(log) == expected
    assert len(log) == len(added)
    assert bool(log) == bool(added)


@given(st.integers(0, 3_000_000))
def test_entries_larger_than_any_block_come_back(size: int) -> None:
    log = ChangeLog(1000)
    raws = [b"a", b"b" * size, b"c", b"d" * size, b"e"]
    for raw in raws:
        log.append(partial(_make, "m"), raw)
    assert [entry.content for entry in log if isinstance(entry, Message)] == raws


def test_several_can_iterate_at_once(tmp_path: Path) -> None:
    log = ChangeLog(1000, tmp_path)
    make = partial(_make, "m")
    for i in range(50_000):
        log.append(make, str(i).encode())
    assert log.spilled
    assert log.memory < 2_000_000
    assert list(tmp_path.iterdir()) == []  # unnamed
    one, other = iter(log), iter(log)
    for i in range(50_000):
        assert next(one) == next(other) == Message("m", str(i).encode(), True)


def leave_a_circle() -> None:
    """A log that has a file, and that its own entries refer to."""
    circle: list[object] = []

    def make(raw: bytes) -> Message:
        return Message(str(len(circle)), raw, True)

    log = ChangeLog(10)
    for _ in range(100):
        log.append(make, b"entry")
    assert log.spilled
    circle.append(log)


def test_the_file_of_a_log_that_is_garbage_in_a_circle_is_closed_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    gc.collect()
    unraisable.clear()  # what tests before this one have left
    leave_a_circle()
    gc.collect()
    assert unraisable == []
