"""The search for the highest rate that holds."""

from __future__ import annotations

import pytest

from server.bench.load.search import Sustained, highest_sustained


@pytest.mark.parametrize("limit", [3.0, 90.0, 1_000.0, 33_333.0])
async def test_the_highest_rate_is_found_within_a_few_percent(limit: float) -> None:
    asked: list[float] = []

    async def play(rate: float) -> Sustained:
        asked.append(rate)
        return Sustained(rate <= limit, True, {"rate": rate})

    best = await highest_sustained(play, 100.0, 20)
    assert best.sustained
    assert limit / 1.08 <= best.line["rate"] <= limit  # type: ignore[operator]
    assert len(asked) < 20


async def test_where_none_holds_the_last_one_is_the_answer() -> None:
    async def play(rate: float) -> Sustained:
        return Sustained(False, True, {"rate": rate})

    assert not (await highest_sustained(play, 8.0, 3)).sustained


async def test_a_load_that_cannot_be_made_higher_ends_the_search() -> None:
    async def play(rate: float) -> Sustained:
        return Sustained(True, rate < 400, {"rate": rate})

    assert (await highest_sustained(play, 100.0, 20)).line == {"rate": 400.0}
