"""How much of the processor users together may have who have had much done lately (*busy* users).

A fixed part would be too much beside others whose work fills the event loop, and too little where there is nothing else to
do. How long a message waits for the event loop follows from how much of the time the loop computes at all: the
waiting time of a queue is proportional to load / (1 - load), so at 0.8 it is four times that at 0.5. So busy users have what
the others leave of ``TARGET``, and a least part however much the others need.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import exp
from typing import Final

__all__ = ["LEAST", "TARGET", "WorkShare"]

LEAST: Final = 0.1
"""Of the processor, that busy users have together however much the others need."""

TARGET: Final = 0.5
"""Of the processor, up to which busy users fill the event loop."""

_BURST: Final = 0.02  # seconds by which busy users may be ahead of their part: what they seldom ask for is done at once
_MEMORY: Final = 1.0  # seconds: how far back the work of others counts
_LOOK: Final = 0.05  # seconds between two looks


class WorkShare:
    """See the module.

    Args:
        most: of the processor, that busy users have together at most; 1: all that they ask for.
        computed: seconds that the event loop's thread has computed.
        clock: seconds, monotonic.
        burst: seconds by which busy users may be ahead of their part.
    """

    def __init__(
        self,
        most: float = TARGET,
        computed: Callable[[], float] = time.thread_time,
        clock: Callable[[], float] = time.monotonic,
        *,
        burst: float = _BURST,
    ) -> None:
        self._most = most
        self._computed = computed
        self._clock = clock
        self._burst = burst
        self._rested = clock()  # when all that they have had will have been their part of the time
        self._others = TARGET  # of the processor, lately; until it is known busy users have the least
        self._theirs = 0.0  # seconds of busy users since the last look
        self._seen = computed(), clock()

    def rest(self, seconds: float) -> float:
        """Busy users have just had ``seconds`` of the processor (0: look only). Returns how many seconds they rest now."""
        self._theirs += seconds
        now = self._clock()
        self._rested = max(self._rested, now - seconds - self._burst) + seconds / self.now
        return max(0.0, self._rested - now)

    @property
    def now(self) -> float:
        """Their part of the processor (0 to 1)."""
        if self._most >= 1:
            return 1.0
        (computed, clock), passed = self._seen, self._clock() - self._seen[1]
        if passed > _LOOK:
            self._seen = self._computed(), clock + passed
            part = max(0.0, self._seen[0] - computed - self._theirs) / passed
            self._others += (1 - exp(-passed / _MEMORY)) * (min(part, 1.0) - self._others)
            self._theirs = 0.0
        return min(self._most, max(LEAST, TARGET - self._others))
