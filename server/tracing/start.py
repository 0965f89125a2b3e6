"""Tracing is started: the one place that imports OpenTelemetry, and only if tracing is on."""

from __future__ import annotations

from contextlib import AsyncExitStack

from engine.metrics.stages import Stages
from server.tracing.settings import TracingSettings
from server.tracing.tracing import Tracing, TracingUnavailableError

__all__ = ["start_tracing"]


def start_tracing(
    settings: TracingSettings, node_id: str, version: str, stages: Stages, stack: AsyncExitStack
) -> Tracing | None:
    """None if it is off. It is stopped with ``stack``. Raises ``TracingUnavailableError``."""
    if not settings.tracing:
        return None
    try:
        from server.tracing.export import Export, exporter, resource_of
        from server.tracing.spans import SpanMaker
    except ImportError as missing:
        raise TracingUnavailableError(
            f"tracing is on, but OpenTelemetry is not installed ({missing}): pip install 'bunbase-realtime[otel]'"
        ) from missing
    sending = exporter()
    if sending is None:
        return None
    export = Export(sending)
    spans = SpanMaker(export.send, resource_of(node_id, version), names=settings.trace_names)
    tracing = Tracing(settings, spans, export.close)
    stages.traced = tracing.deliveries
    stack.push_async_callback(tracing.stop)
    return tracing
