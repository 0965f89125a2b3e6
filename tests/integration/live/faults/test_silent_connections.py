"""Connections that die without a word while new ones work: what was sent arrives nowhere, and no error reports it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from psycopg.conninfo import conninfo_to_dict

from engine.postgres.connections.opening import UnansweredError
from engine.postgres.connections.pool import Pool
from tests.faultproxy.proxy import FaultProxy
from tests.support.nodes.live_node import QUICK, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import GIVE_UP_AFTER, run_each, until

TABLE = (
    "create table t (id int primary key, s text)",
    "select realtime.expose('t')",
    "insert into t select n, 'a' from generate_series(1, 20) n",
)
LATEST = "select * from t order by id desc limit 3"
QUERIES = (
    Query("t", {}, json_rows("select * from t order by id")),
    Query("t", {"orderBy": [["id", "desc"]], "limit": 3}, json_rows(LATEST)),
    Query("t", {"sql": "select count(*) as n from t"}, json_rows("select count(*) as n from t")),
    Query(
        "t",
        {"sql": "select s, max(id) as id from t group by s order by s"},
        json_rows("select s, max(id) as id from t group by s order by s"),
    ),
)
LIVE = replace(QUICK, read_timeout_ms=3_000, quick_timeout_ms=2_000)


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[FaultProxy]:
    """On the way to the server."""
    address = conninfo_to_dict(dsn)
    async with FaultProxy(str(address["host"]), int(str(address["port"]))) as proxy:
        yield proxy


def through(proxy: FaultProxy, dsn: str) -> str:
    return dsn.replace(f":{conninfo_to_dict(dsn)['port']}/", f":{proxy.port}/")


async def test_lists_become_right_after_every_reading_connection_became_silent(dsn: str, proxy: FaultProxy) -> None:
    run_each(dsn, *TABLE)
    async with live_node(dsn, live=LIVE, reads=through(proxy, dsn)) as play:
        followers = [await play.follow(query) for query in QUERIES]
        assert play.live.problem is None
        proxy.half_open()
        run_each(
            dsn, "delete from t where id > 5", "update t set s = 'b' where id = 1", "alter table t add column n int"
        )
        await until(lambda: play.live.problem)
        await play.check(*followers)
        await until(lambda: play.live.problem is None)  # the last silent connection is ended by its answer_timeout


async def test_a_silent_connection_is_no_problem_any_more_once_it_is_ended(dsn: str, proxy: FaultProxy) -> None:
    pool = Pool(through(proxy, dsn), "realtime test", size=3, timeout=GIVE_UP_AFTER, limit=0.5)
    await pool.open()
    lent = asyncio.Barrier(3)

    async def ask() -> None:
        async with pool.connection() as connection:
            await connection.execute("select 1")
            await lent.wait()
            await lent.wait()
            await connection.execute("select 2")

    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            asking = [asyncio.create_task(ask()) for _ in range(2)]
            await lent.wait()
            proxy.half_open()
            await lent.wait()
            await until(lambda: pool.problem or all(task.done() for task in asking))
            asking[0].cancel()
            ended = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError | UnansweredError) for error in ended), ended
        assert pool.problem is None
    finally:
        await pool.close()


async def test_a_large_answer_over_a_slow_way_is_no_dead_connection(dsn: str, proxy: FaultProxy) -> None:
    """The server has sent all of it within a moment, and what is between passes it on for seconds."""
    pool = Pool(through(proxy, dsn), "realtime test", size=2, timeout=GIVE_UP_AFTER)
    await pool.open()
    try:
        async with asyncio.timeout(GIVE_UP_AFTER), pool.connection() as connection:
            proxy.bytes_per_second = 120_000
            cursor = await connection.execute("select repeat('x', 1000000)")
            assert await cursor.fetchone() == ("x" * 1_000_000,)
    finally:
        proxy.heal()
        await pool.close()
