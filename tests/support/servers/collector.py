"""A collector of traces: takes what a server sends by OTLP over HTTP, and keeps its spans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.servers.processes import GIVE_UP_AFTER

__all__ = ["Collector", "Span", "collecting"]


@dataclass(frozen=True)
class Span:
    """As it came. Ids in hexadecimal; times in nanoseconds; ``events``: names and times, in their order."""

    name: str
    trace: str
    id: str
    parent: str
    state: str
    kind: int
    start: int
    end: int
    attributes: dict[str, object]
    events: list[tuple[str, int]]
    resource: dict[str, object]
    failed: bool


def _values(attributes: Sequence[object]) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}  # type: ignore[attr-defined]


@dataclass
class Collector:
    """``status``: with which requests are answered."""

    url: str = ""
    status: HTTPStatus = HTTPStatus.OK
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, condition: Callable[[list[Span]], bool]) -> list[Span]:
        """Wait until the spans are so."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not condition(self.spans):
                self.came.clear()
                await self.came.wait()
        return self.spans

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                assert first == "POST /v1/traces HTTP/1.1", first
                self.headers.append(headers)
                if self.status is HTTPStatus.OK:
                    self._take(ExportTraceServiceRequest.FromString(body))
                self.came.set()
                writer.write(f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\ncontent-length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the server has left
        finally:
            writer.close()

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.trace_state,
                        span.kind,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        _values(span.attributes),
                        [(event.name, event.time_unix_nano) for event in span.events],
                        _values(resource.resource.attributes),
                        span.status.code == span.status.STATUS_CODE_ERROR,
                    )
                    for span in scope.spans
                ]


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a port of its own."""
    collector = Collector()
    server = await asyncio.start_server(collector.answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        collector.url = f"http://{host}:{port}"
        yield collector
