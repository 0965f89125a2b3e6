"""How many messages a connection may send: a token bucket without a clock. It only counts; the refusal, and the close
of a connection that goes on, are in :mod:`server.session.message_reader`.

The ready-made limiters wait for a token, keep their counts in a shared store or read the clock themselves; a
session's must answer yes or no at once, cost two floats per connection, and take its time from outside, as everything
sans-I/O does.
"""

from __future__ import annotations

__all__ = ["TokenBucket"]


class TokenBucket:
    """Holds up to ``rate`` tokens and gains ``rate`` per second: bursts of one second's worth pass.

    ``refused`` counts refusals since the bucket was last full.
    """

    __slots__ = ("_at", "_rate", "_tokens", "refused")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._at: float | None = None
        self.refused = 0

    def take(self, now: float) -> bool:
        """Take a token if there is one. ``now``: seconds on any clock that never goes back."""
        if self._at is not None:
            self._tokens += (now - self._at) * self._rate
            if self._tokens >= self._rate:
                self._tokens = self._rate
                self.refused = 0
        self._at = now
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        return True
