"""What counting costs per delivery: the processor time of the server's thread with metrics, and without, in one run.

The path is that of a channel's event, from its subscribers to their sockets: encoded once, queued, written. With one
receiver encoding is paid for a single delivery; with 50 they share it. Batches with and without metrics take turns. Clients
are read by another thread. The feed, the database and filters are not in it: of a whole delivery the share is smaller.
Run with ``python -m tests.bench.parts.bench_metrics``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import selectors
import socket
import statistics
import threading
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import uvloop
from websockets.frames import Opcode

from engine.metrics.registry import Registry
from server.observe.meters import Meters
from tests.bench.parts.report import report
from tests.support.clients.raw_socket import handshake, masked, read_frame, reading
from tests.support.fakes.channels import Event
from tests.support.fakes.server import FakeServer, fake_server

CHANNEL = "bench"
BATCH = 2_000  # deliveries
TEXT = "x" * 100


@dataclass
class Side:
    """A server with its clients. ``spent``: seconds of the processor per delivery, of each batch."""

    server: FakeServer
    spent: list[float] = field(default_factory=list)

    async def measure(self) -> None:
        """One batch."""
        subscriptions = self.server.rooms.of(CHANNEL)
        meters = self.server.meters
        began = time.thread_time()
        for number in range(BATCH // len(subscriptions)):
            now = time.time_ns() // 1000
            if meters is not None:
                meters.stages.received(now, now)  # as the stream driver does for a transaction
            event = Event({"type": "message", "channel": CHANNEL, "n": number, "text": TEXT}, committed_at=now)
            for subscription in subscriptions:
                subscription.deliver(event)
            await asyncio.sleep(0)  # the connections write
            await asyncio.sleep(0)
        self.spent.append((time.thread_time() - began) / BATCH)


class Drain(threading.Thread):
    """Reads what clients are sent, and forgets it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.done = False

    def add(self, client: socket.socket) -> None:
        """Read this one, too."""
        self.selector.register(socket.socket(fileno=os.dup(client.fileno())), selectors.EVENT_READ)

    def run(self) -> None:
        """Until ``done``."""
        while not self.done:
            for key, _ in self.selector.select(0.1):
                assert isinstance(key.fileobj, socket.socket)
                if not key.fileobj.recv(1 << 20):
                    self.selector.unregister(key.fileobj)


async def join(server: FakeServer, clients: int, drain: Drain) -> None:
    for _ in range(clients):
        reader, writer = await handshake(server)
        writer.write(masked(Opcode.TEXT, json.dumps({"type": "subscribe", "channel": CHANNEL}).encode()))
        await read_frame(reader)
        reading(writer).pause_reading()
        drain.add(writer.get_extra_info("socket"))


async def compare(clients: int, rounds: int) -> dict[str, object]:
    """Both sides in turn; the medians of their batches."""
    drain = Drain()
    async with AsyncExitStack() as stack:
        without = Side(await stack.enter_async_context(fake_server()))
        counted = Side(await stack.enter_async_context(fake_server(meters=Meters(Registry()))))
        for side in (without, counted):
            await join(side.server, clients, drain)
        drain.start()
        for _ in range(rounds):
            await without.measure()
            await counted.measure()
        drain.done = True
        drain.join()
    before, after = (statistics.median(side.spent) * 1e6 for side in (without, counted))
    return {
        "receivers": clients,
        "deliveries": BATCH * rounds,
        "off µs": before,
        "on µs": after,
        "more %": (after / before - 1) * 100,
    }


async def main(rounds: int) -> None:
    """Compare, and report."""
    report("bench_metrics", [await compare(clients, rounds) for clients in (1, 50)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    uvloop.run(main(parser.parse_args().rounds))
