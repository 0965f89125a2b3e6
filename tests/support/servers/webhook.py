"""A small HTTP server that answers requests as a test wants: right, late, wrong, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["WebhookRequest", "WebhookServer", "webhook_server"]


@dataclass(frozen=True)
class WebhookRequest:
    """A request: its headers, by their names in lower case, and its body."""

    headers: dict[str, str]
    body: bytes


@dataclass(eq=False)
class WebhookServer:
    """Answers with ``answer``, the bytes of an HTTP answer, once ``gate`` is open; None: it breaks the connection.

    ``breaks``: how many connections it breaks before it answers one.
    """

    answer: bytes | None = None
    breaks: int = 0
    requests: list[WebhookRequest] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    serving: set[asyncio.Task[None]] = field(default_factory=set)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/authenticate"

    def answer_with(self, content: object, status: int = 200, headers: str = "") -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answer = f"HTTP/1.1 {status} S\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
                self.requests.append(WebhookRequest(headers, await reader.readexactly(int(headers["content-length"]))))
                self.asked.set()
                await self.gate.wait()
                self.breaks -= 1
                if self.answer is None or self.breaks >= 0:
                    break
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other end has closed it
        finally:
            writer.close()


@asynccontextmanager
async def webhook_server() -> AsyncIterator[WebhookServer]:
    one = WebhookServer()
    one.gate.set()
    server = await asyncio.start_server(one.accept, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    async with server:
        yield one
        one.gate.set()
        if one.serving:
            await asyncio.wait(one.serving)
