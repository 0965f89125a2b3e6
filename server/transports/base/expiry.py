"""The end of a proof of identity: the client is warned before, so that it can renew it, and its connection then ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

__all__ = ["ExpiryTimer"]

_WARNING: Final = 60.0
_CHECK: Final = 300.0


class ExpiryTimer:
    """From ``start`` to ``stop``, calls ``warn`` with the seconds that are left, once, then ``end``.

    The warning comes a minute before the end, or when two thirds of a shorter time have passed: a client that renews a
    short-lived token at each warning does not do so all the time. The clock may be set, and the machine may sleep: the clock
    is read again every five minutes. While it is stopped it has nothing of its owner: see ``StallTimer``.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._expires_at = 0.0
        self._warn_at: float | None = None

    def start(self, expires_at: float | None, warn: Callable[[float], None], end: Callable[[], None]) -> None:
        """Begin, or begin again. ``expires_at``: seconds since the Unix epoch; None: never. Calls nothing by itself."""
        self.stop()
        if expires_at is not None:
            self._expires_at = expires_at
            self._warn_at = expires_at - min(_WARNING, (expires_at - time.time()) / 3)
            self._arm(warn, end)

    def stop(self) -> None:
        """Call nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, warn: Callable[[float], None], end: Callable[[], None]) -> None:
        at = self._expires_at if self._warn_at is None else self._warn_at
        self._timer = asyncio.get_running_loop().call_later(
            min(max(at - time.time(), 0), _CHECK), self._look, warn, end
        )

    def _look(self, warn: Callable[[float], None], end: Callable[[], None]) -> None:
        left = self._expires_at - time.time()
        if left <= 0:
            self._timer = None
            end()
            return
        if self._warn_at is not None and time.time() >= self._warn_at:
            self._warn_at = None
            warn(left)
        self._arm(warn, end)
