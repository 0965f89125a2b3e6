"""Commits in no haste follow one another at a pace; a few go at once, and one in haste takes all with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from psycopg import AsyncConnection

from engine.channels.db.commit_pace import CommitPace
from engine.channels.db.locked_queries import LockedQueries
from engine.channels.db.write_batcher import WriteBatcher

T = TypeVar("T")


def test_a_few_commits_go_at_once_and_the_next_ones_at_an_even_pace() -> None:
    pace = CommitPace(interval=0.5, burst=3)
    begun: list[float] = []
    now = 100.0
    while len(begun) < 7:
        now += max(0.0, pace.wait(now))
        pace.begin(now)
        begun.append(now)
    assert begun == [100.0, 100.0, 100.0, 100.5, 101.0, 101.5, 102.0]


def test_after_a_rest_a_few_go_at_once_again_and_no_more_than_that() -> None:
    pace = CommitPace(interval=0.5, burst=2)
    for now in (0.0, 0.0):
        assert pace.wait(now) <= 0
        pace.begin(now)
    assert pace.wait(0.0) == 0.5
    for _ in range(2):
        assert pace.wait(1000.0) <= 0
        pace.begin(1000.0)
    assert pace.wait(1000.0) == 0.5


class Database:
    """Notes what is committed together."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []

    async def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        self.commits.append([name])
        return []

    async def attempt(self, work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
        raise AssertionError("several at once are not awaited here")


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was committed by several together."""
    found: list[list[str]] = []

    async def attempt(self: Database, work: Any) -> None:
        [writes] = work.args
        found.append([write.name for write in writes])
        for write in writes:
            write.rows = []

    monkeypatch.setattr(Database, "attempt", attempt)
    return found


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_rows_of_connections_wait_for_one_another_and_not_where_one_is_in_haste(batches: list[list[str]]) -> None:
    database = Database()
    batcher = WriteBatcher(database, LockedQueries(), CommitPace(interval=1000.0, burst=1))
    await batcher.rows("engine_connect", id="1")
    later = [asyncio.create_task(batcher.rows("engine_connect", id=f"{number}")) for number in range(2, 5)]
    await _turns()
    assert (database.commits, batches) == ([["engine_connect"]], [])
    await batcher.rows("engine_set_presence", channel="c", connection="1")
    await asyncio.gather(*later)
    assert [sorted(batch) for batch in batches] == [["engine_connect"] * 3 + ["engine_set_presence"]]


async def test_as_many_as_a_transaction_takes_do_not_wait(batches: list[list[str]]) -> None:
    batcher = WriteBatcher(Database(), LockedQueries(), CommitPace(interval=1000.0, burst=1))
    await batcher.rows("engine_connect", id="first")
    async with asyncio.timeout(60):
        await asyncio.gather(*(batcher.rows("engine_connect", id=f"{number}") for number in range(256)))
    assert list(map(len, batches)) == [256]
