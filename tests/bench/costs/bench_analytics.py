"""How much of the WAL that the database writes is of analytics: 1,000 users, 200 channels, 1,000 messages a second.

Two servers in turn, with analytics and without, get the same load over sockets; each minute of the first adds its sums.
*WAL* is the difference of ``pg_current_wal_lsn()``. As that varies with checkpoints and batches, pg_walinspect gives the
records of the transactions that touch a table of analytics, too (*of analytics*), with those of the roll-up. Run with
``python -m tests.bench.costs.bench_analytics``.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import psycopg
import uvloop

from server.cli.local_postgres import LocalPostgres
from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report
from tests.bench.parts.sockets import Publisher, Subscriber
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import serving_measured

CHANNELS = 200
PUBLISHERS = 20
SPENT = """
with records as materialized (
  select b.xid::text as xid, b.relfilenode from pg_get_wal_block_info(%(begin)s, %(end)s, false) b
),
of_analytics as (
  select distinct r.xid from records r
  where r.xid <> '0' and r.relfilenode in (
    select pg_relation_filenode(c.oid) from pg_class c
    where c.relnamespace = 'realtime'::regnamespace and c.relname like 'usage\\_%%' and c.relkind in ('r', 'i')
    union all
    select pg_relation_filenode(c.reltoastrelid) from pg_class c
    where c.relnamespace = 'realtime'::regnamespace and c.relname like 'usage\\_%%' and c.reltoastrelid <> 0)
)
select count(distinct r.xid::text), coalesce(sum(r.record_length), 0)::bigint
from pg_get_wal_records_info(%(begin)s, %(end)s) r where r.xid::text in (select a.xid from of_analytics a)
"""


async def load(url: str, clients: int, rate: float, seconds: float) -> int:
    """Connect the users, publish; how many messages were acknowledged."""
    opened: list[Subscriber] = []
    for number in range(clients):
        subscribe = b'{"type":"subscribe","channel":"bench:%d"}' % (number % CHANNELS)
        opened.append(await Subscriber.open(f"{url}?user=user-{number}", subscribe, every=1000))
    publishers = [
        await Publisher.open(f"{url}?user=user-{number}", f"bench:{number}", number, rate / PUBLISHERS)
        for number in range(PUBLISHERS)
    ]
    await asyncio.gather(*(each.run(seconds, 0.02, lambda: False) for each in publishers))
    while sum(each.answered + each.errors - each.sent for each in publishers):  # noqa: ASYNC110 - others answer
        await asyncio.sleep(0.1)
    return sum(each.answered for each in publishers)


async def one(postgres: LocalPostgres, arguments: argparse.Namespace, analytics: bool) -> dict[str, object]:
    """A line of the report."""
    dsn = fresh_database(postgres)
    options: dict[str, Any] = {
        "analytics": analytics,
        "trust_user_parameter": True,
        "ephemeral": True,
        "max_connections_per_ip": 100_000,
        "max_connection_rate": 1_000_000,
        "max_reading_share": 1.0,
        "max_message_rate": 10_000,
        "max_published_bytes": 1 << 30,
    }
    with psycopg.connect(dsn, autocommit=True) as sql:
        sql.execute("create extension pg_walinspect")
        sql.execute("checkpoint")
        async with serving_measured(dsn, free_port(), **options) as server:
            [(begin,)] = sql.execute("select pg_current_wal_lsn()").fetchall()
            messages = await load(server.websocket, arguments.clients, arguments.rate, arguments.seconds)
        [(end,)] = sql.execute("select pg_current_wal_flush_lsn()").fetchall()
        [(total,)] = sql.execute("select (%s::pg_lsn - %s::pg_lsn)::bigint", [end, begin]).fetchall()
        [(transactions, spent)] = sql.execute(SPENT.encode(), {"begin": begin, "end": end}).fetchall()
    return {
        "analytics": "on" if analytics else "off",
        "messages": messages,
        "WAL, MB": total / 1e6,
        "WAL per message": total / messages,
        "transactions of analytics": transactions,
        "of analytics, kB": spent / 1e3,
        "share, %": 100 * spent / total,
    }


async def measure(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Both lines."""
    with local_postgres() as postgres:
        with psycopg.connect(postgres.dsn, autocommit=True) as sql:
            sql.execute("alter system set wal_keep_size = '8GB'")
            sql.execute("select pg_reload_conf()")
        return [await one(postgres, arguments, analytics) for analytics in (True, False)]


def main() -> None:
    """Start Postgres, measure, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=1_000)
    parser.add_argument("--seconds", type=float, default=180)
    report("analytics", uvloop.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
