"""What is counted: plain attributes, read when a scrape asks for them.

``prometheus_client``'s own instruments take a lock for each addition, which a server that delivers tens of thousands of
messages a second cannot afford. All additions are made in the event loop's thread, and so is the reading.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

__all__ = ["LATENCIES", "SECONDS", "SIZES", "Counter", "Gauge", "Histogram"]

LATENCIES: Final = tuple(
    int(bound * 100) for bound in (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000)
)
"""Bounds of latencies, in microseconds."""

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds of times that reads and writes of the database take."""

SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
"""Bounds of how many there are in a batch."""


class Counter:
    """Add to ``value``, never take away."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Gauge:
    """Set ``value``."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Histogram:
    """How many observations there were up to each bound.

    Args:
        bounds: ascending, in the unit of what is observed.
        scale: what one unit is in that of the metric: 1e-6 for microseconds where the metric has seconds.

    ``counts`` has one more element than ``bounds``: what was beyond the last. ``sum`` is in the unit of the observations.
    """

    __slots__ = ("bounds", "counts", "scale", "sum")

    def __init__(self, bounds: Sequence[float], scale: float = 1.0) -> None:
        self.bounds = tuple(bounds)
        self.scale = scale
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum: float = 0

    def observe(self, value: float, count: int = 1) -> None:
        """``value`` was observed so many times. Below zero, where clocks differ, counts as zero."""
        if value < 0:
            value = 0
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self.counts)

    def plus(self, other: Histogram) -> Histogram:
        """The observations of both, which have the same bounds."""
        return self._with(
            [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)], self.sum + other.sum
        )

    def since(self, earlier: Histogram) -> Histogram:
        """The observations after those of ``earlier``, a copy of the same one."""
        return self._with(
            [ours - theirs for ours, theirs in zip(self.counts, earlier.counts, strict=True)], self.sum - earlier.sum
        )

    def _with(self, counts: list[int], sum: float) -> Histogram:
        made = Histogram(self.bounds, self.scale)
        made.counts, made.sum = counts, sum
        return made

    def quantile(self, share: float) -> float | None:
        """About what ``share`` (0 to 1) of the observations are not above, in the unit of the metric; None without any.

        Linear within a bucket, as Prometheus' ``histogram_quantile`` has it; the last bound for what is beyond it.
        """
        rank, seen = share * self.count, 0
        if not self.count:
            return None
        for place, count in enumerate(self.counts[:-1]):
            if count and seen + count >= rank:
                low = self.bounds[place - 1] if place else 0.0
                return (low + (self.bounds[place] - low) * (rank - seen) / count) * self.scale
            seen += count
        return self.bounds[-1] * self.scale
