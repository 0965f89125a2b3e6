"""The end of a proof of identity: the client is warned before, so that it can renew it, and its connection then ends."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from server.wire.wheels import Wheels

__all__ = ["Expiring", "ExpiryTimer"]

_WARNING: Final = 60.0
_CHECK: Final = 300.0
_SOON: Final = 1.25 * _CHECK  # of what comes later the wheel takes care, also if it turns late


class Expiring(Protocol):
    """What ends with the proof."""

    def warn_of_expiry(self, seconds: float) -> None:
        """It ends in so many seconds."""

    def expire(self) -> None:
        """It has ended."""


class ExpiryTimer:
    """From ``start`` to ``stop``, warns ``owner`` once, with the seconds that are left, then ends it.

    The warning comes a minute before the end, or when two thirds of a shorter time have passed: a client that renews a
    short-lived token at each warning does not do so all the time. The clock may be set, and the machine may sleep: the clock
    is read again every five minutes, by a wheel that all share; only what is due soon has a timer of its own. While it is
    stopped it has nothing of its owner: see ``StallTimer``.
    """

    __slots__ = ("_expires_at", "_owner", "_place", "_timer", "_warn_at", "_wheels")

    def __init__(self, wheels: Wheels) -> None:
        self._wheels = wheels
        self._timer: asyncio.TimerHandle | None = None
        self._place: int | None = None  # on the wheel
        self._owner: Expiring | None = None
        self._expires_at = 0.0
        self._warn_at: float | None = None

    def start(self, expires_at: float, owner: Expiring) -> None:
        """Begin, or begin again. ``expires_at``: seconds since the Unix epoch. Calls nothing by itself."""
        if self._owner is not None:
            self.stop()
        self._owner = owner
        self._expires_at = expires_at
        now = time.time()
        self._warn_at = expires_at - min(_WARNING, (expires_at - now) / 3)
        self._wait(now)

    def stop(self) -> None:
        """Call nothing any more."""
        self._owner = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._place is not None:
            self._wheels.every(_CHECK).leave(self, self._place)
            self._place = None

    def _wait(self, now: float) -> None:
        at = self._expires_at if self._warn_at is None else self._warn_at
        left = max(at - now, 0)
        if left > _SOON:
            if self._place is None:
                self._place = self._wheels.every(_CHECK).enter(self)
            return
        if self._place is not None:
            self._wheels.every(_CHECK).leave(self, self._place)
            self._place = None
        self._timer = asyncio.get_running_loop().call_later(min(left, _CHECK), self.beat)

    def beat(self) -> None:
        """Read the clock."""
        owner = self._owner
        if owner is None:
            return
        self._timer = None
        now = time.time()
        left = self._expires_at - now
        if left <= 0:
            self.stop()
            owner.expire()
            return
        due = self._warn_at is not None and now >= self._warn_at
        if due:
            self._warn_at = None
        self._wait(now)
        if due:
            owner.warn_of_expiry(left)
