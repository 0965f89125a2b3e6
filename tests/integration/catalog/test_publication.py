"""A changed publication: no list is silently behind, and all is right when the publication is whole."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from engine.catalog.load import load_catalog
from engine.catalog.model import Catalog
from engine.errors import QueryRejectedError
from engine.live.definitions import Definitions
from server.cli.migration.migrate import migrate
from tests.support.clients.users import running_server
from tests.support.nodes.live_node import QUICK, Follower, LiveNode, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import GIVE_UP_AFTER, open_transaction, run_each, until

TABLES = (
    "create table t (id int primary key, x int not null default 0)",
    "insert into t select g from generate_series(1, 5) g",
    "create table other (id int primary key)",
    "select realtime.expose('t')",
    "select realtime.expose('other')",
)
EVERYTHING = Query("t", {"orderBy": [["id", "asc"]]}, json_rows("select * from t order by id"))
COUNT = Query(
    "t", {"sql": "select count(*) as n, sum(x) as s from t"}, json_rows("select count(*) as n, sum(x) as s from t")
)
OTHER = Query("other", {}, json_rows("select * from other order by id"))
UNANNOUNCED = ("drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")


@pytest.fixture(params=["announced", "not announced"])
def base(request: pytest.FixtureRequest, dsn: str) -> str:
    run_each(dsn, *TABLES, *(UNANNOUNCED if request.param == "not announced" else ()))
    return dsn


WATCHFUL = replace(QUICK, watch_interval=0.1)


async def refused(play: LiveNode) -> QueryRejectedError:
    """Why a new subscription of the table is refused, as soon as it is."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            try:
                follower = await play.follow(EVERYTHING)
            except QueryRejectedError as error:
                return error
            follower.leave()


NO_IDENTITY = "its table, or a partition of it, has no usable replica identity"  # clients get no names of tables


@pytest.mark.parametrize(
    ("change", "missed", "back", "reported"),
    [
        (
            "alter table t replica identity nothing",
            "insert into t values (100)",
            "alter table t replica identity default",
            "public.t has REPLICA IDENTITY NOTHING: updates and deletes cannot be followed; give it a primary key and",
        ),
        (
            "alter table t drop constraint t_pkey",
            "insert into t values (100)",
            "alter table t add primary key (id)",
            "public.t has no primary key and its REPLICA IDENTITY is DEFAULT",
        ),
        (
            "create unique index t_x on t (id, x); alter table t replica identity using index t_x; drop index t_x",
            "insert into t values (100)",
            "alter table t replica identity full",
            "the replica identity index of public.t is gone",
        ),
        (
            "alter publication bunbase_realtime drop table t",
            "insert into t values (100)",
            "alter publication bunbase_realtime add table only t",
            "public.t is not in the publication",
        ),
        (
            "alter publication bunbase_realtime set (publish = 'insert, update')",
            "delete from t where id = 2",
            "alter publication bunbase_realtime set (publish = 'insert, update, delete, truncate')",
            "does not publish delete, truncate",
        ),
        pytest.param(
            "alter publication bunbase_realtime drop table t; "
            "alter publication bunbase_realtime add table t where (id < 50)",
            "insert into t values (100)",
            "alter publication bunbase_realtime drop table t; alter publication bunbase_realtime add table t",
            "row filter on public.t",
            marks=pytest.mark.since(15),
        ),
        (
            "alter publication bunbase_realtime set (publish_via_partition_root = false)",
            "insert into t values (100)",
            "alter publication bunbase_realtime set (publish_via_partition_root = true)",
            "via the partition root",
        ),
    ],
)
async def test_a_possible_gap_of_the_stream_is_announced_and_no_change_of_it_delivered(
    base: str, change: str, missed: str, back: str, reported: str
) -> None:
    async with live_node(base, live=WATCHFUL) as play:
        followers = [await play.follow(query) for query in (EVERYTHING, COUNT)]
        shown = NO_IDENTITY if "replica identity" in reported.lower() else reported.replace("public.t", "its table")
        run_each(base, *change.split(";"))
        for follower in followers:
            await follower.until(lambda: follower.error is not None)
            assert isinstance(follower.error, QueryRejectedError)
            assert follower.error.code == "RT_001", "it passes when the publication is corrected"
            assert shown in str(follower.error)
        assert reported in str(play.live.problem)
        run_each(base, missed)
        assert shown in str(await refused(play))
        run_each(base, *back.split(";"))
        await until(lambda: play.live.problem is None)
        newcomers = [await play.follow(query) for query in (EVERYTHING, COUNT)]
        await play.check(*newcomers)
        run_each(base, "update t set x = 7 where id = 1", "delete from t where id = 3")
        await play.check(*newcomers)


