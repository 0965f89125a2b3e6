"""Types that change under a subscription: lists follow, and no value that looks otherwise than described ends them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from server.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.live.stage import QUICK, json_rows, run, stage
from tests.oracle.queries import Query

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
        run(base, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    async with stage(base, live=BLIND if announced else replace(QUICK, watch_interval=0.1)) as play:
        follower = await play.follow(EVERYTHING)
        for change, write in CHANGES:
            run(base, change)
            if announced:
                await play.check(follower)
            run(base, write)
            newcomer = await play.follow(EVERYTHING)
            if announced:
                await play.check(follower, newcomer)
            newcomer.leave()
        run(base, "update t set id = id + 100 where id = 2")
        await follower.until(lambda: "102" in follower.ids and b'"level"' in follower.list[-1][1])
        await play.check(follower)
        assert follower.resets == 1


async def test_a_value_that_shows_a_changed_type_is_enough(base: str) -> None:
    """Neither event triggers nor marks: the new row has a field more than the catalog knows."""
    run(base, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    async with stage(base, live=BLIND) as play:
        follower = await play.follow(EVERYTHING)
        run(base, "alter type addr add attribute city text", "insert into t (id, a) values (3, row('s3', 'z3', 'c3'))")
        await follower.until(lambda: "3" in follower.ids)
        newcomer = await play.follow(EVERYTHING)
        await play.check(follower, newcomer)
        run(base, "alter type addr add attribute land text")
        later = await play.follow(Query("t", {"where": [["id", ">", 0]]}, EVERYTHING.truth))
        await play.check(later)


async def test_types_that_no_exposed_table_has_cost_nothing(base: str) -> None:
    async with stage(base, live=BLIND) as play:
        follower = await play.follow(EVERYTHING)
        reads = play.live.status()["reads"]
        run(
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
