"""Counts of times in fixed buckets, which processes can add up (as HdrHistogram does).

The ``hdrhistogram`` package takes 1.9 µs to record a value and 0.2 µs is what a delivery may cost here, so these are its
buckets without it: 128 linear ones for each power of two of microseconds, so a value is known to 0.8 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["Histogram"]

_BITS: Final = 7
_HALF: Final = 1 << _BITS
_LONGEST: Final = (1 << 32) - 1  # microseconds: 71 minutes; longer ones count as this
_BUCKETS: Final = ((_LONGEST.bit_length() - _BITS - 1) << _BITS) + 2 * _HALF


class Histogram:
    """Times from 1 µs to 71 minutes. ``longest`` is exact, in seconds."""

    __slots__ = ("_counts", "count", "longest")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.longest = 0.0

    def record(self, nanoseconds: int) -> None:
        """Count a time."""
        us = min(max(nanoseconds // 1000, 0), _LONGEST)
        power = us.bit_length() - _BITS - 1
        self._counts[(power << _BITS) + (us >> power) if power > 0 else us] += 1
        self.count += 1
        if nanoseconds > self.longest * 1e9:
            self.longest = nanoseconds / 1e9

    def quantile(self, share: float) -> float:
        """The time in seconds that ``share`` (0 to 1) of all do not exceed: never less than it was. 0.0 without any."""
        wanted, passed = max(1.0, share * self.count), 0
        for bucket, count in enumerate(self._counts):
            passed += count
            if passed >= wanted:
                return min(_end(bucket) / 1e6, self.longest)
        return 0.0

    def add(self, other: Histogram) -> None:
        """Add what another process has counted."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.longest = max(self.longest, other.longest)

    def to_json(self) -> dict[str, Any]:
        """The buckets that are not empty."""
        return {"longest": self.longest, "counts": [[at, n] for at, n in enumerate(self._counts) if n]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Histogram:
        """What ``to_json`` made."""
        histogram = cls()
        histogram.longest = float(document["longest"])
        counts: Sequence[Sequence[int]] = document["counts"]
        for bucket, count in counts:
            histogram._counts[bucket] = count
            histogram.count += count
        return histogram


def _end(bucket: int) -> int:
    """The end of a bucket, in microseconds."""
    power = max(0, (bucket >> _BITS) - 1)
    return (bucket - (power << _BITS) + 1) << power
