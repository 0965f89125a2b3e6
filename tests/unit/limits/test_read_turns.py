"""Connections with much to read take turns, so that a turn of the event loop reads about as much as one message."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from server.limits.read_turns import TURN, ReadTurns


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
