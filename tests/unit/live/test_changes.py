"""A difference, applied, gives the list it was made for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Generator, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.live.core.document_changes import (
    BATCH,
    MODIFIED,
    DocChange,
    WindowEvent,
    apply_changes,
    changes_in_batches,
    changes_json,
    list_changes,
)
from engine.live.core.places import list_order
from engine.tasks import in_turns
from tests.support.examples import examples

lists = st.lists(
    st.tuples(st.sampled_from("abcdefghijkl"), st.sampled_from([b"1", b"2"])), unique_by=lambda item: item[0]
)


@settings(max_examples=examples(200))
@given(lists, lists)
def test_applying_the_changes_to_the_list_before_gives_the_list_after(
    before: list[tuple[str, bytes]], after: list[tuple[str, bytes]]
) -> None:
    changes = list_changes(before, after)
    work = list(before)
    apply_changes(work, changes)
    assert work == after
    assert len({change.id for change in changes}) == len(changes)


class _Seen(tuple[str, bytes]):
    """A document that counts each time it is looked at."""

    __slots__ = ()
    times = 0

    def __iter__(self) -> Iterator[Any]:
        _Seen.times += 1
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        _Seen.times += 1
        return super().__eq__(other)

    __hash__ = tuple.__hash__


@pytest.mark.parametrize("arrange", ["equal", "reversed", "other", "first"])
def test_large_lists_are_compared_and_encoded_in_batches_between_which_others_have_their_turn(arrange: str) -> None:
    after = [_Seen((str(number), b"{}")) for number in range(5_000)]
    before = {
        "equal": list(after),
        "reversed": after[::-1],
        "other": [_Seen((str(number), b"[]")) for number in range(5_000)],
        "first": [],
    }[arrange]
    most, result = 0, None
    steps = _changes_and_json(before, after)
    while result is None:
        _Seen.times = 0
        try:
            next(steps)
        except StopIteration as done:
            result = done.value
        most = max(most, _Seen.times)
    assert most <= 2 * BATCH
    assert result == (list_changes(before, after), WindowEvent(1, False, list_changes(before, after)).changes_json)


def _changes_and_json(before: list[_Seen], after: list[_Seen]) -> Generator[None, None, tuple[list[DocChange], bytes]]:
    changes = yield from changes_in_batches(before, after)
    return changes, (yield from changes_json(changes))


async def test_others_have_their_turns_between_the_batches_and_the_time_of_these_is_measured() -> None:
    turns: list[str] = []

    def steps() -> Generator[None, None, str]:
        for _ in range(3):
            turns.append("batch")
            yield
        return "done"

    async def other() -> None:
        while len(turns) < 6:
            turns.append("other")
            await asyncio.sleep(0)

    (result, seconds), _ = await asyncio.gather(in_turns(steps()), other())
    assert result == "done"
    assert seconds > 0
    assert turns == ["batch", "other"] * 3


@given(lists)
def test_equal_lists_have_no_changes(items: list[tuple[str, bytes]]) -> None:
    assert list_changes(items, list(items)) == []


def test_one_document_that_moves_is_one_change() -> None:
    before = [(name, b"{}") for name in "abcdef"]
    changes = list_changes(before, before[1:] + before[:1])
    assert [(change.type, change.old_index, change.new_index) for change in changes] == [(MODIFIED, 0, 5)]


def test_an_event_is_json_with_the_document_as_it_is() -> None:
    event = WindowEvent(1, True, list_changes([], [('the "id"', b'{"n":1.50}')]))
    assert orjson.loads(event.changes_json) == [
        {"type": "added", "oldIndex": -1, "newIndex": 0, "doc": {"id": 'the "id"', "data": {"n": 1.5}}}
    ]
    assert b"1.50" in event.changes_json


@pytest.mark.parametrize("arrange", ["shuffled", "reversed", "rotated"])
def test_the_difference_of_ten_thousand_rearranged_rows_takes_some_steps_per_row(arrange: str) -> None:
    size = 10_000
    ranks = list(range(size))
    if arrange == "shuffled":
        random.Random(1).shuffle(ranks)
    else:
        ranks = ranks[::-1] if arrange == "reversed" else ranks[size // 2 :] + ranks[: size // 2]
    order, _ = asyncio.run(in_turns(list_order(ranks, size)))
    for rank in range(size):
        if rank in order.staying:
            order.keep(rank)
        else:
            order.take(rank)
            order.put(rank)
    assert 0 < order.steps <= size * 3 * 14  # log2(10,000) = 14

    before = [(str(rank), b"{}") for rank in ranks]
    after = [(str(rank), b"{}") for rank in range(size)]
    changes = list_changes(before, after)
    apply_changes(before, changes)
    assert before == after
