"""Latencies of the last minutes of a node, as text that the database keeps; ``realtime.stat_latency`` shows those of all."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

from engine.metrics.instruments import LATENCIES, Histogram
from engine.metrics.registry import Registry
from engine.metrics.stages import STAGES

__all__ = ["STEP", "TOTAL", "WINDOW", "RecentLatencies"]

WINDOW: Final = 300.0
"""Seconds that count."""

STEP: Final = 10.0
"""Seconds between two looks at the histograms, which is how exact the window is."""

TOTAL: Final = "total"
"""From the commit to the last byte written, beside the stages in between."""

_Histograms = Mapping[str, Histogram]


class RecentLatencies:
    """The observations of ``registry`` in the last :data:`WINDOW` seconds."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._samples: deque[tuple[float, _Histograms]] = deque([(-math.inf, self._histograms())])
        self._text = ""

    def text(self, now: float) -> str:
        """A JSON object, made anew every :data:`STEP` seconds; ``now``: on a clock that never goes back."""
        samples = self._samples
        if samples[-1][0] <= now - STEP:
            samples.append((now, self._histograms()))
            while len(samples) > 1 and samples[1][0] <= now - WINDOW:
                samples.popleft()
            first, last = samples[0][1], samples[-1][1]
            counts = {name: last[name].since(first[name]).counts for name in last}
            self._text = msgspec.json.encode({"bounds": LATENCIES, "counts": counts}).decode()
        return self._text

    def _histograms(self) -> _Histograms:
        merged = self._registry.merged
        found = {stage: merged("realtime_stage_latency_seconds", stage=stage) for stage in STAGES}
        return {**found, TOTAL: merged("realtime_delivery_latency_seconds")}
