"""Positions of an earlier epoch, which are good once all messages from before have theirs."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from engine.channels.history import epochs
from engine.channels.history.epochs import Epochs


class Database:
    """``open_looks``: how often it is looked in vain whether all messages are recorded."""

    def __init__(self, open_looks: int = 0) -> None:
        self.open_looks = open_looks
        self.asked: Counter[str] = Counter()
        self.ended = 16

    async def rows(self, name: str) -> list[dict[str, Any]]:
        self.asked[name] += 1
        await asyncio.sleep(0)
        return [{"epoch": "former", "ended": f"0/{self.ended:X}", "parted": "0/20"}]

    async def keep(self, name: str, *, exact: bool) -> list[dict[str, Any]]:
        assert exact
        self.asked[name] += 1
        self.open_looks -= 1
        if self.open_looks < 0:
            self.ended = 32
        return []


async def test_clients_that_come_at_once_share_the_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "_LOOK", 0.0)
    database = Database(open_looks=3)
    found = Epochs(database)  # type: ignore[arg-type]
    found.current = "present"
    asked = [found.covers("former", position) for position in (16, 32, 33) for _ in range(500)]
    assert await asyncio.gather(*asked) == [*[True] * 1000, *[False] * 500]
    assert database.asked.total() < 30
    assert await found.covers("present", 1 << 60)
    assert await found.covers(None, 1 << 60)
    assert not await found.covers("another", 1)
    await found.close()


async def test_a_position_whose_messages_are_not_recorded_in_time_is_not_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "_RECORDED", 0.0)
    found = Epochs(Database(open_looks=1 << 30))  # type: ignore[arg-type]
    found.current = "present"
    assert not await found.covers("former", 32)
    assert await found.covers("former", 16)
    await found.close()
