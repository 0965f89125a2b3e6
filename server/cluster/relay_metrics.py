"""What a relay measures."""

from __future__ import annotations

from engine.metrics.registry import Registry
from server.cluster.relay_service import RelayService

__all__ = ["RelayMetrics"]


class RelayMetrics:
    """Figures of one relay, set when they are read."""

    def __init__(self, registry: Registry) -> None:
        gauge, counter = registry.gauge, registry.counter
        self._registry = registry
        self._leads = gauge("realtime_relay_leads", "Whether this relay leads: 1 or 0.")
        self._terms = counter("realtime_relay_terms_total", "Terms of this relay as the leading one.")
        self._streaming = gauge("realtime_relay_streaming", "Whether the leading relay reads the slot: 1 or 0.")
        self._lag = gauge("realtime_relay_lag_bytes", "WAL that has arrived at the relay and is not confirmed yet.")
        self._waiting = gauge("realtime_relay_waiting_bytes", "Bytes that were published and not acknowledged by NATS.")
        self._published = gauge("realtime_relay_term_messages", "Messages that NATS has acknowledged in this term.")
        self._bytes = gauge("realtime_relay_term_bytes", "Bytes that NATS has acknowledged in this term.")

    def follow(self, service: RelayService) -> None:
        """The figures are those of ``service``."""
        self._registry.before_reading(lambda: self._measure(service))

    def _measure(self, service: RelayService) -> None:
        term = service.term
        self._leads.value = service.role == "leader"
        self._terms.value = service.terms
        self._streaming.value = term is not None and term.feed.state.status == "streaming"
        self._lag.value = 0 if term is None else term.feed.lag.bytes
        self._waiting.value = 0 if term is None else term.publisher.queue.size
        self._published.value = 0 if term is None else term.publisher.queue.acknowledged
        self._bytes.value = 0 if term is None else term.publisher.queue.acknowledged_bytes
