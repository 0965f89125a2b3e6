"""Loading the catalog: locked tables do not hold it up, DDL elsewhere does not cause it, and it grows with its tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.postgres.statements.named_queries import query
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.nodes.live_node import QUICK, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import connect, open_transaction, run_each

TABLES = (
    "create table a (id int primary key)",
    "create table b (id int primary key)",
    "create table p (id int primary key) partition by range (id)",
    "create table p1 partition of p for values from (0) to (10)",
    "select realtime.expose('a')",
    "select realtime.expose('b')",
    "select realtime.expose('p')",
)
B = Query("b", {}, json_rows("select * from b order by id"))


async def test_an_open_alter_table_does_not_keep_other_tables_from_being_subscribed_to(dsn: str) -> None:
    run_each(dsn, *TABLES)
    async with live_node(dsn) as play:
        with open_transaction(dsn, "alter table a add column y int", "alter table p1 add constraint c check (id > -1)"):
            run_each(dsn, "create table elsewhere (id int)", "alter table b add column z int")
            follower = await play.follow(B)
            run_each(dsn, "insert into b values (1, 2)")
            await play.check(follower)


@pytest.fixture(params=["own18", "own15"])
def base(request: pytest.FixtureRequest) -> Iterator[str]:
    server: LocalPostgres = request.getfixturevalue(request.param)
    with database_on(server) as dsn:
        yield dsn


def expose_until(dsn: str, last: int) -> None:
    """Expose as many tables as are missing to ``last``, every fifth of them with a hidden column or partitions."""
    run_each(
        dsn,
        f"""do $$ begin
          for i in 1 + (select count(*) from realtime.collections)..{last} loop
            execute format('create table t%s (id int primary key, a text, b numeric, c timestamptz[]) %s',
                           i, case when i % 5 = 0 then 'partition by range (id)' else '' end);
            if i % 5 = 0 then
              execute format('create table t%s_1 partition of t%1$s for values from (0) to (10)', i);
            end if;
            perform realtime.expose(format('t%s', i), columns => case when i % 5 = 1 then '{{id,a}}'::name[] end);
          end loop;
        end $$""",
    )


async def test_definitions_of_what_is_not_exposed_do_not_load_the_catalog(base: str) -> None:
    expose_until(base, 20)
    async with live_node(base, live=replace(QUICK, watch_interval=3600.0)) as play:
        follower = await play.follow(Query("t1", {}, json_rows("select id, a from t1 order by id")))
        version, reads = play.live._catalog.version, play.live.status()["reads"]
        run_each(
            base,
            "create table elsewhere (id int primary key, a text)",
            "comment on table elsewhere is 'not exposed'",
            "alter table elsewhere add column b int, alter column a type varchar(20)",
            "create index on elsewhere (b)",
            "create type pair as (a int, b int)",
            "alter type pair add attribute c int",
            "create view seen as select * from elsewhere",
            "create materialized view kept as select * from elsewhere",
            "create sequence counted",
            "grant select on elsewhere, seen to public",
            "revoke all on elsewhere from public",
            "create publication theirs for table elsewhere",
            "drop publication theirs",
            "drop view seen",
            "drop table elsewhere cascade",
            "drop type pair",
            "create schema other",
            "insert into t1 values (1, 'b')",
        )
        await play.check(follower)
        assert (play.live._catalog.version, play.live.status()["reads"]) == (version, reads)
        run_each(base, "alter table t1 add column d int")
        await play.check(follower)
        assert play.live._catalog.version > version


def work(plan: dict[str, Any]) -> float:
    """The rows that all nodes of a plan have looked at."""
    rows: float = plan["Actual Rows"] + sum(found for name, found in plan.items() if name.startswith("Rows Removed"))
    loops: float = plan["Actual Loops"]
    return rows * loops + sum(map(work, plan.get("Plans", ())))


@pytest.mark.parametrize("name", ["catalog", "catalog_marks"])
def test_the_work_of_loading_the_catalog_grows_with_the_number_of_tables(base: str, name: str) -> None:
    """Not with its square, which would be 360,000. It has steps, at which PostgreSQL begins to read all columns at once."""
    tables = 600
    expose_until(base, tables)
    run_each(base, "analyze")  # as autovacuum does, which tests have not got
    with connect(base) as connection, connection.transaction():
        connection.execute(query("catalog_settings").encode())
        row = connection.execute(f"explain (analyze, format json) {query(name)}".encode()).fetchone()
    assert row is not None
    assert work(row[0][0]["Plan"]) < 150 * tables
