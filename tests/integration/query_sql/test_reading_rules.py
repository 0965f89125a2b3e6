"""Where sqlglot and Postgres could read the same SQL differently, Postgres's reading holds; and what the cache keeps."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.errors import CatalogError, InvalidQueryError, PermissionDeniedError, QueryRejectedError
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import SqlCache, plan_query
from tests.integration.query_sql.conftest import Planner, connect

ODD = """
create table app.odd (id int primary key, "user" text, "date" text, "limit" int, "Order" int, "a""b" int, name text);
insert into app.odd values (1, 'u', 'd', 3, 2, 5, 'n'), (2, 'v', 'e', 4, 1, 6, 'm');
select realtime.expose('app.odd');
"""


@pytest.mark.parametrize(
    ("sql", "incremental"),
    [
        ('select id, "user", date from odd where "user" = \'u\' order by id', True),
        ('select id, o."user", o.date, o.limit as "limit" from odd o order by o."limit" desc, id', True),
        ('select id, "a""b" as "x""y" from odd where "a""b" = 5 order by id', True),
        ('select id as "Order" from odd order by "Order"', True),
        ('select id as x, "Order" from odd o order by o."Order"', True),
        ("select id from odd where id = 1 or id = 2 and name = 'x' order by id", True),
        ("select id from odd where not id = 1 and name = 'm' order by id", True),
        ("select id from odd where not name is null order by id", True),
        ("select id from odd where id = +1 order by id", True),
        ("select id from odd where id = -(-1) order by id", False),
        ("select id from odd where name = 'n' 'm'", None),
        ("select id from odd where name = 'n'\n'm' order by id", False),
        ("select id from odd where name = n'n' order by id", False),
        ("select id from odd where id = 1.", True),
        ("select id from odd where id = 1 is true order by id", False),
        ("select id from odd where id is not null is true order by id", False),
        ("select id from odd where (((id)) = (1)) order by id", False),
        ("select id from odd limit '1'", False),
        ("select id from odd order by id fetch first 1 rows only", False),
        ("select id from odd order by id fetch first row only", False),
        ("select id from odd order by +id", False),
        ("select all id from odd order by id", True),
        ("select o.id from odd o where odd.id = 1", None),
        ("select odd.id from odd, lateral (select 1) x order by 1", False),
        ("select id from odd as o(a, b)", None),
        ("select o.a as id from odd as o(a, b) order by 1", False),
        ("select id from only odd order by id", False),
        ("select (id) from odd order by id", False),
        ("select id from (odd) order by id", None),
    ],
)
async def test_odd_but_valid_sql_gives_what_postgres_gives(
    planner: Planner, sql: str, incremental: bool | None
) -> None:
    async with planner.connection.transaction(force_rollback=True):
        await planner.connection.execute(ODD.encode())
        planner.catalog = await load_catalog(planner.connection)
        if incremental is None:
            with pytest.raises(QueryRejectedError):
                await planner.plan(sql, collection="odd")
            return
        plan = await planner.plan(sql, collection="odd")
        assert [document for _, document in await planner.read(plan)] == await planner.documents(sql)
        if incremental:
            assert isinstance(plan, IncrementalPlan)


@pytest.mark.parametrize("number", ["1_0", "0x1F", "0b11", "0o17", "1_0.5"])
async def test_numbers_in_the_newer_notations_have_the_value_of_postgres(planner: Planner, number: str) -> None:
    for sql in (
        f"select id from messages where id = {number} order by id",
        f"select id from messages where id in ({number}) order by id",
        f"select id from messages order by id limit {number}",
        f"select id, {number} as x from messages where id = 1",
    ):
        try:
            expected = await planner.documents(sql)
        except psycopg.Error:
            with pytest.raises(InvalidQueryError):
                await planner.plan(sql)
            continue
        assert [document for _, document in await planner.read(await planner.plan(sql))] == expected


async def test_bare_keywords_that_read_the_session_are_not_taken_for_columns(planner: Planner) -> None:
    async with planner.connection.transaction(force_rollback=True):
        await planner.connection.execute(ODD.encode())
        planner.catalog = await load_catalog(planner.connection)
        with pytest.raises(InvalidQueryError, match="reads the session"):
            await planner.plan("select id, user from odd", collection="odd")


async def test_a_function_that_the_reader_may_not_execute_is_refused(planner: Planner) -> None:
    async with planner.connection.transaction(force_rollback=True):
        await planner.connection.execute("revoke execute on function app.pure(int) from public")
        with pytest.raises(PermissionDeniedError, match="permission denied for function pure"):
            await planner.plan("select app.pure(n) as p, id from messages")


async def test_a_role_without_temporary_views_gets_the_grant_to_run(planner: Planner) -> None:
    async with planner.connection.transaction(force_rollback=True):
        await planner.connection.execute(
            "create role plain_server; grant realtime_reader to plain_server;"
            "do $$ begin execute format('revoke temporary on database %I from public', current_database()); end $$;"
            "grant usage on schema app to plain_server; set local role plain_server"
        )
        with pytest.raises(CatalogError, match="grant TEMPORARY"):
            await planner.plan("select count(*) from messages")


async def test_cached_checks_give_the_same_plans_and_still_check_values(planner: Planner) -> None:
    cache = SqlCache(1 << 20)

    async def plan(sql: str, *params: object, collection: str = "messages") -> IncrementalPlan | ReReadPlan:
        spec = {"sql": sql, "params": list(params)}
        return await plan_query(collection, spec, planner.catalog, planner.connection, cache)

    sql = "select id from messages where n = $1 order by id"
    for value in (1, 2, 1):
        assert (await plan(sql, value)).key == (await planner.plan(sql, value)).key
    with pytest.raises(InvalidQueryError, match="invalid input syntax"):
        await plan(sql, "x")
    with pytest.raises(InvalidQueryError, match="1 parameter"):
        await plan(sql)
    with pytest.raises(InvalidQueryError, match="does not read the collection"):
        await plan(sql, 1, collection="users")
    moment = "select id from messages where created_at > $1 order by id"
    assert isinstance(await plan(moment, "2024-01-03"), IncrementalPlan)
    assert isinstance(await plan(moment, "today"), ReReadPlan)
    assert cache.get(sql) is not None
    assert cache.get(moment) is not None
    for number in range(40):
        await plan(f"select count(*) from messages where n in ({', '.join(map(str, range(number, 100)))})")
        assert 0 < cache.weight <= 1 << 20
    assert cache.get(sql) is not None, "what is asked for again is not pushed out by what is asked for once"


async def test_many_connections_may_plan_at_the_same_time(planner: Planner, app_dsn: str) -> None:
    async def one(number: int) -> str:
        async with await connect(app_dsn) as connection:
            spec = {"sql": "select count(*) from messages where n = $1", "params": [number % 3]}
            return (await plan_query("messages", spec, planner.catalog, connection)).key

    assert len(set(await asyncio.gather(*map(one, range(9))))) == 3
