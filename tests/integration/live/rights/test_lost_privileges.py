"""A privilege that the server loses under running queries is no fault of a client's, and they go on when it is back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from engine.errors import PermissionDeniedError, PrivilegeLostError
from engine.live import subscription_planner
from engine.live.plan_cache import Planner
from engine.query.lost_privileges import grants_lacking
from tests.support.nodes.live_node import QUICK, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each, until

SETUP = (
    "create schema shop",
    "create schema kinds",
    "create type kinds.pair as (a int, b text)",
    "create table shop.items (id int primary key, title text, pair kinds.pair)",
    "create table shop.part (id int primary key, title text, secret text)",
    "insert into shop.items values (1, 'a', row(1, 'x'))",
    "insert into shop.part values (1, 'a', 's')",
    "select realtime.expose('shop.items'), realtime.expose('shop.part', columns => '{id,title}')",
)
TRIGGERS = ("realtime_ddl_end", "realtime_ddl_drop")

COUNT = Query(
    "items", {"sql": "select count(*) as n from shop.items"}, json_rows("select count(*) as n from shop.items")
)
ITEMS = Query("items", {"orderBy": ["id"]}, json_rows("select * from shop.items order by id"))
PART = Query("part", {"orderBy": ["id"]}, json_rows("select id, title from shop.part order by id"))
PAIRS = Query(
    "items",
    {"where": [["pair", "==", "(1,x)"]]},
    json_rows("select * from shop.items where pair = row(1, 'x')::kinds.pair"),
)


def builder(limit: int) -> tuple[str, dict[str, object]]:
    return "items", {"orderBy": ["title"], "limit": limit}


# what is lost, the running query that has to be read again, how a newcomer asks
LOST: dict[str, tuple[str, Query, tuple[str, dict[str, object]]]] = {
    "schema": ("USAGE ON SCHEMA shop", COUNT, builder(7)),
    "schema, asked in SQL": (
        "USAGE ON SCHEMA shop",
        COUNT,
        ("items", {"sql": "select max(title) as m from shop.items"}),
    ),
    "schema, asked as a join": (
        "USAGE ON SCHEMA shop",
        COUNT,
        ("part", {"sql": "select p.id, i.title from shop.part p join shop.items i using (id)"}),
    ),
    "table": ("SELECT ON shop.items", ITEMS, builder(8)),
    "table, asked in SQL": ("SELECT ON shop.items", COUNT, ("items", {"sql": "select max(id) as m from shop.items"})),
    "columns": ("SELECT (id, title) ON shop.part", PART, ("part", {"limit": 5})),
    "schema of a type": ("USAGE ON SCHEMA kinds", PAIRS, ("items", {"where": [["pair", "==", "(2,x)"]]})),
}


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
async def test_a_lost_privilege_is_the_servers_affair_and_queries_go_on_when_it_is_back(
    database: str, announced: bool
) -> None:
    run_each(database, *SETUP, *(() if announced else [f"drop event trigger {name}" for name in TRIGGERS]))
    async with live_node(database, live=replace(QUICK, watch_interval=0.2)) as play:
        for number, (lost, (privilege, query, (collection, asked))) in enumerate(LOST.items()):
            follower = await play.follow(query)
            before = follower.list
            run_each(database, f"revoke {privilege} from realtime_reader", *_write(2 * number + 2))
            with pytest.raises(PrivilegeLostError) as refused:
                await play.follow(Query(collection, asked, ""))
            assert (refused.value.code, "GRANT" in str(refused.value)) == ("RT_001", True), lost
            assert "shop" not in str(refused.value), lost
            await until(lambda: f"GRANT {privilege} TO realtime_reader" in (play.live.problem or ""))
            assert follower.error is None, lost
            if query is COUNT:
                assert follower.list == before, lost
            run_each(database, f"grant {privilege} to realtime_reader", *_write(2 * number + 3))
            await until(lambda: play.live.problem is None)
            await play.check(follower)
            follower.leave()


def _write(number: int) -> list[str]:
    values = f"values ({number}, 'b', row({number}, 'x'))"
    return [f"insert into shop.items {values}", f"insert into shop.part values ({number}, 'b', 's')"]


async def test_a_privilege_that_one_client_lacks_affects_no_other(database: str) -> None:
    run_each(database, *SETUP, "create schema hidden", "create function hidden.f() returns int immutable return 1")
    async with live_node(database) as play:
        for sql in (
            "select secret from shop.part",
            "select hidden.f() as x from shop.part",
            "select id from hidden.t",
            "select p.id from shop.part p, pg_catalog.pg_authid",
        ):
            with pytest.raises(PermissionDeniedError):
                await play.follow(Query("part", {"sql": sql}, ""))


async def test_a_privilege_that_is_back_before_it_is_looked_for_is_no_refusal(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_each(database, *SETUP, "revoke usage on schema shop from realtime_reader")

    async def late(*given: Any) -> tuple[str, ...]:
        run_each(database, "grant usage on schema shop to realtime_reader")
        return await grants_lacking(*given)

    monkeypatch.setattr("engine.query.planner.grants_lacking", late)
    async with live_node(database) as play:
        await play.check(await play.follow(COUNT))


async def test_a_privilege_that_is_back_right_after_a_refused_read_does_not_end_the_query(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_each(database, *SETUP)
    async with live_node(database) as play:
        follower = await play.follow(COUNT)
        run_each(database, "revoke usage on schema shop from realtime_reader", *_write(2))
        refused = 0
        restored = asyncio.Event()

        async def late(*given: Any) -> tuple[str, ...]:
            nonlocal refused
            refused += 1
            if refused > 6 and not restored.is_set():  # after more attempts than an error of the query's own gets
                restored.set()
                run_each(database, "grant usage on schema shop to realtime_reader")
            return await grants_lacking(*given)

        monkeypatch.setattr("engine.live.failed_reads.grants_lacking", late)
        await until(restored.is_set)
        await play.check(follower)


async def test_a_query_of_a_lost_privilege_does_not_wait_for_the_stream_each_time(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_each(database, *SETUP)
    async with live_node(database, live=replace(QUICK, watch_interval=0.2)) as play:
        follower = await play.follow(ITEMS)
        waits: list[object] = []

        async def counted(*arguments: object) -> bool:
            waits.append(arguments)
            return True

        monkeypatch.setattr(subscription_planner, "catch_up", counted)
        run_each(database, "revoke select on shop.items from realtime_reader", *_write(2))
        await until(lambda: "GRANT SELECT ON shop.items" in (play.live.problem or ""))
        run_each(database, "grant select on shop.items to realtime_reader", *_write(3))
        await until(lambda: play.live.problem is None)
        await play.check(follower)
        assert waits == []


async def test_a_plan_that_the_database_interrupts_is_made_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_each(database, *SETUP)
    async with live_node(database) as play:
        follower = await play.follow(ITEMS)
        plan = Planner.plan
        interrupted: list[object] = []

        async def interrupting(self: Planner, *arguments: Any) -> Any:
            if not interrupted:
                interrupted.append(arguments)
                raise psycopg.OperationalError("the connection is lost")
            return await plan(self, *arguments)

        monkeypatch.setattr(Planner, "plan", interrupting)
        run_each(database, "alter table shop.items add column extra text default 'e'", *_write(2)[1:])
        await until(lambda: interrupted)
        run_each(database, "insert into shop.items values (3, 'c', null, 'f')")
        await play.check(follower)
