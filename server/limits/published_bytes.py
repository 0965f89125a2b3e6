"""How many bytes of messages one user may publish, over all its connections and requests to this node."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from server.limits.exceeded import LimitExceededError
from server.limits.network_rates import NetworkRates, Quota
from server.ports.channels import Member

__all__ = ["PublishedBytes"]

_DEFAULT: Final = 4 << 20


class PublishedBytes:
    """Counts them per second. One message of ``largest`` bytes passes however small ``rate`` is, which is in bytes per
    second. ``clock``: seconds, monotonic.
    """

    def __init__(
        self, rate: int = _DEFAULT, largest: int = 128 * 1024, clock: Callable[[], float] = time.monotonic
    ) -> None:
        burst = max(rate, largest)
        self._rate = rate
        self._rates = NetworkRates(Quota("bytes", burst, burst / rate))
        self._clock = clock

    def count(self, member: Member, size: int) -> None:
        """Count a message of ``size`` bytes. Raises ``LimitExceededError`` if it is too much for now."""
        whose = member.counted_as
        if whose is None:
            return
        usage = self._rates.count(whose, self._clock(), size)
        if not usage.allowed:
            raise LimitExceededError(
                f"more than {self._rate} bytes of messages per second; this one was not carried out", usage.wait
            )
