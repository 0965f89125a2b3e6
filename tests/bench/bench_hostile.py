"""What hostile clients cost another one: its ping, subscription and publish with and without them, and the server's memory
before, at most, and after.

The hostile clients keep to their rate. One kind after the other, each against a server of its own: large literals and long
SQL, each another, with like patterns made to be slow; filters of a hundred conditions against large messages; live queries
that come and go; histories of large messages that are not waited for; clients that take nothing while large messages come;
fifty lists of 2,000 rows each, whose rows all change once a second.
The reference, in the same run, is the same client on the idle server, after a first attack of half the time: what that
leaves is code, caches and memory that the allocator keeps, and no leak. Run with ``python -m tests.bench.bench_hostile``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psycopg
from websockets.asyncio.client import connect

from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report
from tests.bench.parts.well_behaved import Measured, WellBehaved
from tests.conftest import fresh_database
from tests.support.clients.hostile import TABLES, HostileClient
from tests.support.clients.list_client import TABLE, slot_name, write
from tests.support.ports import free_port
from tests.support.servers.processes import ServerProcess, serving_measured

_IDLE = 25.0  # seconds: idle queries go within 15 s, and freed memory goes back within some more
_INTERVAL = 0.08  # seconds
_ROWS = "insert into messages select g, 'r', repeat('x', 900), g from generate_series(1, 2000) g"


def _resident(server: ServerProcess) -> float:
    """MiB of resident memory of the server."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def _plans(url: str, seconds: float) -> None:
    async with connect(url, max_size=None) as client:
        await client.recv()
        hostile = HostileClient(client)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await hostile.look_behind()
            await hostile.flood_plans(2)
            await hostile.stall_filters(5)


async def _filters(url: str, seconds: float) -> None:
    async with connect(url, max_size=None) as client:
        await client.recv()
        hostile = HostileClient(client)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await hostile.ask_a_hundred_times(3)


async def _churn(url: str, seconds: float) -> None:
    async with connect(url, max_size=None) as client:
        await client.recv()
        hostile = HostileClient(client)
        end, number = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            number += 1
            await hostile.query({"where": [["likes", ">", number % 1500]], "limit": 300})
            await hostile.query({"sql": f"select id, body, likes + {number} as n from messages where likes > 100"})


async def _history(url: str, seconds: float) -> None:
    end = time.perf_counter() + seconds
    async with connect(url, max_size=None) as client:
        for _ in range(60):
            await client.send(_large("history"))
    while time.perf_counter() < end:
        async with connect(url, max_size=None, max_queue=1) as client:
            await client.send(json.dumps({"type": "subscribe", "channel": "history", "history": 1000}))
            for _ in range(3):
                await client.recv()
            client.transport.abort()


async def _slow(url: str, seconds: float) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(5):
            client = await stack.enter_async_context(connect(url, max_size=None, max_queue=1))
            await client.send(json.dumps({"type": "subscribe", "channel": "slow"}))
            stack.callback(client.transport.abort)
        sender = await stack.enter_async_context(connect(url))
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await sender.send(_large("slow"))
            await asyncio.sleep(0.05)


async def _updates(url: str, seconds: float) -> None:
    end = time.perf_counter() + seconds
    async with connect(url, max_size=None) as client:
        for number in range(50):
            query = {"orderBy": [["likes", "desc"]], "limit": 2000 + number}
            about = {"channel": "db:collection:messages", "id": f"{id(client)} {number}"}
            await client.send(json.dumps({"type": "subscribe", **about, "query": query}))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + end - time.perf_counter()):
                async for _ in client:
                    pass


async def _write_each_second(dsn: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while True:
            await connection.execute(statement.encode())
            await asyncio.sleep(1)


def _large(channel: str) -> str:
    return json.dumps({"type": "message", "channel": channel, "event": "e", "data": "x" * 120_000})


_KINDS = {
    "plans": _plans,
    "filters": _filters,
    "churn": _churn,
    "history": _history,
    "slow": _slow,
    "updates": _updates,
}
_WRITES = {"updates": "update messages set body = left(md5(random()::text) || body, 900)"}


async def _attack(server: ServerProcess, dsn: str, kind: str, clients: int, seconds: float) -> float:
    """Let ``clients`` do their worst. Returns the most MiB that the server had meanwhile."""
    attacks = [asyncio.create_task(_KINDS[kind](server.websocket, seconds)) for _ in range(clients)]
    writing = asyncio.create_task(_write_each_second(dsn, _WRITES[kind])) if kind in _WRITES else None
    most = _resident(server)
    while not all(attack.done() for attack in attacks):
        await asyncio.sleep(1)
        most = max(most, _resident(server))
    await asyncio.gather(*attacks)
    if writing is not None:
        writing.cancel()
        await asyncio.wait({writing})
    return most


async def _measure(dsn: str, kind: str, clients: int, seconds: float) -> dict[str, object]:
    measured = Measured()
    async with serving_measured(dsn, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        other = asyncio.create_task(WellBehaved(0, measured, interval=_INTERVAL, changes=False).run(server.websocket))
        await _attack(server, dsn, kind, clients, seconds / 2)
        await asyncio.sleep(_IDLE)
        measured.row()
        await asyncio.sleep(seconds)
        quiet, before = measured.row(), _resident(server)
        most = await _attack(server, dsn, kind, clients, seconds)
        busy = measured.row()
        await asyncio.sleep(_IDLE)
        after = _resident(server)
        other.cancel()
        await asyncio.wait({other})
    if measured.errors:
        raise RuntimeError(f"the other client was refused: {dict(measured.errors)}")
    ratios = {name.replace(" ms", " ratio"): ratio for name, ratio in Measured.ratio(quiet, busy).items()}
    memory = {"MiB before": before, "MiB most": most, "MiB after": after, "ratio": after / before}
    return {"kind": kind, **busy, **ratios, **memory}


def main() -> None:
    """Run with the numbers from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=_KINDS, default=list(_KINDS))
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    with local_postgres() as server:
        rows = []
        for kind in chosen.kinds:
            dsn = fresh_database(server)
            write(dsn, TABLE, *TABLES.split(";\n"), _ROWS)
            rows.append(asyncio.run(_measure(dsn, kind, chosen.clients, chosen.seconds)))
        report("hostile", rows)


if __name__ == "__main__":
    main()
