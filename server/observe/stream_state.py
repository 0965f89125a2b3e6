"""How far a process of a cluster is behind the stream in NATS, how much of it came, and how often it broke."""

from __future__ import annotations

from engine.feed.feed import Feed
from engine.metrics.registry import Registry
from engine.relay.followed import BREAKS, FollowedFeed

__all__ = ["StreamState"]


class StreamState:
    """See the module; set when they are read. Without NATS there are no values."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._behind = registry.gauges(
            "realtime_stream_lag_messages", "Messages in NATS that this node of a cluster has not taken."
        )
        self._age = registry.gauges(
            "realtime_stream_lag_seconds", "Age of the last message that it has taken, if there are more; else 0."
        )
        self._breaks = registry.counters(
            "realtime_stream_breaks_total", "Times that the stream in NATS did not go on for this node.", "reason"
        )

        self._bytes = registry.counters(
            "realtime_stream_received_bytes_total",
            "Bytes of the stream that NATS has sent to this node, without headers.",
        )

    def follow(self, feed: Feed | FollowedFeed) -> None:
        """The figures are those of ``feed``, also before it is open."""
        self._registry.before_reading(lambda: self._measure(feed))

    def _measure(self, feed: Feed | FollowedFeed) -> None:
        if isinstance(feed, FollowedFeed) and (behind := feed.behind) is not None:
            self._behind.of().value, self._age.of().value = behind
            self._bytes.of().value = feed.stream_bytes or 0
            for reason in BREAKS:
                self._breaks.of(reason).value = feed.breaks[reason]
