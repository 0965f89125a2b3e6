"""All clients lose their server at the same moment: how long until the last one has caught up, and what it costs the server.

500 clients of the Python SDK, each with a channel (presence on) and a live query. The server is killed; meanwhile a message
goes to every channel; the server is started again. Times count from the moment at which it answers. Run from the checkout:
``python -m tests.bench.bench_reconnect``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from server.bench.load.child import Child
from server.bench.load.usage import Cpu
from tests.bench.parts.processes import local_postgres, percentile
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.clients.list_client import TABLE, slot_name, write
from tests.support.ports import free_port
from tests.support.servers.processes import ServerProcess, serving_measured

CHANNELS = 50
SAMPLE = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")
CASES = (
    ("WebSocket, default waits", "websocket", 1.0, 30.0),
    ("WebSocket, no wait", "websocket", 0.02, 0.02),
    ("SSE, default waits", "sse", 1.0, 30.0),
)


class Load:
    """What a process uses, sampled: peaks of processor (cores) and of resident memory (bytes)."""

    def __init__(self, pid: int) -> None:
        self.cores = 0.0
        self.resident = 0
        self._pid = pid

    async def watch(self) -> None:
        """Until cancelled."""
        before, at = 0.0, time.monotonic()
        cpu = Cpu(self._pid)
        while True:
            await asyncio.sleep(SAMPLE)
            used, now = cpu.seconds(), time.monotonic()
            self.cores = max(self.cores, (used - before) / (now - at))
            before, at = used, now
            self.resident = max(self.resident, resident(self._pid))


def resident(pid: int) -> int:
    """Bytes of memory that a process holds now (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


async def one(dsn: str, what: str, transport: str, delay: float, most: float, clients: int) -> dict[str, object]:
    """One line of the table."""
    port, slot = free_port(), slot_name()
    async with serving_measured(dsn, port, slot_name=slot, trust_user_parameter="true") as server:
        arguments: dict[str, Any] = {
            "url": server.url,
            "clients": clients,
            "channels": CHANNELS,
            "transport": transport,
        }
        load = await Child.start("tests.bench.parts.load_reconnect", **arguments, delay=delay, most=most)
        assert await load.receive() == {"ready": clients}
        await server.end(signal.SIGKILL)
    write(dsn, f"select realtime.broadcast('bench:' || n, 'after', '1') from generate_series(0, {CHANNELS - 1}) n")
    async with serving_measured(dsn, port, slot_name=slot, trust_user_parameter="true") as server:
        answered = time.time()
        line = await watched(server, load, answered)
        await load.end()
    return {"what": what, "clients": clients, **line}


async def watched(server: ServerProcess, load: Child, answered: float) -> dict[str, object]:
    """Wait until all clients are back, looking at the server meanwhile."""
    used = Load(server.process.pid)
    cpu, clients_cpu = Cpu(server.process.pid), Cpu(load.pid)
    watching = asyncio.create_task(used.watch())
    people = await load.receive()
    spent, clients_spent = cpu.seconds(), clients_cpu.seconds()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    times = sorted(max(0.0, person["recovered"] - answered) for person in people)
    per_second = Counter(int(at / SAMPLE) for person in people for at in person["connected"])
    return {
        "recovered": sum(person["messages"] == ["after"] for person in people),
        "connections": sum(len(person["connected"]) for person in people),
        "p50 s": percentile(times, 50) / 1000,
        "p95 s": percentile(times, 95) / 1000,
        "all s": times[-1],
        "peak conn/s": max(per_second.values()) / SAMPLE,
        "peak cores": used.cores,
        "CPU s": spent,
        "clients' CPU s": clients_spent,
        "peak RSS MB": used.resident / 1e6,
    }


async def measure(clients: int) -> list[dict[str, object]]:
    """All lines, each on a database of its own."""
    lines = []
    with local_postgres() as postgres:
        for what, transport, delay, most in CASES:
            dsn = fresh_database(postgres)
            write(dsn, TABLE)
            lines.append(await one(dsn, what, transport, delay, most, clients))
            assert lines[-1]["recovered"] == clients, lines[-1]
    return lines


def main() -> None:
    """Measure, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=500)
    arguments = parser.parse_args()
    report("reconnect", asyncio.run(measure(arguments.clients)))


if __name__ == "__main__":
    main()
