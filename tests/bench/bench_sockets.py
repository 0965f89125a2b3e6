"""Channels through real sockets: clients in one process, ``realtime serve`` in another, PostgreSQL with ``fsync`` on.

Each part stands beside what its parts allow in the same run: pgbench doing the same insert, and a bare picows server
sending the same bytes to the same clients (``tests.bench.parts.relay``). Run with ``python -m tests.bench.bench_sockets``.

* *clients*: 10 WebSocket clients publish into one channel with 20 WebSocket subscribers.
* *SQL*: 8 writers, one message per transaction, by ``realtime.broadcast()`` and by a plain insert.
* *alone*: what one subscriber can receive. The server is stopped while messages are written in transactions of 50, and
  then sends what has piled up in the WAL.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import uvloop

from server.bench.load.child import Child
from server.bench.load.usage import Cpu
from server.cli.local_postgres import LocalPostgres
from tests.bench.parts.processes import local_postgres, percentile, pgbench, postmaster
from tests.bench.parts.report import report
from tests.bench.parts.sockets import pad
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import ServerProcess, serving_measured

CHANNEL = "bench"  # without a colon: pgbench would take it for a variable
PUBLISHERS = 10
SUBSCRIBERS = 20
WRITERS = 8
BATCH = 50
_MAX_STOPPED = 5.0  # seconds; well below the lease of a node

_PAYLOAD = f"jsonb_build_object('at', extract(epoch from clock_timestamp()), 'text', '{pad.decode()}')"
INSERT = f"insert into realtime.messages (channel, event, payload) values ('{CHANNEL}', 'sent', {_PAYLOAD});\n"
BROADCAST = f"select realtime.broadcast('{CHANNEL}', 'sent', {_PAYLOAD});\n"
EQUAL = INSERT.replace("realtime.messages", "equal")
MANY = (
    f"insert into realtime.messages (channel, event, payload) "
    f"select '{CHANNEL}', 'sent', {_PAYLOAD} from generate_series(1, {BATCH});\n"
)


class Bench:
    """One PostgreSQL, one server; the parts one after the other."""

    def __init__(self, postgres: LocalPostgres, dsn: str, rate: float, seconds: float) -> None:
        self.lines: list[dict[str, object]] = []
        self._postgres = postgres
        self._dsn = dsn
        self._rate = rate
        self._seconds = seconds

    async def run(self, parts: list[str]) -> None:
        """Measure ``parts``."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("create table equal (like realtime.messages including all)")
        for part in parts:
            await getattr(self, f"measure_{part}")()

    @asynccontextmanager
    async def _server(self) -> AsyncIterator[ServerProcess]:
        async with serving_measured(self._dsn, free_port(), ephemeral=True, max_message_rate=1e6) as server:
            yield server

    @asynccontextmanager
    async def _relay(self) -> AsyncIterator[tuple[Child, str]]:
        port = free_port()
        relay = await Child.start("tests.bench.parts.relay", port=port)
        await relay.receive()
        yield relay, f"ws://127.0.0.1:{port}/realtime"
        await relay.end()

    # -- the parts

    async def measure_clients(self) -> None:
        """10 publishers, 20 subscribers; the relay first."""
        async with self._relay() as (relay, url):
            self._add("clients: bare picows", await self._publish(url, relay.pid))
        async with self._server() as server:
            self._add("clients: server", await self._publish(server.websocket, server.process.pid))
        tps, _ = await asyncio.to_thread(
            pgbench, self._postgres, self._dsn, INSERT, clients=PUBLISHERS, seconds=self._seconds
        )
        self._add_rate("  pgbench, 10 clients, the same insert, one a transaction", tps)
        tps, _ = await asyncio.to_thread(pgbench, self._postgres, self._dsn, MANY, clients=1, seconds=self._seconds)
        self._add_rate(f"  pgbench, 1 client, the same insert, {BATCH} a transaction", tps * BATCH)

    async def _publish(self, url: str, pid: int) -> dict[str, Any]:
        load = await Child.start(
            "tests.bench.parts.load",
            url=url,
            channel=CHANNEL,
            subscribers=SUBSCRIBERS,
            publishers=PUBLISHERS,
            rate=self._rate,
            seconds=self._seconds,
            warmup=2.0,
            every=SUBSCRIBERS,
        )
        await load.receive()
        server, database = Cpu(pid), Cpu(postmaster(self._postgres))
        load.send("go")
        seen: dict[str, Any] = await load.receive()
        seen |= {"server": server.seconds(), "postgres": database.seconds()}
        await load.end()
        return seen

    async def measure_sql(self) -> None:
        """8 writers, one message a transaction: unthrottled, then at half of that for the latency."""
        tps, _ = await self._pgbench(EQUAL)
        self._add_rate("SQL: pgbench, plain insert into an equal table", tps)
        async with self._server() as server:
            for name, script in (("realtime.broadcast()", BROADCAST), ("plain insert", INSERT)):
                full = await self._follow(server, script, None)
                self._add(f"SQL: {name}", full)
                self._add(f"  at half that rate: {name}", await self._follow(server, script, full["rate"] / 2))
        for name, script in (("realtime.broadcast()", BROADCAST), ("plain insert", INSERT)):
            tps, _ = await self._pgbench(script)
            self._add_rate(f"  pgbench, no reader: {name}", tps)

    async def _follow(self, server: ServerProcess, script: str, rate: float | None) -> dict[str, Any]:
        load = await Child.start(
            "tests.bench.parts.load", url=server.websocket, channel=CHANNEL, subscribers=SUBSCRIBERS, every=SUBSCRIBERS
        )
        await load.receive()
        cpu, database = Cpu(server.process.pid), Cpu(postmaster(self._postgres))
        load.send("wait")
        tps, count = await self._pgbench(script, rate)
        load.send(count)
        seen: dict[str, Any] = await load.receive()
        seen |= {"rate": tps, "server": cpu.seconds(), "postgres": database.seconds()}
        await load.end()
        return seen

    async def _pgbench(self, script: str, rate: float | None = None) -> tuple[float, int]:
        return await asyncio.to_thread(
            pgbench, self._postgres, self._dsn, script, clients=WRITERS, seconds=self._seconds, rate=rate
        )

    async def measure_alone(self) -> None:
        """One subscriber: how fast what waits for it arrives; the same number of messages from picows."""
        async with self._server() as server:
            load = await self._alone(server.websocket)
            load.send("wait")
            # Stopped while they are written, so that the writers take nothing from the processors it drains with.
            server.process.send_signal(signal.SIGSTOP)
            try:
                _, transactions = await asyncio.to_thread(
                    pgbench, self._postgres, self._dsn, MANY, clients=2, seconds=min(self._seconds, _MAX_STOPPED)
                )
            finally:
                cpu, database, began = Cpu(server.process.pid), Cpu(postmaster(self._postgres)), time.time()
                server.process.send_signal(signal.SIGCONT)
            count = transactions * BATCH
            load.send(count)
            seen = await load.receive()
            seen |= {"took": seen["last"] - began, "taken": [], "server": cpu.seconds(), "postgres": database.seconds()}
            self._add("alone: server, what waited in the WAL", seen)
            await load.end()
        async with self._relay() as (relay, url):
            load = await self._alone(url)
            cpu, database = Cpu(relay.pid), Cpu(postmaster(self._postgres))
            load.send(count)
            relay.send(count)
            seen = await load.receive()
            seen |= {"taken": [], "server": cpu.seconds(), "postgres": database.seconds()}
            self._add("alone: bare picows", seen)
            await load.end()

    async def _alone(self, url: str) -> Child:
        load = await Child.start(
            "tests.bench.parts.load", url=url, channel=CHANNEL, subscribers=1, every=16, check=False
        )
        await load.receive()
        return load

    # -- the table

    def _add(self, what: str, seen: dict[str, Any]) -> None:
        if not seen["same"] or seen["problems"] or seen["ended"] or seen["errors"]:
            print(what, {key: seen[key] for key in ("same", "problems", "ended", "errors")}, file=sys.stderr)
        took = seen["took"]
        rate = seen["expected"] / (seen["sent_in"] or took)
        self._line(
            what,
            rate,
            seen["taken"],
            delivered=seen["delivered"] / took,
            missing=seen["missing"],
            acks=percentile(seen["acks"], 95),
            server=seen["server"] / took,
            postgres=seen["postgres"] / took,
            clients=seen["cpu"] / took,
        )

    def _add_rate(self, what: str, rate: float) -> None:
        self._line(what, rate, [])

    def _line(  # noqa: PLR0913
        self,
        what: str,
        rate: float,
        taken: list[float],
        *,
        delivered: float = 0.0,
        missing: int = 0,
        acks: float = 0.0,
        server: float = 0.0,
        postgres: float = 0.0,
        clients: float = 0.0,
    ) -> None:
        self.lines.append(
            {
                "what": what,
                "messages/s": rate,
                "deliveries/s": delivered,
                "missing": missing,
                "p50 ms": percentile(taken, 50),
                "p95 ms": percentile(taken, 95),
                "p99 ms": percentile(taken, 99),
                "ack p95 ms": acks,
                "CPU server": server,
                "CPU Postgres": postgres,
                "CPU clients": clients,
            }
        )


def main() -> None:
    """Start Postgres, measure, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=10_000, help="messages a second of all publishers")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("parts", nargs="*", default=["clients", "sql", "alone"])
    arguments = parser.parse_args()
    with local_postgres() as postgres:
        dsn = fresh_database(postgres)
        bench = Bench(postgres, dsn, arguments.rate, arguments.seconds)
        uvloop.run(bench.run(arguments.parts))
        report("sockets", bench.lines)


if __name__ == "__main__":
    main()
