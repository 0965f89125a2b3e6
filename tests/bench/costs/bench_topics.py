"""What a node of a cluster receives that looks at one table of a hundred, or at one channel of two hundred, beside one that
takes everything.

Transactions of one row each go to a hundred tables in turn, and messages of 200 bytes to two hundred channels, through a
relay and NATS. Bytes are those of the messages' contents, seconds those of the node's processor, which decodes what it
takes. Two of the channels have one hash. Run with ``python -m tests.bench.costs.bench_topics``.
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

from engine.channels.core.messages.decode import RecordReader
from engine.cluster.feed import ClusterFeed
from engine.cluster.settings import ClusterSettings
from engine.feed.settings import FeedSettings
from engine.feed.table_interest import channel_topic
from engine.lsn import parse_lsn
from engine.transaction import Message, Progress, Transaction
from server.cli.local_postgres import LocalPostgres
from server.cli.serving.local_nats import LocalNats
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import start

TABLES = 100
CHANNELS = 200
MESSAGES = 20_000
ROWS = 20_000
WRITE = f"""
do $$ begin
  for n in 1..{ROWS} loop
    execute format('insert into t%s (body) values (repeat(''x'', 200))', n % {TABLES});
    commit;
  end loop;
end $$
"""


def publishes(channels: int) -> str:
    """A message each to so many channels in turn."""
    return f"""
do $$ begin
  for n in 1..{MESSAGES} loop
    insert into realtime.messages (channel, event, payload)
    values ('room:' || n % {channels}, 'sent', to_jsonb(repeat('x', 200)));
    commit;
  end loop;
end $$
"""


async def taken(
    dsn: str, settings: ClusterSettings, name: str, topics: list[int] | None, write: str, groups: int
) -> dict[str, object]:
    """One round of a node that looks at ``topics``; None: it takes everything. ``groups``: tables or channels."""
    feed_settings = FeedSettings(slot_name=settings.slot, node_id="all" if topics is None else "some")
    async with ClusterFeed(dsn, feed_settings, settings, selective=topics is not None) as feed:
        await feed.streaming()
        reader = RecordReader()
        feed.interest.hold("bench", {topic: topic for topic in topics or ()})
        feed.interest.wake()
        with psycopg.connect(dsn, autocommit=True) as sql:
            before, began, seen = replace(feed.meter), time.process_time(), 0
            where = "select pg_current_wal_flush_lsn()::text"
            [(start,)] = sql.execute(where).fetchall()
            await asyncio.to_thread(sql.execute, write)
            [(flushed,)] = sql.execute(where).fetchall()
        async for event in feed:
            if isinstance(event, Transaction) and event.position >= parse_lsn(start):
                if name == "channels":
                    seen += len(reader.decode(event).messages)
                else:
                    seen += sum(not isinstance(each, Message) for each in event.changes)
            elif isinstance(event, Progress) and event.position >= parse_lsn(flushed):
                break
        return {
            "node": f"all {name}" if topics is None else f"{len(topics)} of {groups} {name}",
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
            lines = []
            rounds = (
                ("tables", first, WRITE, TABLES),
                ("channels", channel_topic("room:0"), publishes(CHANNELS), CHANNELS),
            )
            for name, topic, write, groups in rounds:
                every, some = [await taken(dsn, settings, name, topics, write, groups) for topics in (None, [topic])]
                percent = {key: 100 * float(str(some[key])) / float(str(every[key])) for key in every if key != "node"}
                lines += [every, some, {"node": "percent", **percent}]
        finally:
            await relay.end()
        return lines
    finally:
        nats.kill()
        server.delete()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory() as temporary:
        report("topics", uvloop.run(measured(Path(temporary))))
