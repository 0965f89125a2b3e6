"""Types that change under a subscription: lists follow, and no value that looks otherwise than described ends them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from structlog.typing import EventDict

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.nodes.live_node import QUICK, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each

# Marks are not looked at here: what is announced is, or what a value itself gives away.
BLIND = replace(QUICK, watch_interval=3600.0)
TYPES = """
create type mood as enum ('low', 'high');
create type addr as (street text, zip text);
create type person as (name text, home addr, homes addr[], mood mood);
create domain home as addr;
create table place (street text, floor int);
create table t (id int primary key, a addr, p person, h home, l place, v addr[], m mood default 'low');
insert into t (id, a, p, h, l, v) values
  (1, row('s1', 'z1'), row('n', row('s', 'z'), array[row('x', 'y')::addr], 'low'), row('h', 'z'), row('l', 1),
   array[row('v', 'w')::addr]),
  (2, null, null, null, null, null);
select realtime.expose('t')
"""
EVERYTHING = Query("t", {"orderBy": [["id", "asc"]]}, json_rows("select * from t order by id"))
NEW = (
    "insert into t (id, a, p, v) select 3 + count(*), (select a from t where id = 1), (select p from t where id = 1), "
    "(select v from t where id = 1) from t"
)


@pytest.fixture(params=["own18", "own15"])
def base(request: pytest.FixtureRequest) -> Iterator[str]:
    server: LocalPostgres = request.getfixturevalue(request.param)
    with database_on(server, *TYPES.split(";")) as dsn:
        yield dsn


CHANGES = [
    ("alter type addr add attribute city text", "update t set a = row('s3', 'z3', 'c3') where id = 2"),
    ("alter type addr drop attribute city", "update t set a = row('s4', 'z4') where id = 2"),
    ("alter type addr rename attribute zip to postcode", NEW),
    (
        "alter type person add attribute age int",
        "update t set p = row('m', row('s', 'z'), null, 'high', 7) where id = 2",
    ),
    ("alter type mood rename value 'low' to 'down'", "update t set m = 'down' where id = 2"),
    ("alter type mood add value 'higher'", "update t set m = 'higher' where id = 2"),
    ("alter table place add column door int", "update t set l = row('p', 2, 3) where id = 2"),
    ("alter table place rename column floor to level", "update t set l = row('q', 2, 4) where id = 2"),
]


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
async def test_documents_follow_the_definition_of_their_types(base: str, announced: bool) -> None:
    if not announced:
        run_each(base, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    async with live_node(base, live=BLIND if announced else replace(QUICK, watch_interval=0.1)) as play:
        follower = await play.follow(EVERYTHING)
        for change, write in CHANGES:
            run_each(base, change)
            if announced:
                await play.check(follower)
            run_each(base, write)
            newcomer = await play.follow(EVERYTHING)
            if announced:
                await play.check(follower, newcomer)
            newcomer.leave()
        run_each(base, "update t set id = id + 100 where id = 2")
        await follower.until(lambda: "102" in follower.ids and b'"level"' in follower.list[-1][1])
        await play.check(follower)
        assert follower.resets == 1


async def test_a_value_that_shows_a_changed_type_is_enough(base: str) -> None:
    """Neither event triggers nor marks: the new row has a field more than the catalog knows."""
    run_each(base, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    async with live_node(base, live=BLIND) as play:
        follower = await play.follow(EVERYTHING)
        run_each(
            base, "alter type addr add attribute city text", "insert into t (id, a) values (3, row('s3', 'z3', 'c3'))"
        )
        await follower.until(lambda: "3" in follower.ids)
        newcomer = await play.follow(EVERYTHING)
        await play.check(follower, newcomer)
        run_each(base, "alter type addr add attribute land text")
        later = await play.follow(Query("t", {"where": [["id", ">", 0]]}, EVERYTHING.truth))
        await play.check(later)


async def test_a_label_that_nothing_announced_is_no_fault(base: str, logs: list[EventDict]) -> None:
    """Shown, ordered by, compared and inside a composite: one line of information, and the lists are right at once."""
    run_each(base, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    queries = [
        EVERYTHING,
        Query("t", {"orderBy": ["m"], "limit": 2}, json_rows("select * from t order by m, id limit 2")),
        Query("t", {"orderBy": [["m", "desc"], "id"]}, json_rows("select * from t order by m desc, id")),
        Query("t", {"where": [["m", ">=", "low"]]}, json_rows("select * from t where m >= 'low' order by id")),
    ]
    async with live_node(base, live=BLIND) as play:
        followers = [await play.follow(query) for query in queries]
        for change, write in (
            ("alter type mood add value 'higher'", "update t set m = 'higher' where id = 2"),
            ("alter type mood rename value 'high' to 'up'", "update t set m = 'up' where id = 1"),
            ("alter type mood add value 'top'", "update t set p = row('o', null, null, 'top') where id = 1"),
        ):
            logs.clear()
            run_each(base, change, write)
            await play.check(*followers)
            rereads = [entry for entry in logs if entry["event"] == "collection_reread"]
            assert [entry["log_level"] for entry in rereads] == ["info"], logs
            assert "in the catalog in use" in rereads[0]["error"]
            assert not [
                entry for entry in logs if entry.get("exc_info") or entry["log_level"] not in ("debug", "info")
            ], logs


async def test_types_that_no_exposed_table_has_cost_nothing(base: str) -> None:
    async with live_node(base, live=BLIND) as play:
        follower = await play.follow(EVERYTHING)
        reads = play.live.status()["reads"]
        run_each(
            base,
            "create type elsewhere as (a int)",
            "alter type elsewhere add attribute b int",
            "create table unexposed (id int primary key, e elsewhere)",
            "alter table unexposed add column x int",
            "create index on unexposed (x)",
            "drop table unexposed",
            "drop type elsewhere",
            "insert into t (id) values (3)",
        )
        await play.check(follower)
        assert play.live.status()["reads"] == reads


# One table for each way to be made of mood or addr, and no other column that is.
NESTED_TYPES = """
create type mood as enum ('low', 'high');
create type addr as (street text, zip text);
create domain feeling as mood;
create domain weather as feeling;
create domain home as addr;
create type moods as range (subtype = mood, multirange_type_name = mood_sets);
create type weathers as range (subtype = weather, multirange_type_name = weather_sets);
create type way as range (subtype = addr, multirange_type_name = ways);
create domain route as way;
create type stay as (during moods, n int);
create type trip as (stops addr[], at route)
"""
NESTED = {
    "weather": "low",
    "feeling[]": "{low,NULL,high}",
    "moods": "[low,high]",
    "moods[]": '{"[low,high]"}',
    "mood_sets": "{[low,high]}",
    "weathers": "[low,high)",
    "weather_sets": "{[low,high)}",
    "stay": '("[low,high]",1)',
    "home": "(a,z)",
    "addr[]": '{"(a,z)"}',
    "way": '["(a,z)","(b,z)"]',
    "route": '["(a,z)","(b,z)"]',
    "ways": '{["(a,z)","(b,z)"]}',
    "trip": '("{""(a,z)""}",)',
}
NESTED_CHANGES = (
    "alter type mood rename value 'low' to 'down'",
    "alter type mood add value 'lowest' before 'down'",
    "alter domain feeling add constraint known check (value <> 'high') not valid",
    "alter type addr add attribute city text",
    "alter type addr rename attribute zip to postcode",
    "alter type addr drop attribute street",
    "alter type stay rename attribute during to period",
    "alter type stay add attribute rest mood_sets",
    "alter type stay drop attribute n",
)


def nested(number: int, *, in_sql: bool) -> Query:
    table = f"n{number}"
    if not in_sql:
        return Query(table, {"orderBy": [["id", "asc"]]}, json_rows(f"select * from {table} order by id"))
    select = f"select count(*) as n, min(v::text) as v from {table}"
    return Query(table, {"sql": select}, json_rows(select))


@pytest.fixture(params=["own18", "own15"])
def nested_base(request: pytest.FixtureRequest) -> Iterator[str]:
    server: LocalPostgres = request.getfixturevalue(request.param)
    tables = [
        f"create table n{number} (id int primary key, v {kind}); insert into n{number} values (1, '{value}'); "
        f"select realtime.expose('n{number}')"
        for number, (kind, value) in enumerate(NESTED.items())
    ]
    with database_on(server, *NESTED_TYPES.split(";"), *tables) as dsn:
        yield dsn


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
async def test_a_type_is_followed_into_whatever_is_made_of_it(nested_base: str, announced: bool) -> None:
    if not announced:
        run_each(nested_base, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    async with live_node(nested_base, live=BLIND if announced else replace(QUICK, watch_interval=0.1)) as play:
        queries = [nested(number, in_sql=in_sql) for number in range(len(NESTED)) for in_sql in (False, True)]
        followers = [await play.follow(query) for query in queries]
        for change in NESTED_CHANGES:
            run_each(nested_base, change)
            if announced:
                await play.check(*followers)
        if not announced:
            for follower in followers:
                [(truth,)] = read(nested_base, follower.query.truth)
                await follower.until(lambda: follower.documents() == [truth])
        newcomers = [await play.follow(query) for query in queries]
        run_each(nested_base, *(f"insert into n{number} select 2, v from n{number}" for number in range(len(NESTED))))
        await play.check(*followers, *newcomers)
        assert all(follower.resets == 1 for follower in followers)


async def test_a_type_that_is_used_only_through_a_range_is_followed_without_event_triggers(dsn: str) -> None:
    run_each(dsn, *NESTED_TYPES.split(";"), "create table n0 (id int primary key, v mood_sets, w ways)")
    run_each(
        dsn, """insert into n0 values (1, '{[low,high]}', '{["(a,z)","(b,z)"]}')""", "select realtime.expose('n0')"
    )
    run_each(dsn, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    async with live_node(dsn, live=replace(QUICK, watch_interval=0.1)) as play:
        follower = await play.follow(nested(0, in_sql=False))
        run_each(dsn, "alter type mood rename value 'low' to 'down'")
        await follower.until(lambda: b"{[down,high]}" in follower.list[0][1])
        run_each(dsn, "alter type addr add attribute city text")
        await follower.until(lambda: b"(a,z,)" in follower.list[0][1])
        await play.check(follower, await play.follow(nested(0, in_sql=False)))
