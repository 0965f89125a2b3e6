"""How much a node has to do: what a scale-out goes by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.metrics.instruments import Histogram
from engine.metrics.registry import Registry

__all__ = ["LoadMetrics", "Sample"]

FULL_LAG = 0.1
"""Seconds of event loop lag of a full node. More counts no more: a single halt is no reason for many nodes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """``capacity`` None: unlimited; ``cpu``: of one processor; ``loop_lag``: seconds, the 95th percentile."""

    connections: int
    capacity: int | None
    cpu: float
    loop_lag: float


class LoadMetrics:
    """Gauges, measured by :meth:`take`; and how many clients were asked to move."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._cpu = registry.gauge(
            "realtime_cpu_ratio", "Processor time of the node, as a part of one processor: a Python process uses one."
        )
        self._load = registry.gauge(
            "realtime_load_ratio",
            "The largest of connections by capacity, processor time, and event loop lag by 0.1 s: 1 is a full node.",
        )
        self.moved = registry.counter(
            "realtime_moves_total", "Clients that were asked to connect again to other nodes."
        )
        self._before: tuple[float, float] | None = None
        self._lags: Histogram | None = None

    def take(self, now: float, processor: float, connections: int) -> Sample:
        """What was measured since the last time. ``now`` and ``processor``: seconds, of a clock and of the process."""
        registry = self._registry
        registry.measure()
        before, self._before = self._before, (now, processor)
        passed = 0.0 if before is None else now - before[0]
        cpu = 0.0 if before is None or passed <= 0 else (processor - before[1]) / passed
        lags = registry.merged("realtime_event_loop_lag_seconds")
        lag = (lags if self._lags is None else lags.since(self._lags)).quantile(0.95) or 0.0
        self._lags = lags
        capacity = registry.value("realtime_connections_capacity")
        self._cpu.value = cpu
        self._load.value = max(cpu, connections / capacity, min(1.0, lag / FULL_LAG))
        return Sample(connections, round(capacity) if math.isfinite(capacity) else None, cpu, lag)
