"""Loads that are written in SQL: live queries over a table of their own, and messages by ``realtime.broadcast()``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import psycopg

from server.bench.load.errors import BenchError, BenchUsageError
from server.bench.load.orders import Subscribe, Write
from server.bench.scenario import Figures, Load, Scenario

__all__ = ["Broadcast", "LiveQueries", "SubscribeStorm"]

TABLE: Final = "realtime_bench"
_MAKE: Final = (
    f"create table public.{TABLE} (id bigint primary key, kind int not null, body text not null)",
    f"create index on public.{TABLE} (kind, id)",
    f"select realtime.expose('public.{TABLE}')",
)
_FILL: Final = f"""
insert into public.{TABLE} select kind * 1000 + number, kind, ''
from generate_series(0, %(kinds)s - 1) kind, generate_series(0, %(rows)s - 1) number"""
_DROP: Final = f"drop table if exists public.{TABLE}"
_CHANGE: Final = f"update public.{TABLE} set body = %(stamp)s where id = %(number)s * 1000"
_BROADCAST: Final = "select realtime.broadcast(%(channel)s, 'bench', to_jsonb(%(stamp)s::text))"


class _OverTable(Scenario):
    """Has a table with ``rows`` rows for each query, while it is played."""

    needs_database = True
    rows: ClassVar[int] = 1

    async def prepare(self) -> None:
        """Make the table, and connect."""
        load = self.load
        assert load.dsn is not None
        try:
            async with await psycopg.AsyncConnection.connect(load.dsn, autocommit=True) as connection:
                await connection.execute(_DROP)
                for statement in _MAKE:
                    await connection.execute(statement.encode())
                await connection.execute(_FILL.encode(), {"kinds": load.queries, "rows": self.rows})
        except psycopg.Error as wrong:
            reason = wrong.diag.message_primary or str(wrong)
            raise BenchError(
                f"the table public.{TABLE} cannot be made: {reason}. --dsn needs a role that may create and expose it"
            ) from wrong
        await self.site.fleet.connect("readers", load.clients, rate=load.connect_rate)

    async def end(self) -> None:
        """Drop the table."""
        assert self.load.dsn is not None
        async with await psycopg.AsyncConnection.connect(self.load.dsn, autocommit=True) as connection:
            await connection.execute(_DROP)

    def subscription(self, *, rate: float) -> Subscribe:
        """Each client subscribes to one of the queries."""
        query = {"where": [["kind", "==", "%n"]], "orderBy": [["id", "desc"]], "limit": 50}
        text = json.dumps(
            {"type": "subscribe", "channel": f"db:collection:{TABLE}", "id": "q", "query": query}, separators=(",", ":")
        ).replace('"%n"', "%n")
        return Subscribe("readers", text, numbers=self.load.queries, rate=rate, rows=True, stuck=self.load.stuck)


class LiveQueries(_OverTable):
    """Distinct live queries of several clients each, and changes at a rate."""

    name = "queries"
    about = "distinct live queries (--queries), and changes in SQL at a rate"
    defaults: ClassVar[Mapping[str, Any]] = {
        "clients": 200,
        "publishers": 0,
        "queries": 100,
        "rate": 50.0,
        "seconds": 5.0,
    }
    by_rate = True

    @classmethod
    def check(cls, load: Load) -> None:
        """Each query has as many clients as the others."""
        if load.clients % load.queries:
            raise BenchUsageError(f"{load.clients} clients do not share {load.queries} queries evenly")

    async def prepare(self) -> None:
        """Subscribe as well."""
        await super().prepare()
        await self.site.fleet.subscribe(self.subscription(rate=self.load.connect_rate))
        await self.start()

    async def play(self, rate: float) -> Figures:
        """Change a row of one query after the other, one a transaction.

        Changes of a row that follow one another too closely for a client may come as one; ``missing`` counts those.
        """
        load = self.load
        assert load.dsn is not None
        interval = self.begin()
        written = await self.site.fleet.write(
            Write(load.dsn, _CHANGE, rate, load.seconds, load.size, numbers=load.queries)
        )
        return await self.delivered(
            "readers", written.done, load.clients / load.queries, interval, rate=rate, written_in_s=written.seconds
        )


class SubscribeStorm(_OverTable):
    """All clients subscribe at once, to a window of 50 rows each."""

    name = "windows"
    about = "all clients subscribe at once to a live query each, with windows of 50 rows"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 1000, "publishers": 0, "queries": 1000}
    rows = 60

    async def play(self, rate: float) -> Figures:
        """Subscribe, until each has its rows."""
        await self.start()
        interval = self.begin()
        counts = await self.site.fleet.subscribe(self.subscription(rate=0.0))
        used = interval.end()
        tally = await self.site.fleet.count()
        row = self.figures(tally, used, subscriptions=counts.done, missing=counts.failed)
        if counts.done and "server" in used:
            row["server_ms_per_subscription"] = round(used["server"] / counts.done * 1000, 3)
        return row


class Broadcast(Scenario):
    """``realtime.broadcast()`` in SQL, one a transaction."""

    name = "broadcast"
    about = "realtime.broadcast() in SQL at a rate, one a transaction, with subscribers"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 20, "publishers": 0, "rate": 200.0, "seconds": 5.0}
    by_rate = True
    needs_database = True

    async def prepare(self) -> None:
        """Connect and subscribe."""
        load, fleet = self.load, self.site.fleet
        await fleet.connect("subscribers", load.clients, rate=load.connect_rate)
        await fleet.subscribe(Subscribe("subscribers", self.site.wire.joined(load), stuck=load.stuck))
        await self.start()

    async def play(self, rate: float) -> Figures:
        """Broadcast at ``rate``."""
        load = self.load
        assert load.dsn is not None
        interval = self.begin()
        statement = _BROADCAST.replace("%(channel)s", f"'{load.prefix}:0'")
        written = await self.site.fleet.write(Write(load.dsn, statement, rate, load.seconds, load.size))
        return await self.delivered(
            "subscribers", written.done, load.clients, interval, rate=rate, written_in_s=written.seconds
        )
