"""How many rows a second the feed decodes and dispatches, against ``pg_recvlogical`` writing to /dev/null.

Both read the same WAL (500,000 narrow rows, in transactions of various sizes) from slots made before it was written,
with the same plugin options, in turn, three times; medians. The dispatcher looks at every change's kind and relation, as one
without subscribers does. Run with ``python -m tests.bench.bench_feed``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import uvloop

from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.feed.decoders.wal2json import Wal2JsonDecoder
from engine.feed.feed import Feed, FeedSettings
from engine.lsn import format_lsn
from engine.transaction import Kind, Message, Relation, Transaction
from server.cli.local_postgres import LocalPostgres
from tests.bench.parts.report import report
from tests.conftest import DEBIAN_15, allow_wal2json, fresh_database

ROUNDS = 3
SIZES = (1, 1, 1, 10, 10, 100, 1000, 10_000, 88_877)  # rows of one cycle of transactions: 100,000
_OPTIONS = {"pgoutput": PgOutputDecoder().options()[-1], "wal2json": Wal2JsonDecoder().options()[-1]}


def fill(dsn: str, rows: int) -> int:
    """Write the rows; returns the WAL position after them."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        at = 0
        while at < rows:
            for size in SIZES:
                take = min(size, rows - at)
                if take:
                    connection.execute(
                        "insert into bench select i, i %% 100, 'message body number ' || i || ' of the benchmark run' "
                        "from generate_series(%s::bigint, %s) i",
                        [at + 1, at + take],
                    )
                at += take
        row = connection.execute("select (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])


async def run_feed(dsn: str, slot: str, rows: int) -> float:
    """Seconds until every row has been dispatched."""
    counts: dict[tuple[Kind, Relation], int] = {}
    seen = 0
    started = time.perf_counter()
    async with Feed(dsn, FeedSettings(slot_name=slot, ephemeral=True)) as feed:
        async for event in feed:
            if not isinstance(event, Transaction):
                continue
            for change in event.changes:
                if not isinstance(change, Message):
                    key = (change.kind, change.relation)
                    counts[key] = counts.get(key, 0) + 1
                    seen += 1
            feed.confirm(event.end)
            if seen >= rows:
                elapsed = time.perf_counter() - started
                break
    assert sum(counts.values()) == rows
    return elapsed


def run_recvlogical(server: LocalPostgres, dsn: str, slot: str, plugin: str, end: int) -> float:
    """Seconds that ``pg_recvlogical`` takes to the same position."""
    options = [part for name, value in _OPTIONS[plugin].items() for part in ("-o", f"{name}={value}")]
    command = [str(server.bin_dir / "pg_recvlogical"), "-d", dsn, "-S", slot, "--start", "-f", "/dev/null", "--no-loop"]
    started = time.perf_counter()
    subprocess.run([*command, "--endpos", format_lsn(end), *options], check=True)
    return time.perf_counter() - started


def measure(server: LocalPostgres, plugin: str, rows: int) -> dict[str, object]:
    """One line of the table."""
    dsn = fresh_database(server)
    tag = f"{plugin}_{os.getpid()}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table bench (id bigint primary key, room int, body text)")
        connection.execute("select realtime.expose('bench')")
        for round_ in range(ROUNDS):
            for reader in ("feed", "recv"):
                connection.execute(
                    "select pg_create_logical_replication_slot(%s, %s)", [f"{reader}_{tag}_{round_}", plugin]
                )
    end = fill(dsn, rows)
    feed_times, recv_times = [], []
    for round_ in range(ROUNDS):
        for reader in ("recv", "feed") if round_ % 2 else ("feed", "recv"):  # neither always comes to warm caches
            slot = f"{reader}_{tag}_{round_}"
            if reader == "recv":
                recv_times.append(run_recvlogical(server, dsn, slot, plugin, end))
            else:
                feed_times.append(uvloop.run(run_feed(dsn, slot, rows)))
    feed_rate, recv_rate = rows / statistics.median(feed_times), rows / statistics.median(recv_times)
    with psycopg.connect(dsn) as connection:
        version = connection.info.server_version // 10000
    return {
        "postgres": version,
        "plugin": plugin,
        "rows": rows,
        "feed rows/s": round(feed_rate),
        "pg_recvlogical rows/s": round(recv_rate),
        "feed / pg_recvlogical": feed_rate / recv_rate,
    }


def main() -> None:
    """Measure every plugin on every server that has it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500_000)
    rows = parser.parse_args().rows
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        servers = [(LocalPostgres(Path(folder) / "18", settings={"fsync": "off"}), ["pgoutput"])]
        if (DEBIAN_15 / "lib" / "wal2json.so").exists():
            settings = {"fsync": "off", **allow_wal2json(DEBIAN_15 / "bin")}
            server = LocalPostgres(Path(folder) / "15", bin_dir=DEBIAN_15 / "bin", settings=settings)
            servers.append((server, ["pgoutput", "wal2json"]))
        for server, plugins in servers:
            server.start()
            try:
                lines += [measure(server, plugin, rows) for plugin in plugins]
            finally:
                server.delete()
    print(report("feed", lines))


if __name__ == "__main__":
    main()
