"""What one node measures for alerts, out of its metrics: as they are now, and over the last five minutes. No I/O, no clock.

Shares of few are no shares: below :data:`FEW` messages or closed connections in the window they count as zero.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from engine.metrics.instruments import Histogram
from engine.metrics.registry import Registry

__all__ = ["FEW", "WINDOW", "Measures"]

WINDOW: Final = 300.0
"""Seconds over which shares and latencies are measured."""

FEW: Final = 20

_TRANSPORTS: Final = ("websocket", "sse", "poll")
_BROKEN: Final = ("1006", "1011")  # close codes: no close frame came, or the server failed


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    received: float
    errors: float
    closed: float
    broken: float
    latencies: Histogram


class Measures:
    """Reads ``registry`` once in each pass."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._samples: deque[_Sample] = deque()

    def take(self, now: float) -> dict[str, float]:
        """The measures by name, as ``realtime.alert_rules`` has them. ``now``: seconds on a clock that never goes back."""
        registry = self._registry
        registry.measure()
        sample = _Sample(
            now,
            registry.value("realtime_messages_received_total"),
            sum(registry.value("realtime_errors_total", transport=each) for each in _TRANSPORTS),
            registry.value("realtime_connections_closed_total"),
            sum(registry.value("realtime_connections_closed_total", code=each) for each in _BROKEN),
            registry.merged("realtime_delivery_latency_seconds"),
        )
        samples = self._samples
        samples.append(sample)
        while len(samples) > 1 and samples[1].at <= now - WINDOW:
            samples.popleft()
        first = samples[0]
        return {
            "connection_share": registry.value("realtime_connections")
            / registry.value("realtime_connections_capacity"),
            "error_share": _share(sample.errors - first.errors, sample.received - first.received),
            "disconnect_share": _share(sample.broken - first.broken, sample.closed - first.closed),
            "delivery_seconds": sample.latencies.since(first.latencies).quantile(0.95) or 0.0,
        }


def _share(some: float, all: float) -> float:
    return 0.0 if all < FEW else some / all
