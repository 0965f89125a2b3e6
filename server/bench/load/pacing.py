"""Work at a steady rate, and waiting that ends when nothing comes any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

__all__ = ["TICK", "paced", "until"]

TICK: Final = 0.001
"""Seconds between two looks at the clock: no shorter sleep is known to the event loop."""


async def paced(total: int, rate: float, begin: Callable[[int, float], None]) -> None:
    """Call ``begin(number, lateness)`` for each of ``total``, ``rate`` a second; ``lateness``: seconds behind the plan.

    What is late is begun at once, so the load does not give way to a slow server.
    """
    began, number = time.monotonic(), 0
    while number < total:
        passed = time.monotonic() - began
        due = min(total, int(passed * rate) + 1)
        while number < due:
            begin(number, passed - number / rate)
            number += 1
        await asyncio.sleep(max(TICK, began + number / rate - time.monotonic()))


async def until(count: Callable[[], int], wanted: int, stuck: float) -> bool:
    """Wait until ``count()`` is ``wanted``; False if it stays the same for ``stuck`` seconds before."""
    before, since = -1, time.monotonic()
    while (now := count()) < wanted:
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > stuck:
            return False
        await asyncio.sleep(5 * TICK)
    return True
