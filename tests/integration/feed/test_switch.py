"""A standby takes over, and not every connection notices at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from server.cli.local_postgres import LocalPostgres
from tests.conftest import fresh_database
from tests.faultproxy.proxy import FaultProxy
from tests.integration.feed.test_failover import SLOT, primary, standby_of
from tests.support.nodes.live_node import LiveNode, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each, until

__all__ = ["primary"]

LAST = "select * from t order by id desc limit 2"
QUERIES = (
    Query("t", {}, json_rows("select * from t order by id")),
    Query("t", {"orderBy": [["id", "desc"]], "limit": 2}, json_rows(LAST)),
    Query("t", {"sql": "select count(*) as n from t"}, json_rows("select count(*) as n from t")),
    Query("t", {"sql": LAST}, json_rows(LAST)),
)


@dataclass
class Pair:
    """A primary and its standby, which has the slot's folder and lags. Feed and readers come through a proxy each."""

    primary: LocalPostgres
    standby: LocalPostgres
    old: str
    new: str
    stream: FaultProxy
    reads: FaultProxy

    def through(self, proxy: FaultProxy) -> str:
        return self.old.replace(f":{self.primary.port}/", f":{proxy.port}/")

    @property
    def either(self) -> str:
        """A DSN of both hosts, without a proxy; the standby's is tried first."""
        hosts = f"127.0.0.1:{self.standby.port},127.0.0.1:{self.primary.port}/"
        return self.old.replace(f"127.0.0.1:{self.primary.port}/", hosts) + "?target_session_attrs=read-write"

    async def promote(self) -> None:
        """The standby becomes a primary, and what connects from now on gets there."""
        await asyncio.to_thread(self.standby.start)
        read(self.new, "select pg_promote(true, 60)")
        self.stream.target = self.reads.target = "127.0.0.1", self.standby.port


@asynccontextmanager
async def pair(primary: LocalPostgres) -> AsyncIterator[Pair]:
    dsn = fresh_database(primary)
    run_each(
        dsn,
        "create table t (id int primary key, s text)",
        "select realtime.expose('t')",
        "insert into t values (1, 'both')",
    )
    run_each(dsn, f"select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")
    standby = await asyncio.to_thread(standby_of, primary)
    try:
        async with FaultProxy("127.0.0.1", primary.port) as stream, FaultProxy("127.0.0.1", primary.port) as reads:
            moved = dsn.replace(f":{primary.port}/", f":{standby.port}/")
            yield Pair(primary, standby, dsn, moved, stream, reads)
    finally:
        standby.delete()


@asynccontextmanager
async def following(primary: LocalPostgres) -> AsyncIterator[tuple[Pair, LiveNode]]:
    """A pair and what follows its primary, through the proxies."""
    async with pair(primary) as both:
        # What was delivered last stays in the tail, and no snapshot is read in passing.
        stream, reads = both.through(both.stream), both.through(both.reads)
        async with live_node(stream, slot=SLOT, trim_interval=3600.0, reads=reads) as play:
            yield both, play


async def test_lists_are_those_of_the_new_primary_although_readers_are_connected_to_the_old_one(
    primary: LocalPostgres,
) -> None:
    async with following(primary) as (both, play):
        followers = [await play.follow(query) for query in QUERIES]
        run_each(both.old, "insert into t values (2, 'old primary only'), (3, 'old primary only')")
        await followers[0].until(lambda: followers[0].ids == ["1", "2", "3"])
        await both.promote()
        run_each(both.new, "insert into t values (10, 'new primary only')")
        both.stream.cut()  # the old primary still runs, and the readers' connections are whole
        for follower, last in zip(followers, ("10", "1", None, None), strict=True):
            await follower.until(lambda: last is None or last in follower.ids)
        play.dsn = both.new
        run_each(both.new, "insert into t values (11, 'later')")
        await play.check(*followers)


async def test_a_reader_that_reaches_the_new_primary_first_takes_the_stream_there(primary: LocalPostgres) -> None:
    async with following(primary) as (both, play):
        followers = [await play.follow(query) for query in QUERIES]
        run_each(both.old, "insert into t values (2, 'old primary only')")
        await followers[0].until(lambda: followers[0].ids == ["1", "2"])
        await both.promote()
        run_each(both.new, "insert into t values (10, 'new primary only')")
        both.reads.cut()  # the stream is connected to the old primary, which still runs
        run_each(both.old, "insert into t values (3, 'old primary only')")
        await followers[0].until(lambda: followers[0].ids == ["1", "10"])
        play.dsn = both.new
        await play.check(*followers)


async def test_a_definition_that_only_the_old_primary_has_seen_is_not_waited_for(primary: LocalPostgres) -> None:
    async with following(primary) as (both, play):
        followers = [await play.follow(query) for query in QUERIES]
        both.reads.refuse = True
        both.reads.cut()
        run_each(both.old, *[f"insert into t values ({n}, 'old primary only')" for n in range(2, 50)])
        run_each(both.old, "alter table t add column n int")
        await until(lambda: not play.live._catalog.is_current)
        await both.promote()
        run_each(both.new, "insert into t values (10, 'new primary only')")
        both.reads.refuse = False
        both.stream.cut()
        await followers[0].until(lambda: followers[0].ids == ["1", "10"])
        play.dsn = both.new
        await play.check(*followers)


async def test_the_primary_is_found_among_several_hosts_before_and_after_a_failover(primary: LocalPostgres) -> None:
    async with pair(primary) as both:
        await asyncio.to_thread(both.standby.start)
        async with live_node(both.either, slot=SLOT) as play:
            followers = [await play.follow(query) for query in QUERIES]
            run_each(both.old, "insert into t values (2, 'old primary only')")
            await followers[0].until(lambda: followers[0].ids == ["1", "2"])
            await asyncio.to_thread(primary.stop, "immediate")
            await both.promote()
            run_each(both.new, "insert into t values (10, 'new primary only')")
            await followers[0].until(lambda: followers[0].ids == ["1", "10"])
            play.dsn = both.new
            await play.check(*followers)


async def test_a_reader_does_not_stay_with_a_standby_that_it_was_led_to(primary: LocalPostgres) -> None:
    async with following(primary) as (both, play):
        follower = await play.follow(QUERIES[2])
        await asyncio.to_thread(both.standby.start)
        both.reads.target = "127.0.0.1", both.standby.port
        both.reads.cut()
        run_each(both.old, "insert into t values (2, 'new')")
        await until(lambda: play.live.problem)
        both.reads.target = "127.0.0.1", primary.port
        play.dsn = both.old
        await play.check(follower)
        assert play.live.problem is None
