"""Detects a client that does not read the written bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Self

__all__ = ["NO_STALLS", "StallTimer"]


class StallTimer:
    """Looks, from ``start`` to ``stop``, whether bytes get fewer within ``timeout`` seconds.

    While it is stopped it has nothing of its owner: a cycle is left to the cyclic collector.
    """

    __slots__ = ("_timeout", "_timer")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def start(self, unsent: Callable[[], int], drop: Callable[[], None]) -> Self:
        """Bytes wait from now on. ``drop`` is called if ``unsent`` bytes do not get fewer. Returns itself."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._timeout, self._check, unsent, drop, unsent())
        return self

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
            self._timer = asyncio.get_running_loop().call_later(self._timeout, self._check, unsent, drop, now)


NO_STALLS: Final = StallTimer(0.0)
"""Of connections that have not been congested: it is never started."""
