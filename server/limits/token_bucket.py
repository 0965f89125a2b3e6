"""How often something may be done: a token bucket without a clock. It only counts; the refusal, and the close of a
connection that goes on, are of its users, such as :mod:`server.session.message_reader`.

The ready-made limiters wait for a token, keep their counts in a shared store or read the clock themselves; one of a
connection must answer yes or no at once, cost a few floats, and take its time from outside, as everything
sans-I/O does.
"""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Holds up to ``burst`` tokens (default: ``rate``, bursts of one second's worth pass) and gains ``rate`` per second.

    ``refused`` counts refusals since the bucket was last full.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens", "refused")

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self._rate = rate
        self._burst = self._tokens = rate if burst is None else burst
        self._at: float | None = None
        self.refused = 0

    @property
    def left(self) -> int:
        """Whole tokens, as of the last call of ``take``."""
        return int(self._tokens)

    @property
    def wait(self) -> float:
        """Seconds from the last call of ``take`` until there is a token."""
        return self.wait_for(1)

    def wait_for(self, amount: float) -> float:
        """Seconds from the last call of ``take`` until there are ``amount`` tokens."""
        return max(0.0, amount - self._tokens) / self._rate

    def gain(self, now: float) -> None:
        """Have the tokens of ``now``: seconds on any clock that never goes back."""
        if self._at is not None:
            self._tokens += (now - self._at) * self._rate
            if self._tokens >= self._burst:
                self._tokens = self._burst
                self.refused = 0
        self._at = now

    def take(self, now: float, amount: float = 1) -> bool:
        """Take ``amount`` tokens if there are as many. ``now``: as of :meth:`gain`."""
        if now != self._at:  # several messages of one read have one time
            self.gain(now)
        if self._tokens < amount:
            self.refused += 1
            return False
        self._tokens -= amount
        return True
