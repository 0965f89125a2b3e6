"""Detects a client that does not read the written bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["StallTimer"]


class StallTimer:
    """Looks, from ``start`` to ``stop``, whether bytes get fewer within ``timeout`` seconds.

    While it is stopped it has nothing of its owner: a cycle is left to the cyclic collector.
    """

    __slots__ = ("_loop", "_timeout", "_timer")

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def start(self, unsent: Callable[[], int], drop: Callable[[], None]) -> None:
        """Bytes wait from now on. ``drop`` is called if ``unsent`` bytes do not get fewer."""
        self.stop()
        self._timer = self._loop.call_later(self._timeout, self._check, unsent, drop, unsent())

    def stop(self) -> None:
        """They were taken."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, unsent: Callable[[], int], drop: Callable[[], None], before: int) -> None:
        now = unsent()
        if before and now >= before:
            self._timer = None
            drop()
        else:
            self._timer = self._loop.call_later(self._timeout, self._check, unsent, drop, now)
