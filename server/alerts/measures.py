"""What one node measures for alerts, out of its metrics: as they are now, and over the last five minutes. No I/O, no clock.

What clients do as they like is no fault of a node. Errors are those of the server (:data:`FAULTS`); refusals, which a
client causes with messages that are malformed, forbidden or too many, do not count. Disconnects are those of WebSockets:
over the others a client that leaves looks like one whose connection broke. Shares of few are no shares: below
:data:`FEW` errors or broken connections in the window they count as zero. ``deploy/prometheus/alerts.yml`` has the same.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from engine.errors import ErrorCode
from engine.metrics.instruments import Histogram
from engine.metrics.registry import Registry

__all__ = ["BROKEN", "FAULTS", "FEW", "FEW_OF_OPEN", "WINDOW", "Measures"]

WINDOW: Final = 300.0
"""Seconds over which shares and latencies are measured."""

FEW: Final = 20

FEW_OF_OPEN: Final = 0.05
"""As a share of the open WebSockets: so many more have to break, since some always do."""

_TRANSPORTS: Final = ("websocket", "sse", "poll")
FAULTS: Final = (ErrorCode.CONNECTION_FAILED,)  # all other codes are answers to what a client did
BROKEN: Final = ("1006", "1011", "4008")  # close codes: no close frame came, the server failed, or it had to give up


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
            sum(
                registry.value("realtime_errors_total", transport=each, code=code)
                for each in _TRANSPORTS
                for code in FAULTS
            ),
            registry.value("realtime_connections_closed_total", transport="websocket"),
            sum(
                registry.value("realtime_connections_closed_total", transport="websocket", code=each) for each in BROKEN
            ),
            registry.merged("realtime_delivery_latency_seconds"),
        )
        samples = self._samples
        samples.append(sample)
        while len(samples) > 1 and samples[1].at <= now - WINDOW:
            samples.popleft()
        first = samples[0]
        few_broken = FEW + FEW_OF_OPEN * registry.value("realtime_connections", transport="websocket")
        return {
            "connection_share": registry.value("realtime_connections")
            / registry.value("realtime_connections_capacity"),
            "error_share": _share(sample.errors - first.errors, sample.received - first.received, FEW),
            "disconnect_share": _share(sample.broken - first.broken, sample.closed - first.closed, few_broken),
            "delivery_seconds": sample.latencies.since(first.latencies).quantile(0.95) or 0.0,
        }


def _share(some: float, all: float, least: float) -> float:
    """``some`` of ``all``; of an error that answers no message ``all`` does not know. Zero for less than ``least``."""
    return 0.0 if some < least else some / max(some, all)