async def test_a_table_that_is_out_of_the_publication_for_a_moment_is_read_again(base: str) -> None:
    async with live_node(base, live=WATCHFUL) as play:
        followers = [await play.follow(query) for query in (EVERYTHING, COUNT, OTHER)]
        with open_transaction(
            base,
            "alter publication bunbase_realtime drop table t",
            "insert into t values (100)",
            "alter publication bunbase_realtime add table only t",
        ) as moment:
            moment.commit()
        await followers[0].until(lambda: "100" in followers[0].ids)
        await followers[1].until(lambda: b"6" in followers[1].list[0][1])
        run_each(base, "insert into t values (101)", "insert into other values (1)")
        await play.check(*followers)


async def test_a_transaction_that_is_half_in_the_stream_is_shown_whole(base: str) -> None:
    async with live_node(base, live=WATCHFUL) as play:
        run_each(base, "alter publication bunbase_realtime drop table t")
        await until(lambda: play.live.problem is not None)
        with open_transaction(base, "insert into t values (100)") as writer:
            run_each(base, "alter publication bunbase_realtime add table only t")
            await until(lambda: play.live.problem is None)
            followers = [await play.follow(query) for query in (EVERYTHING, COUNT)]
            await play.check(*followers)
            writer.commit()
        await followers[0].until(lambda: "100" in followers[0].ids)
        await followers[1].until(lambda: b"6" in followers[1].list[0][1])
        await play.check(*followers)


