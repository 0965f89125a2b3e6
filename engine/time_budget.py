"""Seconds of work that one user may have done."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

__all__ = ["TimeBudget"]


class TimeBudget:
    """``burst`` seconds of work at once, and ``rate`` of a second per second after that. ``clock``: seconds, monotonic.

    ``debt``: seconds of work beyond the budget that are remembered at most.
    """

    __slots__ = ("__weakref__", "_at", "_burst", "_clock", "_debt", "_left", "_rate")

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic, *, debt: float = inf
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._debt = debt
        self._clock = clock
        self._at = clock()
        self._left = burst

    @property
    def wait(self) -> float:
        """Seconds until more may be done; 0: now."""
        return max(0.0, -self.left / self._rate)

    @property
    def left(self) -> float:
        """Seconds of work that may be done now; negative: so much was done beyond the budget."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        return self._left

    @property
    def full(self) -> bool:
        """Whether nothing of it has been used lately."""
        return self.left >= self._burst

    def charge(self, seconds: float) -> float:
        """Work has taken ``seconds``. Returns what is ``left``."""
        now = self._clock()
        left = self._left + (now - self._at) * self._rate
        if left > self._burst:
            left = self._burst
        left -= seconds
        self._left = left = left if left > -self._debt else -self._debt
        self._at = now
        return left
