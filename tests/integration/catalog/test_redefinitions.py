"""Definitions that change under subscribers: those it concerns get a difference or an error, the others live on."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from engine.errors import InvalidQueryError
from tests.support.nodes.live_node import QUICK, Follower, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each, until

TABLES = """
create type mood as enum ('low', 'high');
create table t (id int primary key, x int not null, y int default 0, m mood default 'low', grp int not null default 0);
select realtime.expose('t');
insert into t select i, i * 10 from generate_series(1, 12) i;
create table part (id int, grp int, primary key (id, grp)) partition by list (grp);
create table part_0 partition of part for values in (0);
create table part_1 partition of part for values in (1);
create table part_2 (id int, grp int, primary key (id, grp));
insert into part_2 values (20, 2);
select realtime.expose('part');
insert into part values (1, 0), (2, 1);
create table other (id int primary key);
select realtime.expose('other')
"""
ALL = Query("t", {"orderBy": [["id", "asc"]]}, json_rows("select * from t order by id"))
BY_X = Query(
    "t",
    {"where": [["x", "!=", 55]], "orderBy": [["x", "desc"]], "limit": 3},
    json_rows("select * from t order by x desc, id limit 3"),
)
BY_MOOD = Query("t", {"orderBy": [["m", "desc"]], "limit": 3}, json_rows("select * from t order by m desc, id limit 3"))
SUM = Query("t", {"sql": "select sum(x) as s from t"}, json_rows("select sum(x) as s from t"))
PART = Query("part", {"orderBy": [["id", "asc"]]}, json_rows("select * from part order by id, grp"))
COUNT = Query("part", {"sql": "select count(*) as n from part"}, json_rows("select count(*) as n from part"))
OTHER = Query("other", {}, json_rows("select * from other order by id"))

WRITES = ["delete from t where id = 2", "insert into t (id, grp) select 30, 1", "update t set y = 5 where id = 3"]
NO_X = [write.replace("(id, grp) select 30, 1", "(id, x) values (30, 500)") for write in WRITES]


@pytest.fixture
def base(dsn: str) -> str:
    run_each(dsn, *TABLES.split(";"))
    return dsn


@pytest.mark.parametrize(
    ("definition", "query", "writes"),
    [
        ("alter table t drop column y", ALL, NO_X[:2]),
        ("alter table t drop column y", BY_X, NO_X[:2]),
        ("alter table t drop column y", SUM, NO_X[:2]),
        ("alter table t add column z text default 'z'", ALL, NO_X),
        ("alter table t alter column y type text", ALL, NO_X),
        ("alter table t alter column x type bigint", BY_X, NO_X),
        ("alter table t alter column x type numeric", SUM, NO_X),
        ("alter table t replica identity full", BY_X, NO_X),
        ("alter table t replica identity full; alter table t replica identity default", ALL, NO_X),
        ("alter type mood add value 'higher'", BY_MOOD, [*NO_X, "update t set m = 'higher' where id = 4"]),
        ("alter type mood add value 'lowest' before 'low'", BY_MOOD, ["update t set m = 'lowest' where id > 2", *NO_X]),
        ("alter type mood rename value 'low' to 'down'", BY_MOOD, ["update t set m = 'high' where id = 5"]),
        ("create table part_3 partition of part for values in (3)", PART, ["insert into part values (9, 3)"]),
        ("alter table part attach partition part_2 for values in (2)", PART, ["insert into part values (9, 2)"]),
        ("alter table part attach partition part_2 for values in (2)", COUNT, ["insert into part values (9, 2)"]),
        ("alter table part detach partition part_1", PART, ["insert into part values (9, 0)"]),
        ("alter table part detach partition part_1", COUNT, ["insert into part values (9, 0)"]),
        ("truncate part_1", PART, ["insert into part values (9, 1)"]),
        ("truncate part_1", COUNT, ["insert into part values (9, 1)"]),
        ("drop table part_1", PART, ["insert into part values (9, 0)"]),
        ("truncate part", PART, ["insert into part values (9, 0)"]),
    ],
)
async def test_a_lone_query_goes_on(base: str, definition: str, query: Query, writes: list[str]) -> None:
    async with live_node(base) as play:
        follower = await play.follow(query)
        run_each(base, *definition.split(";"))
        await play.check(follower)
        for write in writes:
            run_each(base, write)
            await play.check(follower)
        assert follower.resets == 1


@pytest.mark.parametrize(
    ("definition", "queries"),
    [
        ("drop table t", [ALL, BY_X, SUM]),
        ("alter table t drop column x", [BY_X, SUM]),
        ("alter table t rename column x to z", [BY_X, SUM]),
        ("alter table t alter column x type text", [SUM]),
        ("select realtime.unexpose('t')", [ALL, BY_X, SUM]),
        ("alter table t enable row level security", [ALL, BY_X, SUM]),
        ("alter table t replica identity nothing", [ALL, BY_X, SUM]),
        ("alter table t rename to t2", [SUM]),
    ],
)
async def test_a_query_that_has_no_answer_any_more_ends_with_an_error(
    base: str, definition: str, queries: list[Query]
) -> None:
    async with live_node(base) as play:
        lost = [await play.follow(query) for query in queries]
        other = await play.follow(OTHER)
        run_each(base, definition)
        for follower in lost:
            await follower.until(lambda: follower.error is not None)
            assert not follower.failures
        run_each(base, "insert into other values (1)")
        await play.check(other)
        assert play.live.status()["queries"] == 1


MOODS = Query("t", {"where": [["m", "==", "low"]]}, json_rows("select * from t where m = 'low' order by id"))
STAR = Query("t", {"sql": "select * from t order by id"}, json_rows("select * from t order by id"))


def shown(follower: Follower) -> list[Any]:
    return [json.loads(doc) for _, doc in follower.list]


def truth(dsn: str, query: Query) -> list[Any]:
    return [row[0] for row in read(dsn, query.truth)]


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    ("definition", "next_definition", "query"),
    [
        ("alter type mood rename to temper", "alter type temper rename to mood", MOODS),
        ("alter table t rename column y to z", "alter table t rename column z to y", STAR),
        ("alter table t drop column y", "alter table t add column y text default 'new'", STAR),
    ],
)
async def test_a_query_outlives_a_definition_that_changes_again_before_it_is_planned(
    base: str, definition: str, next_definition: str, query: Query, announced: bool
) -> None:
    if not announced:
        run_each(base, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    async with live_node(base, live=replace(QUICK, watch_interval=0.1)) as play:
        follower = await play.follow(query)
        changing = asyncio.Event()
        plan = play.live._planner.plan

        async def plan_after_the_next(*given: Any) -> Any:
            if not changing.is_set():
                changing.set()
                await asyncio.to_thread(run_each, base, next_definition)
            return await plan(*given)

        play.live._planner.plan = plan_after_the_next  # type: ignore[method-assign,assignment]
        run_each(base, definition)
        await until(changing.is_set)
        run_each(base, "insert into t (id, x) values (30, 1)")
        await until(
            lambda: follower.error or shown(follower) == truth(base, query)
        )  # noticed by and by if not announced
        assert follower.error is None
        run_each(base, "insert into t (id, x) values (31, 1)")
        await play.check(follower)
        assert follower.error is None


async def test_a_renamed_table_keeps_its_collection(base: str) -> None:
    async with live_node(base) as play:
        follower: Follower = await play.follow(ALL)
        run_each(
            base,
            "alter table t rename to t2",
            "insert into t2 (id, x) values (30, 1)",
            "create view t as select * from t2",
        )
        await play.check(follower)


async def test_a_function_that_is_given_a_secret_default_ends_the_queries_that_call_it(base: str) -> None:
    run_each(
        base,
        "create function f(a int default 1) returns int language sql immutable as 'select a'",
        "create function secret() returns int language sql volatile security definer as 'select 42'",
    )
    calls = Query("t", {"sql": "select id, f() as f from t"}, json_rows("select id, f() as f from t order by id"))
    async with live_node(base) as live:
        follower = await live.follow(calls)
        run_each(
            base,
            "create or replace function f(a int default secret()) returns int language sql immutable as 'select a'",
        )
        await follower.until(lambda: follower.error is not None)
        assert "volatile function secret()" in str(follower.error)
        assert not any(b"42" in document for _, document in follower.list)


async def test_a_new_function_plans_only_queries_again_that_may_call_it(base: str) -> None:
    calls = Query("t", {"sql": "select id, f(id) as f from t"}, json_rows("select id, id + 1 as f from t order by id"))
    run_each(base, "create function f(a int) returns int language sql immutable as 'select a + 1'")
    async with live_node(base) as play:
        await play.follow(ALL)
        reads = play.live.status()["reads"]
        run_each(
            base, "create function elsewhere() returns int language sql as 'select 1'", "drop function elsewhere()"
        )
        await play.caught_up()
        assert play.live.status()["reads"] == reads
        follower = await play.follow(calls)
        await play.check(follower)
        reads = play.live.status()["reads"]
        run_each(base, "create or replace function f(a int) returns int language sql immutable as 'select a + 2'")
        follower.query = replace(follower.query, truth=json_rows("select id, id + 2 as f from t order by id"))
        await play.check(follower)
        assert play.live.status()["reads"] > reads


@pytest.mark.parametrize("state", ["53100", "57014", "08001"])
async def test_a_query_whose_function_raises_is_refused_in_its_words_whatever_the_sqlstate(
    base: str, state: str
) -> None:
    raises = f"raise exception 'quota of %', a using errcode = '{state}'"
    run_each(
        base,
        f"create function f(a int) returns int language plpgsql immutable as $$ begin if a > 11 then {raises}; end if; "
        "return a; end $$",
        "grant execute on function f(int) to realtime_reader",
    )
    async with live_node(base) as play:
        calls = Query("t", {"sql": "select sum(f(id)) as s from t where x < 115"}, json_rows("select 66 as s"))
        follower = await play.follow(calls)
        with pytest.raises(InvalidQueryError, match="quota of 12"):
            await play.follow(Query("t", {"sql": "select sum(f(id)) as s from t"}, calls.truth))
        run_each(base, "update t set x = 1 where id = 12")
        await follower.until(lambda: follower.error is not None)
        assert "quota of 12" in str(follower.error)
        assert isinstance(follower.error, InvalidQueryError)


@pytest.mark.parametrize(
    ("breaks", "repairs"),
    [
        ("alter view realtime.types_in_use rename to gone", "alter view realtime.gone rename to types_in_use"),
        (
            "alter table realtime.collections rename column columns to gone",
            "alter table realtime.collections rename column gone to columns",
        ),
    ],
)
async def test_definitions_that_cannot_be_read_are_a_problem_until_they_can(
    base: str, breaks: str, repairs: str
) -> None:
    async with live_node(base) as play:
        follower = await play.follow(OTHER)
        run_each(base, breaks)
        assert play.live.problem is None
        run_each(base, "alter table other add column z int")
        await until(lambda: "definitions cannot be read, lists may be out of date: " in str(play.live.problem))
        assert "`realtime migrate`" in str(play.live.problem)
        run_each(base, repairs)
        await until(lambda: play.live.problem is None)
        await play.check(follower)


async def test_a_look_for_changes_that_fails_is_a_problem_until_one_succeeds(base: str) -> None:
    run_each(base, "alter event trigger realtime_ddl_end disable")
    async with live_node(base, live=replace(QUICK, watch_interval=0.1)) as play:
        follower = await play.follow(OTHER)
        run_each(base, "alter table realtime.collections rename column columns to gone")
        await until(lambda: "definitions cannot be read" in str(play.live.problem))
        run_each(base, "alter table realtime.collections rename column gone to columns")
        await until(lambda: play.live.problem is None)
        await play.check(follower)
