"""What a node of a cluster receives that looks at one table of a hundred, beside one that takes everything.

Transactions of one row each go to a hundred tables in turn, through a relay and NATS. Bytes are those of the messages'
contents, seconds those of the node's processor. Run with ``python -m tests.bench.costs.bench_topics``.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import structlog
import uvloop

from engine.cluster.feed import ClusterFeed
from engine.cluster.settings import ClusterSettings
from engine.feed.settings import FeedSettings
from engine.lsn import parse_lsn
from engine.transaction import Message, Progress, Transaction
from server.cli.local_postgres import LocalPostgres
from server.cli.serving.local_nats import LocalNats
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import start

TABLES = 100
ROWS = 20_000
WRITE = f"""
do $$ begin
  for n in 1..{ROWS} loop
    execute format('insert into t%s (body) values (repeat(''x'', 200))', n % {TABLES});
    commit;
  end loop;
end $$
"""


async def taken(dsn: str, settings: ClusterSettings, tables: list[int] | None) -> dict[str, object]:
    """One round of a node that looks at ``tables``; None: it takes everything."""
    feed_settings = FeedSettings(slot_name=settings.slot, node_id="all" if tables is None else "some")
    async with ClusterFeed(dsn, feed_settings, settings, selective=tables is not None) as feed:
        await feed.streaming()
        feed.interest.hold("bench", {table: table for table in tables or ()})
        feed.interest.wake()
        with psycopg.connect(dsn, autocommit=True) as sql:
            before, began, seen = replace(feed.meter), time.process_time(), 0
            await asyncio.to_thread(sql.execute, WRITE)
            [(flushed,)] = sql.execute("select pg_current_wal_flush_lsn()::text").fetchall()
        async for event in feed:
            if isinstance(event, Transaction):
                seen += sum(not isinstance(each, Message) for each in event.changes)
            elif isinstance(event, Progress) and event.position >= parse_lsn(flushed):
                break
        return {
            "node": "all tables" if tables is None else f"{len(tables)} of {TABLES} tables",
            "rows": seen,
            "bytes": feed.meter.bytes - before.bytes,
            "messages": feed.meter.messages - before.messages,
            "seconds": time.process_time() - began,
        }


async def measured(folder: Path) -> list[dict[str, object]]:
    """A line for each node."""
    server = LocalPostgres(folder / "pg", settings={"fsync": "off", "max_wal_size": "4GB"})
    nats = LocalNats(folder / "nats", free_port())
    server.start()
    nats.start()
    try:
        dsn = fresh_database(server)
        with psycopg.connect(dsn, autocommit=True) as sql:
            for number in range(TABLES):
                sql.execute(f"create table t{number} (id bigserial primary key, body text)".encode())
                sql.execute(f"select realtime.expose('t{number}')".encode())
            [(first,)] = sql.execute("select 't0'::regclass::oid::int").fetchall()
        settings = ClusterSettings(urls=(nats.url,), slot="bench")
        relay = await start(
            "relay", "--dsn", dsn, port=free_port(), config={"nats_url": nats.url, "slot_name": settings.slot}
        )
        try:
            await relay.healthy(200)
            lines = [await taken(dsn, settings, tables) for tables in (None, [first])]
        finally:
            await relay.end()
        every, some = lines
        percent = {key: 100 * float(str(some[key])) / float(str(every[key])) for key in every if key != "node"}
        lines.append({"node": "percent", **percent})
        return lines
    finally:
        nats.kill()
        server.delete()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory() as temporary:
        report("topics", uvloop.run(measured(Path(temporary))))
