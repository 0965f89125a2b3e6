"""From a row's INSERT to the client's callback, through Postgres, the server and a real WebSocket, at a steady rate.

A writer process inserts rows one a transaction, each with ``clock_timestamp()``: the time counted includes the rest of the
statement and the COMMIT with its flush to disk. A client process holds live queries (``roomId == x order by createdAt
desc limit 50``) on a server started as a user starts it; its callback is where the JSON has been decoded. The reference, at
the same rate in the same run, is PostgreSQL's own NOTIFY, sent in the same kind of transaction to a psycopg client.
Run with ``python -m tests.bench.bench_latency``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from datetime import datetime

import orjson
import psycopg
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import serving_measured

ROOMS = 20
_INSERT = "insert into messages (room_id, body) values (%s, 'a message of the usual length, more or less, in a chat')"
_NOTIFY = "with i as (insert into plain (body) values ('x')) select pg_notify('bench', clock_timestamp()::text)"


def write(dsn: str, mode: str, rate: int, seconds: float) -> None:
    """The writer process: one transaction every ``1 / rate`` seconds, late ones at once."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        started = time.perf_counter()
        for number in range(int(rate * seconds)):
            pause = started + number / rate - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            if mode == "live":
                connection.execute(_INSERT, [f"room-{number % ROOMS}"])
            else:
                connection.execute(_NOTIFY)
        print(time.perf_counter() - started)


async def start_writer(dsn: str, mode: str, rate: int, seconds: float) -> asyncio.subprocess.Process:
    """Start :func:`write` in a process of its own."""
    arguments = ["-m", "tests.bench.bench_latency", "--write", mode, "--dsn", dsn]
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, "--rate", str(rate), "--seconds", str(seconds), stdout=subprocess.PIPE
    )


async def live(url: str, dsn: str, rate: int, seconds: float) -> tuple[list[float], float]:
    """Latencies in seconds of every row, and how long the writer took."""
    taken: list[float] = []
    expected = int(rate * seconds)
    async with connect(url, max_size=None, compression=None) as client:
        await client.recv()
        for room in range(ROOMS):
            query = {"where": [["roomId", "==", f"room-{room}"]], "orderBy": [["createdAt", "desc"]], "limit": 50}
            message = {"type": "subscribe", "channel": "db:collection:messages", "id": f"q{room}", "query": query}
            await client.send(orjson.dumps(message).decode())
        ready = 0
        while ready < ROOMS:
            ready += orjson.loads(await client.recv())["type"] == "snapshot"
        writer = await start_writer(dsn, "live", rate, seconds)
        await receive(client, taken, expected)
        output, _ = await writer.communicate()
    return taken, float(output)


async def receive(client: ClientConnection, taken: list[float], expected: int) -> None:
    """Note the age of every added row until all have come."""
    while len(taken) < expected:
        message = orjson.loads(await client.recv())
        now = time.time()
        for change in message.get("changes", ()):
            if change["type"] == "added":
                taken.append(now - datetime.fromisoformat(change["doc"]["data"]["createdAt"]).timestamp())


async def notify(dsn: str, rate: int, seconds: float) -> list[float]:
    """The same for NOTIFY."""
    taken: list[float] = []
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("listen bench")
        writer = await start_writer(dsn, "notify", rate, seconds)
        async for note in connection.notifies():
            taken.append(time.time() - datetime.fromisoformat(note.payload).timestamp())
            if len(taken) >= int(rate * seconds):
                break
        await writer.wait()
    return taken


async def both(dsn: str, rate: int, seconds: float) -> tuple[list[float], list[float], float]:
    """NOTIFY first, then the server."""
    reference = await notify(dsn, rate, seconds)
    async with serving_measured(dsn, free_port(), ephemeral=True) as server:
        return reference, *await live(server.websocket, dsn, rate, seconds)


def line(what: str, taken: list[float], reference: float | None) -> dict[str, object]:
    """One line of the table, in milliseconds."""
    steps = statistics.quantiles(taken, n=1000)
    p50 = steps[499] * 1000
    return {
        "what": what,
        "changes": len(taken),
        "p50 ms": p50,
        "p95 ms": steps[949] * 1000,
        "p99 ms": steps[989] * 1000,
        "max ms": max(taken) * 1000,
        "p50 / NOTIFY's": p50 / reference if reference else 1.0,
    }


def measure(rate: int, seconds: float) -> None:
    """Start Postgres and the server, measure, report."""
    with local_postgres() as postgres:
        dsn = fresh_database(postgres)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "create table messages (id bigint generated always as identity primary key, room_id text not null, "
                "body text not null, created_at timestamptz not null default clock_timestamp()); "
                "create table plain (id bigint generated always as identity primary key, body text not null); "
                "select realtime.expose('messages', camel_case => true)"
            )
            connection.execute("set timezone = 'UTC'")
            connection.execute("alter database " + dsn.rsplit("/", 1)[1] + " set timezone = 'UTC'")
        reference, taken, wrote = uvloop.run(both(dsn, rate, seconds))
        print(f"\nthe writer reached {rate * seconds / wrote:,.0f} changes/s")
        base = statistics.median(reference) * 1000
        report("latency", [line("LISTEN/NOTIFY (reference)", reference, None), line("live query", taken, base)])


def main() -> None:
    """Measure, or be the writer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=1000, help="transactions a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--write", choices=["live", "notify"], help=argparse.SUPPRESS)
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.dsn, arguments.write, arguments.rate, arguments.seconds)
    else:
        measure(arguments.rate, arguments.seconds)


if __name__ == "__main__":
    main()
