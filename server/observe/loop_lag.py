"""How late the event loop is: everything that a node does waits for it."""

from __future__ import annotations

import asyncio
from typing import Final

from engine.metrics.instruments import SECONDS
from engine.metrics.registry import Registry

__all__ = ["LoopLag"]

_INTERVAL: Final = 0.5  # seconds


class LoopLag:
    """Sleeps again and again, and observes how much later than asked for it wakes up."""

    def __init__(self, registry: Registry) -> None:
        self._lags = registry.histogram(
            "realtime_event_loop_lag_seconds", "How much later than asked for the event loop ran a timer.", SECONDS
        )

    async def watch(self) -> None:
        """Observe, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(_INTERVAL)
            self._lags.observe(loop.time() - began - _INTERVAL)
