"""What reading live queries costs."""

from __future__ import annotations

from typing import Final

from engine.metrics.instruments import SIZES
from engine.metrics.registry import Registry

__all__ = ["STRATEGIES", "LiveMetrics"]

STRATEGIES: Final = ("incremental", "re-read", "sql")
"""How a live query is kept: by its changes, by reading it again, and reading again a client's own SQL."""

_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class LiveMetrics:
    """Reads by collection and strategy: the shape of what is read."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._reads = registry.histograms(
            "realtime_query_read_seconds",
            "How long reading a live query took, the first time or again; in a batch with the wait for it.",
            _SECONDS,
            "collection",
            "strategy",
        )
        self._batches = registry.histogram(
            "realtime_read_batch_seconds",
            "How long a statement took that read for many sets of claims or values.",
            _SECONDS,
        )
        self.batch_sizes = registry.histogram(
            "realtime_read_batch_claims", "Sets of claims or values that one statement read for.", SIZES
        )
        self.queries = registry.gauges("realtime_live_queries", "Live queries that are kept, by strategy.", "strategy")
        self.subscriptions = registry.gauges(
            "realtime_live_subscriptions", "Subscriptions to live queries, by strategy.", "strategy"
        )

    def read(self, collection: str, strategy: str, seconds: float) -> None:
        """A query was read."""
        self._reads.of(collection, strategy).observe(seconds)

    def batch(self, size: int, seconds: float) -> None:
        """A statement read for ``size`` sets of claims or values."""
        self._batches.observe(seconds)
        self.batch_sizes.observe(size)
