"""Detects a client that does not read the written bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["StallTimer"]


class StallTimer:
    """Calls ``drop`` if ``unsent`` bytes do not get fewer for ``timeout`` seconds. Runs from ``start`` to ``stop``."""

    def __init__(self, timeout: float, unsent: Callable[[], int], drop: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._unsent = unsent
        self._drop = drop
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Bytes wait from now on."""
        self.stop()
        self._timer = self._loop.call_later(self._timeout, self._check, self._unsent())

    def stop(self) -> None:
        """They were taken."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, before: int) -> None:
        unsent = self._unsent()
        if before and unsent >= before:
            self._drop()
        else:
            self._timer = self._loop.call_later(self._timeout, self._check, unsent)
