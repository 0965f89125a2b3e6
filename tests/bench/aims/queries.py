"""Live queries: what a change, a subscription and a row that concerns none of them take."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg

from tests.bench.parts.report import RESULTS
from tests.bench.peers.ground import Figure, Ground
from tests.conftest import fresh_database

__all__ = ["MEASURES"]


async def changes(ground: Ground) -> list[Figure]:
    """Connections with a live query each, of which 50 share one."""
    clients, distinct = 5000, 100
    async with ground.server() as server:
        seen = await server.play(
            "queries", clients=clients, queries=distinct, connect_rate=500.0, rate=20.0, seconds=8.0, every=10
        )
    p95 = seen.figures["latency_p95_ms"]
    return [
        Figure(
            f"{clients:,} live queries, 50 clients share one, 20 changes/s: p95",
            "< 50 ms",
            f"{p95:.1f} ms",
            seen.complete and p95 < 50,
        )
    ]


async def windows(ground: Ground) -> list[Figure]:
    """1,000 clients subscribe at once, and a consumer written by hand that does the same."""
    what, aim = "1,000 windows at once, p50 by a consumer by hand", "<= 1.2"
    async with ground.server() as server:
        ours = (await server.play("windows", clients=1000, connect_rate=500.0)).figures
    answered, cost = ours["answered_p50_ms"], ours["server_ms_per_subscription"]
    dsn = fresh_database(ground.postgres, migrated=False)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_TABLE)
        async with ground.peer("byhand", dsn) as peer:
            if peer is None:
                text = f"{answered:,.0f} ms, {cost:.2f} ms of the processor each; the peers are not installed"
                return [Figure(what, aim, text, None)]
            theirs = (await peer.play("joins", clients=1000, channels=1000, connect_rate=500.0)).figures[
                "answered_p50_ms"
            ]
        connection.execute("select pg_drop_replication_slot('byhand')")
    text = f"{answered / theirs:.2f} ({answered:,.0f} by {theirs:,.0f} ms)"
    return [Figure(what, aim, text, answered <= 1.2 * theirs)]


async def matcher(ground: Ground) -> list[Figure]:
    """One process: changes that each belong to one of many queries, and changes that belong to none."""
    command = (sys.executable, "-m", "tests.bench.bench_match", "--changes", "20000", "--queries", "100", "100000")
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL)
    assert await process.wait() == 0
    rows = json.loads((RESULTS / "match.json").read_text())
    few, many, _, ignored = (float(row["changes/s"]) for row in rows)
    return [
        Figure("matcher, one process, 100,000 queries", ">= 60,000/s on 2 workers", f"{many:,.0f} changes/s", None),
        Figure("the same by 100 queries", "flat", f"{many / few:.2f}", many >= 0.8 * few),
        Figure("changes that no query wants, 100,000 queries", ">= 120,000/s", f"{ignored:,.0f}/s", ignored >= 120_000),
    ]


_TABLE: Final = """
create table realtime_bench (id bigint primary key, kind int not null, body text not null);
insert into realtime_bench select kind * 1000 + number, kind, ''
from generate_series(0, 999) kind, generate_series(0, 59) number;
create index on realtime_bench (kind, id)"""
MEASURES: Final[dict[str, Callable[[Ground], Awaitable[list[Figure]]]]] = {
    "queries": changes,
    "windows": windows,
    "matcher": matcher,
}
