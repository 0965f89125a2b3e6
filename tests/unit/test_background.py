"""Tasks of a service end when it ends."""

from __future__ import annotations

import asyncio

from engine.background import Background


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
