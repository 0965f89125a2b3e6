"""The timers of channels whose messages are conflated: one for each channel that holds some."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

__all__ = ["ConflationTimers"]

_LEAST: Final = 0.001  # seconds: timers of uvloop count milliseconds, and may end early


class ConflationTimers:
    """Calls ``release`` with a channel when it is due by :meth:`clock`, in the event loop."""

    def __init__(self, release: Callable[[str], None]) -> None:
        self._release = release
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def clock(self) -> int:
        """Nanoseconds that only grow."""
        return time.monotonic_ns()

    def set(self, channel: str, due: int) -> None:
        """Call at ``due``, instead of when it was set for."""
        self.cancel(channel)
        wait = max(_LEAST, (due - self.clock()) / 1e9)
        self._timers[channel] = asyncio.get_running_loop().call_later(wait, self._fire, channel)

    def cancel(self, channel: str) -> None:
        """Do not call."""
        if (timer := self._timers.pop(channel, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """Call no more."""
        for channel in list(self._timers):
            self.cancel(channel)

    def _fire(self, channel: str) -> None:
        del self._timers[channel]
        self._release(channel)
