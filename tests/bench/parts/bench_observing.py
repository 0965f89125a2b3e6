"""What metrics and tracing cost a whole server: processor time of its process per delivery, with them and without.

Five servers follow one database: two without both, one with metrics, and two with metrics and tracing of a hundredth and of
all publishes, which a collector of this process takes. What the second one without costs more than the first is how far
the figures can be trusted. Each has clients of its own, one publishes and the others receive. They
take turns, in many short rounds, so a noisy machine disturbs all alike; each round begins with another server. A round's
processor time is that of all threads of the process, and is divided by the round of the server without: the median of these
ratios is reported, and beside it the ratio of the time of the whole run, which has the spans that are sent between rounds.
Run with ``python -m tests.bench.parts.bench_observing``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from server.bench.load.usage import ran
from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report
from tests.bench.parts.sockets import publication
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import ServerProcess, serving_measured

SIDES: Final[Mapping[str, dict[str, Any]]] = {
    "off": {"metrics": False},
    "off, again": {"metrics": False},
    "metrics": {},
    "tracing 0.01": {"tracing": True, "trace_sample_ratio": 0.01},
    "tracing 1.0": {"tracing": True, "trace_sample_ratio": 1.0},
}
WINDOW: Final = 10  # messages whose answers the publisher awaits at a time
WARM_UP: Final = 3  # rounds


class Client(WSListener):
    """Counts what it receives: ``messages``, and ``answers`` to what it publishes."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.side.count(bytes(frame.get_payload_as_memoryview()[:13]))

    def send(self, message: bytes) -> None:
        assert self.transport is not None
        self.transport.send(WSMsgType.TEXT, message)


class Side:
    """One server and its clients. ``spent``: nanoseconds of each round."""

    def __init__(self, name: str, server: ServerProcess) -> None:
        self.name = name
        self.server = server
        self.spent: list[int] = []
        self.began = 0
        self._counts = dict.fromkeys((b'{"type":"mess', b'{"type":"ack"', b'{"type":"subs'), 0)
        self._receivers: list[Client] = []
        self._changed = asyncio.Event()
        self._sent = 0

    def count(self, head: bytes) -> None:
        assert head != b'{"type":"erro', f"{self.name}: an error"
        if head in self._counts:
            self._counts[head] += 1
            self._changed.set()

    async def until(self, head: bytes, count: int) -> None:
        """Wait until so many messages of a kind have come."""
        async with asyncio.timeout(120):
            while self._counts[head] < count:
                self._changed.clear()
                await self._changed.wait()

    async def join(self, receivers: int) -> None:
        """Connect the clients."""
        for _ in range(receivers + 1):
            _, client = await ws_connect(lambda: Client(self), self.server.websocket, enable_auto_pong=True)
            assert isinstance(client, Client)
            self._receivers.append(client)
        self._publisher = self._receivers.pop()
        for receiver in self._receivers:
            receiver.send(json.dumps({"type": "subscribe", "channel": self.channel}).encode())
        await self.until(b'{"type":"subs', receivers)

    @property
    def channel(self) -> str:
        return "bench:" + self.name.replace(" ", "-").replace(",", "")

    async def round(self, messages: int) -> None:
        """Publish so many messages; returns when all clients have all of them."""
        before = self.processor_time()
        for first in range(0, messages, WINDOW):
            for _ in range(min(WINDOW, messages - first)):
                self._publisher.send(publication(self.channel, 0.0, 0, self._sent))
                self._sent += 1
            await self.until(b'{"type":"ack"', self._sent)
        await self.until(b'{"type":"mess', self._sent * len(self._receivers))
        self.spent.append(self.processor_time() - before)

    def processor_time(self) -> int:
        """Of the server: see :func:`ran`."""
        return ran(self.server.process.pid)


async def collect(reader: StreamReader, writer: StreamWriter) -> None:
    """A collector: takes spans, and forgets them."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
            await reader.readexactly(int(length.split(b":")[1]))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def compare(dsn: str, receivers: int, rounds: int, messages: int) -> list[dict[str, object]]:
    """A row for each side."""
    async with AsyncExitStack() as stack:
        collector = await stack.enter_async_context(await asyncio.start_server(collect, "127.0.0.1", 0))
        port = collector.sockets[0].getsockname()[1]
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        sides: list[Side] = []
        for number, (name, options) in enumerate(SIDES.items()):
            server = await stack.enter_async_context(
                serving_measured(
                    dsn,
                    free_port(),
                    slot_name=f"bench_{number}",
                    ephemeral=True,
                    max_message_rate=1e6,
                    max_published_bytes=1 << 40,
                    max_connections_per_ip=10_000,
                    **options,
                )
            )
            side = Side(name, server)
            await side.join(receivers)
            sides.append(side)
        for number in range(WARM_UP + rounds):
            if number == WARM_UP:
                for side in sides:
                    side.spent.clear()
                    side.began = side.processor_time()
            for place in range(len(sides)):
                await sides[(number + place) % len(sides)].round(messages)
        whole = [side.processor_time() - side.began for side in sides]
    off, deliveries = sides[0], rounds * messages * receivers
    return [
        {
            "receivers": receivers,
            "server": side.name,
            "deliveries": deliveries,
            "µs each": sum(side.spent) / deliveries / 1000,
            "more %": (statistics.median(on / without for on, without in zip(side.spent, off.spent, strict=True)) - 1)
            * 100,
            "whole run, more %": (all / whole[0] - 1) * 100,
        }
        for side, all in zip(sides, whole, strict=True)
    ]


async def main(receivers: list[int], rounds: int, messages: int) -> None:
    """Compare, and report."""
    with local_postgres() as postgres:
        rows = [row for each in receivers for row in await compare(fresh_database(postgres), each, rounds, messages)]
    report("bench_observing", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receivers", type=int, nargs="+", default=[1, 50])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--messages", type=int, default=100, help="of a round")
    arguments = parser.parse_args()
    uvloop.run(main(arguments.receivers, arguments.rounds, arguments.messages))
