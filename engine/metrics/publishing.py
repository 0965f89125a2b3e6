"""What publishing costs."""

from __future__ import annotations

from engine.metrics.instruments import SECONDS, SIZES
from engine.metrics.registry import Registry

__all__ = ["PublishMetrics"]


class PublishMetrics:
    """Batches of messages that clients publish: one statement and one commit each."""

    def __init__(self, registry: Registry) -> None:
        self._sizes = registry.histogram(
            "realtime_publish_batch_messages", "Messages that were published in one transaction.", SIZES
        )
        self._seconds = registry.histogram(
            "realtime_publish_batch_seconds", "How long such a transaction took, with its commit.", SECONDS
        )

    def batch(self, messages: int, seconds: float) -> None:
        """A transaction with so many messages was committed."""
        self._sizes.observe(messages)
        self._seconds.observe(seconds)
