"""How often, or how much, each network may do: a token bucket per network, kept while it is not full. No clock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from server.limits.token_bucket import TokenBucket

__all__ = ["NetworkRates", "Quota", "Usage"]


@dataclass(frozen=True, slots=True)
class Quota:
    """``amount`` times in ``window`` seconds. ``name``: of what, in the header ``RateLimit-Policy``."""

    name: str
    amount: float
    window: float


@dataclass(frozen=True, slots=True)
class Usage:
    """``left``: how often the client may do it now; ``wait``: seconds until it may do what was counted; ``allowed``: the
    request that was counted is within the quota.
    """

    quota: Quota
    left: int
    wait: float
    allowed: bool


class NetworkRates:
    """Counts per network (see :func:`engine.identity.networks.network_of`), or user. A bucket that has not been used for a
    window is full, so it is dropped: memory holds the networks of the last window.
    """

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._buckets: OrderedDict[str, tuple[TokenBucket, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def count(self, network: str, now: float, amount: float = 1) -> Usage:
        """Count ``amount``; the result has whether it is within the quota. ``now``: seconds on a clock that never goes
        back.
        """
        self._forget(now - self.quota.window)
        bucket, _ = self._buckets.pop(network, (None, 0.0))
        if bucket is None:
            bucket = TokenBucket(self.quota.amount / self.quota.window, self.quota.amount)
        self._buckets[network] = bucket, now
        allowed = bucket.take(now, amount)
        return Usage(self.quota, bucket.left, bucket.wait_for(amount), allowed)

    def floods(self, network: str, now: float) -> bool:
        """Whether it goes on after as many refusals as the quota has. False again once the bucket is full."""
        bucket, _ = self._buckets.get(network, (None, 0.0))
        if bucket is None:
            return False
        bucket.gain(now)
        return bucket.refused > self.quota.amount

    def _forget(self, before: float) -> None:
        while self._buckets:
            network, (_, used) = next(iter(self._buckets.items()))
            if used > before:
                return
            del self._buckets[network]
