"""What hostile clients cost another one: its ping with and without them, and the server's memory before, at most, and after.

The hostile clients keep to their rate: large literals and long SQL, each another, and like patterns made to be slow against
messages as large as they may be. The reference, in the same run, is the same client's ping on the idle server.
Run with ``python -m tests.bench.bench_hostile``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from server.local_postgres import LocalPostgres
from tests.bench.report import report
from tests.conftest import fresh_database
from tests.ports import free_port
from tests.server.hostile import TABLES, Hostile
from tests.server.listener import TABLE, slot_name, write
from tests.server.processes import ServerProcess, serving


def _resident(server: ServerProcess) -> float:
    """MiB of resident memory of the server."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def _pings(client: ClientConnection, seconds: float) -> list[float]:
    """Milliseconds of each ping, one every 20 ms."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        await client.send(json.dumps({"type": "ping"}))
        await client.recv()
        found.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.02)
    return found


async def _attack(url: str, seconds: float) -> None:
    async with connect(url, max_size=None) as client:
        await client.recv()
        hostile = Hostile(client)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await hostile.look_behind()
            await hostile.flood_plans(2)
            await hostile.stall_filters(5)


async def _measure(dsn: str, clients: int, seconds: float) -> list[dict[str, object]]:
    async with (
        serving(dsn, free_port(), slot_name=slot_name(), throw_away=True) as server,
        connect(server.websocket) as good,
    ):
        await good.recv()
        quiet, before = await _pings(good, seconds), _resident(server)
        attacks = [asyncio.create_task(_attack(server.websocket, seconds)) for _ in range(clients)]
        busy, most = [], before
        while not all(attack.done() for attack in attacks):
            busy += await _pings(good, 1)
            most = max(most, _resident(server))
        await asyncio.gather(*attacks)
        await _pings(good, 20)  # what lingers goes within 15 s
        after = _resident(server)
    rows: list[dict[str, object]] = []
    for name, times, memory in (("quiet", quiet, before), ("under attack", busy, most), ("after", quiet, after)):
        cuts = statistics.quantiles(times, n=100)
        rows.append({"phase": name, "p50 ms": cuts[49], "p99 ms": cuts[98], "max ms": max(times), "MiB": memory})
    rows[-1] |= {"p50 ms": "", "p99 ms": "", "max ms": ""}
    rows.append({"phase": "ratio", "p50 ms": "", "p99 ms": "", "max ms": max(busy) / max(quiet), "MiB": after / before})
    return rows


def main() -> None:
    """Run with the numbers from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = LocalPostgres(Path(folder) / "data", port=free_port())
        server.start()
        try:
            dsn = fresh_database(server)
            write(dsn, TABLE, *TABLES.split(";\n"))
            report("hostile", asyncio.run(_measure(dsn, chosen.clients, chosen.seconds)))
        finally:
            server.delete()


if __name__ == "__main__":
    main()
