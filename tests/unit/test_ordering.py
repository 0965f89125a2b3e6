"""The order of tests that run in several processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.ordering import dealt


@given(st.integers(0, 20), st.integers(0, 60), st.integers(1, 9))
def test_every_part_begins_with_its_share_of_the_long_tests(long: int, rest: int, processes: int) -> None:
    order = dealt([f"long {n}" for n in range(long)], [f"short {n}" for n in range(rest)], processes)
    assert sorted(order) == sorted([f"long {n}" for n in range(long)] + [f"short {n}" for n in range(rest)])
    shares = []
    while processes:  # the parts as worksteal cuts them
        size = len(order) // processes
        part, order = order[:size], order[size:]
        longs = [each for each in part if each.startswith("long")]
        assert part[: len(longs)] == longs
        shares.append(len(longs))
        processes -= 1
    assert max(shares) - min(shares) <= 1
