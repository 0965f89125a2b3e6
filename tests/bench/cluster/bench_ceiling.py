"""How many rows and bytes a second the relay of a cluster publishes, beside ``pg_recvlogical`` writing to a pipe.

The relay and its walsender are stopped (SIGSTOP) while rows are written, so that none is on its way already, and go on until
NATS has acknowledged all of them;
``pg_recvlogical`` reads the same WAL from a slot of its own with the same options. They take turns; medians. *narrow* are
the rows and transactions of ``bench_feed``, *wide* rows of 2 KB in transactions of 100. Bytes are those of pgoutput.
*processor* is seconds for 100,000 rows: of relay and NATS, and of ``pg_recvlogical``; the walsender's are beside them, since
both have one. Run with ``python -m tests.bench.cluster.bench_ceiling``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

import psycopg
import uvloop

from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.lsn import format_lsn, parse_lsn
from server.bench.load.usage import ran
from server.cli.local_postgres import LocalPostgres
from tests.bench.bench_feed import fill
from tests.bench.cluster.ground import Cluster, cluster, servers
from tests.bench.parts.report import report

_OPTIONS = [part for name, value in PgOutputDecoder().options()[-1].items() for part in ("-o", f"{name}={value}")]
_OWN = "bench_recvlogical"
_SLOT = "bench_ceiling"
_WIDE = 20  # a wide row stands for so many narrow ones


def fill_wide(dsn: str, rows: int) -> int:
    """Write rows of 2 KB that do not compress; returns the WAL position after them."""
    with psycopg.connect(dsn, autocommit=True) as sql:
        for at in range(0, rows, 100):
            sql.execute(
                "insert into bench select i, 0, (select string_agg(md5(random()::text), '') from generate_series(1, 64) "
                "where i > 0) from generate_series(%s::bigint, %s) i",
                [at + 1, at + 100],
            )
        row = sql.execute("select (pg_current_wal_flush_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])


def sender_of(dsn: str, slot: str) -> int:
    """The process of the slot's walsender, once there is one."""
    query = "select active_pid from pg_replication_slots where slot_name = %s and active_pid is not null"
    with psycopg.connect(dsn, autocommit=True) as sql:
        while (row := sql.execute(query, [slot]).fetchone()) is None:
            time.sleep(0.05)
    return int(row[0])


async def publish(made: Cluster, write: Callable[[], int]) -> dict[str, float]:
    """Seconds that the relay takes for what ``write`` writes, of the clock and of the processor."""
    relay = made.relay.process.pid
    sender = await asyncio.to_thread(sender_of, made.dsn, _SLOT)
    for process in (relay, sender):
        os.kill(process, signal.SIGSTOP)
    end = await asyncio.to_thread(write)
    before, sent, began = made.spent(), ran(sender), time.perf_counter()
    for process in (sender, relay):
        os.kill(process, signal.SIGCONT)
    while parse_lsn((await made.relay.health())[1]["stream"]["acknowledged"]) < end:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)
    spent = {part: (value - before[part]) / 1e6 for part, value in made.spent().items()}
    return {
        "seconds": time.perf_counter() - began,
        "processor": spent["relay"] + spent["nats"],
        "sender": (ran(sender) - sent) / 1e9,
        "end": end,
    }


def receive(server: LocalPostgres, dsn: str, end: int) -> dict[str, float]:
    """The same of ``pg_recvlogical``, and the ``bytes`` that it writes."""
    command = [str(server.bin_dir / "pg_recvlogical"), "-d", dsn, "-S", _OWN, "--start", "-f", "-", "--no-loop"]
    began, count = time.perf_counter(), 0
    with subprocess.Popen([*command, "--endpos", format_lsn(end), *_OPTIONS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while data := process.stdout.read(1 << 20):
            count += len(data)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return {"seconds": time.perf_counter() - began, "processor": usage.ru_utime + usage.ru_stime, "bytes": count}


async def measure(rounds: int, rows: int) -> list[dict[str, object]]:
    """A row for each width."""
    lines = []
    with servers(fsync="off", max_wal_size="8GB", wal_sender_timeout="0") as (server, nats):
        async with cluster(server, nats, 0, _SLOT, relay_lease=60) as made:
            with psycopg.connect(made.dsn, autocommit=True) as sql:
                sql.execute("create table bench (id bigint, room int, body text, number bigserial primary key)")
                sql.execute("select realtime.expose('bench')")
                sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [_OWN])
            for name, write, count in (("narrow", fill, rows), ("wide", fill_wide, rows // _WIDE)):
                turns = []
                for _ in range(1 + rounds):
                    ours = await publish(made, lambda write=write, count=count: write(made.dsn, count))  # type: ignore[misc]
                    turns.append((ours, await asyncio.to_thread(receive, server, made.dsn, int(ours["end"]))))
                lines.append(line(name, count, turns[1:]))
    return lines


def line(name: str, rows: int, turns: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> dict[str, object]:
    """One line of the table."""

    def median(of: Callable[[Mapping[str, float], Mapping[str, float]], float]) -> float:
        return statistics.median(of(ours, theirs) for ours, theirs in turns)

    ratios = [ours["processor"] / theirs["processor"] for ours, theirs in turns]
    per = 100_000 / rows
    return {
        "rows": name,
        "relay rows/s": round(median(lambda ours, _: rows / ours["seconds"])),
        "MB/s": median(lambda ours, theirs: theirs["bytes"] / ours["seconds"] / 1e6),
        "pg_recvlogical rows/s": round(median(lambda _, theirs: rows / theirs["seconds"])),
        "its MB/s": median(lambda _, theirs: theirs["bytes"] / theirs["seconds"] / 1e6),
        "relay / it": median(lambda ours, theirs: theirs["seconds"] / ours["seconds"]),
        "processor s": median(lambda ours, _: ours["processor"] * per),
        "its": median(lambda _, theirs: theirs["processor"] * per),
        "walsender": median(lambda ours, _: ours["sender"] * per),
        "processor / its": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
    }


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    plan = parser.parse_args()
    report("cluster_ceiling", uvloop.run(measure(plan.rounds, plan.rows)))


if __name__ == "__main__":
    main()
