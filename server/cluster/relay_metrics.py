"""What a relay measures."""

from __future__ import annotations

from engine.metrics.registry import Registry
from server.cluster.relay_service import ENDINGS, RelayService

__all__ = ["RelayMetrics"]


class RelayMetrics:
    """Figures of one relay, set when they are read."""

    def __init__(self, registry: Registry) -> None:
        gauge, counter = registry.gauge, registry.counter
        self._registry = registry
        self._leads = gauge("realtime_relay_leads", "Whether this relay leads: 1 or 0.")
        self._lease = gauge("realtime_relay_lease_age_seconds", "Time since the leading relay has renewed its lease.")
        self._terms = counter("realtime_relay_terms_total", "Terms of this relay as the leading one.")
        self._deposed = counter("realtime_relay_deposed_total", "Silent relays whose place this relay has taken.")
        self._ended = registry.counters("realtime_relay_terms_ended_total", "Terms that have ended.", "reason")
        self._streaming = gauge("realtime_relay_streaming", "Whether the leading relay reads the slot: 1 or 0.")
        self._lag = gauge("realtime_relay_lag_bytes", "WAL that has arrived at the relay and is not confirmed yet.")
        self._age = gauge("realtime_relay_lag_seconds", "Age of the oldest commit that is not confirmed.")
        self._messages = gauge("realtime_relay_waiting_messages", "Messages that NATS has not acknowledged yet.")
        self._waiting = gauge("realtime_relay_waiting_bytes", "Bytes that NATS has not acknowledged yet.")
        self._sequence = gauge("realtime_relay_stream_sequence", "The number of the last message of the stream.")
        self._published = counter("realtime_relay_published_messages_total", "Messages that NATS has acknowledged.")
        self._bytes = counter("realtime_relay_published_bytes_total", "Bytes that NATS has acknowledged.")

    def follow(self, service: RelayService) -> None:
        """The figures are those of ``service``."""
        self._registry.before_reading(lambda: self._measure(service))

    def _measure(self, service: RelayService) -> None:
        self._leads.value = service.role == "leader"
        self._lease.value = service.election.lease_age
        self._terms.value = service.terms
        self._deposed.value = service.election.deposed
        for reason in ENDINGS:
            self._ended.of(reason).value = service.ended[reason]
        term = service.term
        lag = None if term is None else term.feed.lag
        self._streaming.value = term is not None and term.feed.state.status == "streaming"
        self._lag.value = 0 if lag is None else lag.bytes
        self._age.value = 0 if lag is None else lag.seconds
        queue = None if term is None else term.publisher.queue
        self._messages.value = 0 if queue is None else len(queue)
        self._waiting.value = 0 if queue is None else queue.size
        self._sequence.value = 0 if term is None else term.publisher.stored
        self._published.value = service.published + (0 if queue is None else queue.acknowledged)
        self._bytes.value = service.published_bytes + (0 if queue is None else queue.acknowledged_bytes)