async def test_a_gap_that_is_announced_while_privileges_are_looked_at_ends_with_its_own_transactions(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, seen, loading, proceed = (asyncio.Event() for _ in range(4))

    async def look(_: Definitions) -> None:
        looking.set()
        await seen.wait()

    async def load(*args: Any, **more: Any) -> Catalog:
        if looking.is_set():
            loading.set()
            await proceed.wait()
        return await load_catalog(*args, **more)

    monkeypatch.setattr("engine.live.definitions.Definitions._look_at_privileges", look)
    monkeypatch.setattr("engine.catalog.watcher.load_catalog", load)
    run_each(dsn, *TABLES)
    async with asyncio.timeout(GIVE_UP_AFTER), live_node(dsn) as play:
        run_each(dsn, "alter publication bunbase_realtime drop table t")
        await looking.wait()
        with open_transaction(dsn, "insert into t values (100)") as writer:
            run_each(dsn, "alter publication bunbase_realtime add table only t")
            await loading.wait()
            seen.set()
            await asyncio.sleep(0)  # the look ends before the catalog is loaded again
            await asyncio.sleep(0)
            proceed.set()
            await until(lambda: play.live.problem is None)
            follower = await play.follow(EVERYTHING)
            await play.check(follower)
            writer.commit()
        await follower.until(lambda: "100" in follower.ids)
        await play.check(follower)


@pytest.mark.since(15)
async def test_a_column_list_is_taken_in(base: str) -> None:
    async with live_node(base, live=WATCHFUL) as play:
        follower: Follower = await play.follow(EVERYTHING)
        run_each(base, "alter publication bunbase_realtime set table t (id), other")
        run_each(base, "update t set x = 5 where id = 1")
        await follower.until(lambda: follower.error is not None or b'"x":5' in follower.list[0][1].replace(b" ", b""))
        assert follower.error is None
        assert follower.subscription is not None
        assert follower.subscription.strategy == "re-read"
        run_each(base, "alter publication bunbase_realtime set table t, other")
        await until(lambda: follower.subscription is not None and follower.subscription.strategy == "incremental")
        run_each(base, "update t set x = 6 where id = 2")
        await play.check(follower)


async def test_a_partition_that_loses_its_replica_identity_ends_the_queries_until_it_has_one(base: str) -> None:
    query = Query("p", {"orderBy": [["id", "asc"]]}, json_rows("select * from p order by id"))
    run_each(
        base,
        "create table p (id int primary key, x int) partition by range (id)",
        "create table p1 partition of p for values from (0) to (100)",
        "create unique index p1_id on p1 (id)",
        "alter table p1 replica identity using index p1_id",
        "select realtime.expose('p')",
    )
    async with live_node(base, live=WATCHFUL) as play:
        follower = await play.follow(query)
        run_each(base, "drop index p1_id")
        await follower.until(lambda: follower.error is not None)
        assert NO_IDENTITY in str(follower.error)
        assert "public.p1" in str(play.live.problem)
        run_each(base, "alter table p1 replica identity default")
        await until(lambda: play.live.problem is None)
        newcomer = await play.follow(query)
        run_each(
            base,
            "insert into p values (1, 1)",
            "update p set x = 2",
            "insert into p values (2, 2)",
            "delete from p where id = 2",
        )
        await play.check(newcomer)


async def test_a_publication_that_was_dropped_is_restored_with_its_tables_by_migrate(dsn: str) -> None:
    run_each(dsn, *TABLES)
    async with live_node(dsn, lease=3.0) as play:
        followers = [await play.follow(query) for query in (EVERYTHING, COUNT, OTHER)]
        run_each(dsn, "drop publication bunbase_realtime", "insert into t values (100)")
        await asyncio.to_thread(migrate, dsn)
        run_each(dsn, "insert into t values (101)", "insert into other values (1)")
        newcomers: list[Follower] = []
        await until(lambda: play.live.problem is None and play.feed.state.status == "streaming")
        for query in (EVERYTHING, COUNT, OTHER):
            newcomers.append(await play.follow(query))
        await newcomers[0].until(lambda: {"100", "101"} <= set(newcomers[0].ids))
        await play.check(*newcomers)
        run_each(dsn, "insert into t values (102)", "insert into other values (2)")
        await play.check(*newcomers)
        for follower in followers:
            assert follower.error is not None or follower.events > 1


async def test_a_publication_that_is_renamed_is_missed_at_once_and_found_again(dsn: str) -> None:
    run_each(dsn, *TABLES)
    async with live_node(dsn, live=replace(QUICK, watch_interval=3600.0)) as play:
        follower = await play.follow(EVERYTHING)
        run_each(dsn, "alter publication bunbase_realtime rename to elsewhere", "insert into t values (100)")
        await follower.until(lambda: follower.error is not None)
        assert (await refused(play)).code == "RT_001"
        run_each(dsn, "alter publication elsewhere rename to bunbase_realtime")
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                try:
                    again = await play.follow(EVERYTHING)
                except QueryRejectedError:
                    continue
                break
        await play.check(again)


async def test_another_publication_is_none_of_our_business(dsn: str) -> None:
    run_each(dsn, *TABLES)
    async with live_node(dsn) as play:
        follower = await play.follow(EVERYTHING)
        reads = play.live.status()["reads"]
        run_each(
            dsn, "create publication mine for table t", "alter publication mine drop table t", "drop publication mine"
        )
        run_each(dsn, "insert into t values (6)")
        await play.check(follower)
        assert play.live.status()["reads"] == reads


async def becomes(http: httpx.AsyncClient, status: str) -> dict[str, object]:
    """What the health reports of the feed as soon as it has this status."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            found = (await http.get("/health")).json()
            if found["status"] == status:
                feed: dict[str, object] = found["feed"]
                return feed
            await asyncio.sleep(0.05)


async def test_health_names_a_table_that_is_not_published(database: str) -> None:
    run_each(database, *TABLES)
    async with (
        running_server(database) as server,
        httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http,
    ):
        run_each(database, "alter publication bunbase_realtime set (publish = 'insert')")
        feed = await becomes(http, "degraded")
        assert "does not publish update, delete, truncate" in str(feed["reason"])
        run_each(database, "alter publication bunbase_realtime set (publish = 'insert, update, delete, truncate')")
        await becomes(http, "ok")
        run_each(database, "alter table t replica identity nothing")
        feed = await becomes(http, "degraded")
        assert "public.t has REPLICA IDENTITY NOTHING" in str(feed["reason"])
        assert "or REPLICA IDENTITY FULL" in str(feed["reason"])
        run_each(database, "alter table t replica identity full")
        await becomes(http, "ok")
