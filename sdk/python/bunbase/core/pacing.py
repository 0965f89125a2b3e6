"""Stays below the server's rate limit, so that no message is rejected and the order of messages is kept.

The server has a bucket of *L* tokens that gains *L* per second. Messages sent evenly can arrive at once, when a network
delays them. So two bounds together: at most *L*/2 messages are unanswered, and sends pass a bucket of *L*/2 that gains
0.9 *L* per second. In any *t* seconds at most *L*/2 (under way before) + *L*/2 + 0.9 *L t* messages can then arrive, which
the server's bucket always holds.
"""

from __future__ import annotations

import math

__all__ = ["Pacer"]


class Pacer:
    """The pacer of one connection. ``now``: seconds on any monotonic clock."""

    def __init__(self, rate: float) -> None:
        self._capacity = max(1.0, math.floor(rate / 2) - 1)  # one less: heartbeats bypass the pacer
        self._rate = 0.9 * rate
        self._tokens = self._capacity
        self._at: float | None = None
        self._blocked_until = 0.0
        self.unanswered = 0

    def wait(self, now: float) -> float:
        """Seconds until the next message may be sent; infinite while an answer must arrive first."""
        if now < self._blocked_until:
            return self._blocked_until - now
        if self.unanswered >= self._capacity:
            return math.inf
        self._refill(now)
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self._rate

    def sent(self, now: float) -> None:
        """A message went out."""
        self._refill(now)
        self._tokens -= 1
        self.unanswered += 1

    def answered(self) -> None:
        """An answer came in."""
        self.unanswered = max(0, self.unanswered - 1)

    def block(self, until: float) -> None:
        """The server rejected a message because of its limit nevertheless: pause until ``until``."""
        self._blocked_until = max(self._blocked_until, until)

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._rate)
        self._at = now
