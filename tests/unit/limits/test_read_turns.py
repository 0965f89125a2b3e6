"""Connections with much to read take turns, so that a turn of the event loop reads about as much as one message."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from server.limits.read_turns import LEAST, TURN, ReadTurns, next_read, size_in_turn


@pytest.mark.parametrize(("size", "each_turn"), [(TURN, 1), (4096, 16), (100_000, 1)], ids=["64k", "4k", "100k"])
async def test_a_turn_of_the_loop_reads_as_many_waiting_connections_as_make_up_64_kib(
    size: int, each_turn: int
) -> None:
    turns, read = ReadTurns(), list[int]()
    for number in range(40):
        turns.wait(size, partial(read.append, number))
    assert read == []
    seen = 0
    while seen < 40:
        await asyncio.sleep(0)
        assert len(read) == min(40, seen + each_turn)
        seen = len(read)
    assert read == list(range(40))


async def test_a_connection_that_always_has_much_to_read_waits_for_all_others_in_between() -> None:
    turns, read = ReadTurns(), list[str]()

    def read_on(name: str) -> None:
        read.append(name)
        turns.wait(TURN, partial(read_on, name))

    for name in "abc":
        turns.wait(TURN, partial(read_on, name))
    for _ in range(7):
        await asyncio.sleep(0)
    assert "".join(read) == "abcabca"


@pytest.mark.parametrize(
    ("most", "size", "milliseconds", "expected"),
    [
        (TURN, TURN, 1, TURN),
        (TURN, TURN, 8, TURN // 4),
        (TURN, TURN, 1000, LEAST),
        (LEAST, LEAST, 0, 2 * LEAST),
        (LEAST, LEAST, 1, 2 * LEAST),
        (2 * LEAST, 2 * LEAST, 4, LEAST),
        (TURN // 2, TURN // 2, 1.5, TURN // 2 * 2 // 1.5),
    ],
)
def test_bytes_that_take_long_are_read_fewer_of_at_once(
    most: int, size: int, milliseconds: float, expected: float
) -> None:
    assert next_read(most, size, milliseconds / 1000) == int(expected)


def test_a_read_that_has_taken_long_counts_as_more_of_a_turn() -> None:
    assert size_in_turn(5000, 0.0) == 5000
    assert size_in_turn(5000, 0.002) == TURN
