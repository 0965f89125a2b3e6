"""What waits to be sent is no span yet: a thread makes it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from engine.tracing.context import TraceContext
from engine.tracing.messages import MessageTrace
from server.ports.channels import Member
from server.tracing.export import Export
from server.tracing.spans import SpanMaker

CONTEXT = TraceContext(7, 8, 1)


class Kept(SpanExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


async def test_spans_are_made_by_the_thread_that_sends_them() -> None:
    kept, threads = Kept(), []
    export = Export(kept)

    def send(make: object) -> None:
        def made() -> ReadableSpan:
            threads.append(threading.get_ident())
            assert callable(make)
            span = make()
            assert isinstance(span, ReadableSpan)
            return span

        export.send(made)

    spans = SpanMaker(send, Resource({}), names=True)
    trace = MessageTrace(CONTEXT, sampled=True, sent_at=3, committed_at=4)
    async with asyncio.timeout(60):
        for _ in range(3):
            spans.published(None, 1, Member("me", "ann"), "c", 4, trace, None)
        await export.close(30)
    assert len(threads) == 3
    assert threading.get_ident() not in threads
    assert [(span.name, span.attributes and span.attributes["user.id"]) for span in kept.spans] == [
        ("publish", "ann")
    ] * 3
