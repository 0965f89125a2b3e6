"""Tasks of a service end when it ends."""

from __future__ import annotations

import asyncio

import pytest

from engine.background import Background
from engine.tasks import end


async def test_a_task_that_misses_being_cancelled_is_ended_all_the_same() -> None:
    begun = asyncio.Event()
    missed: list[object] = []

    async def stubborn() -> None:
        while True:
            begun.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if missed:
                    raise
                missed.append(True)  # as if a query had failed at that moment

    background = Background("test")
    task = background.spawn(stubborn())
    await begun.wait()
    async with asyncio.timeout(20):
        await background.stop()
    assert missed
    assert task.cancelled()
    assert background.failure is None


async def test_what_a_task_ends_has_ended_when_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.tasks._AGAIN", 0.001)
    begun = asyncio.Event()
    missed: list[object] = []

    async def stubborn() -> None:
        while len(missed) < 5:
            begun.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                missed.append(True)

    async def owner() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await end([owned])

    owned, owning = asyncio.create_task(stubborn()), asyncio.create_task(owner())
    await begun.wait()
    async with asyncio.timeout(20):
        await end([owning])
    assert owning.cancelled()
    assert owned.done()
