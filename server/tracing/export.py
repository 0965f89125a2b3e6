"""Sending spans: OpenTelemetry's exporter and its bounded queue, set by its own variables (``OTEL_…``).

A thread makes the spans and sends them; whatever becomes of that, the event loop only appends to the queue. What goes wrong
is logged once a minute.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, cast

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from server.tracing.tracing import TracingUnavailableError

__all__ = ["Export", "exporter", "resource_of"]

_EVERY: Final = 60.0  # seconds between two warnings
_LIBRARY: Final = "opentelemetry"  # of whose loggers

_log = structlog.get_logger("realtime.tracing")


def exporter() -> SpanExporter | None:
    """As ``OTEL_TRACES_EXPORTER`` names it; None: none. Raises ``TracingUnavailableError`` for what there is not."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    name = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if name == "otlp" and protocol not in (None, "", "http/protobuf"):
        raise TracingUnavailableError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, but traces are sent by http/protobuf: leave it unset"
        )
    match name:
        case "otlp":
            return OTLPSpanExporter()
        case "console":
            return ConsoleSpanExporter()
        case "none":
            return None
    raise TracingUnavailableError(f"OTEL_TRACES_EXPORTER is {name!r}, but can be otlp, console or none")


def resource_of(node_id: str, version: str) -> Resource:
    """Who makes the spans. ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` come first."""
    ours = {"service.name": "bunbase-realtime", "service.version": version, "service.instance.id": node_id}
    return Resource.create(dict(ours)).merge(OTELResourceDetector().detect())


class Export:
    """The queue before ``exporter``: ``OTEL_BSP_MAX_QUEUE_SIZE`` spans, and later ones push the oldest out."""

    def __init__(self, exporter: SpanExporter) -> None:
        library = logging.getLogger(_LIBRARY)
        complaints = logging.Handler(logging.WARNING)
        complaints.addFilter(_Complaints())
        library.handlers[:] = [complaints]
        library.propagate = False
        self._processor = BatchSpanProcessor(_Making(exporter))

    def send(self, make: Callable[[], ReadableSpan]) -> None:
        """Send the span that ``make`` returns, which is called when it is sent."""
        self._processor.on_end(cast(ReadableSpan, _Unmade(make)))

    async def close(self, seconds: float) -> None:
        """Send what waits. Returns after ``seconds`` at the latest; the thread ends with the process then."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await done.wait()
        except TimeoutError:
            _log.warning("traces_unsent", seconds=seconds)


class _Unmade:
    """In the queue in place of a span. The processor looks at nothing but whether it is sampled."""

    __slots__ = ("make",)
    context: Final = SpanContext(1, 1, False, TraceFlags(TraceFlags.SAMPLED))

    def __init__(self, make: Callable[[], ReadableSpan]) -> None:
        self.make = make


class _Making(SpanExporter):
    """Makes the spans of a batch, and gives them to ``exporter``. Called by the thread of the processor."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See ``SpanExporter``."""
        return self._exporter.export([cast(_Unmade, span).make() for span in spans])

    def shutdown(self) -> None:
        """See ``SpanExporter``."""
        self._exporter.shutdown()


class _Complaints(logging.Filter):
    """Logs what OpenTelemetry warns of as one event of ours, once a minute, and lets nothing pass. Called by any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0
        self._suppressed = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """See :class:`logging.Filter`."""
        now = time.monotonic()
        if now < self._next:
            self._suppressed += 1
            return False
        self._next = now + _EVERY
        _log.warning("trace_export_failed", error=record.getMessage(), suppressed=self._suppressed)
        self._suppressed = 0
        return False
