"""Nothing that the owner of a table makes runs with the server's rights when clients' queries are planned and read."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from engine.catalog import load_catalog
from engine.connecting import connect, connect_now
from engine.errors import InvalidQuery
from engine.pool import Pool
from engine.query.planner import plan_query
from tests.live.stage import run

SAFE = "pg_catalog, pg_temp"
TRAP = "language plpgsql immutable as $$ begin raise exception 'ran as %', current_user; end $$"


@pytest.fixture
def owner(database: str) -> Iterator[str]:
    """A role that owns the exposed table ``t`` and may create in the schema that the server's role looks into."""
    role = f"owner_{uuid.uuid4().hex[:8]}"
    run(
        database,
        f"create role {role}",
        f"grant create on schema public to {role}",
        f"set role {role}; create table t (id int primary key, name varchar(20)); insert into t values (1, 'a'); reset role",
        "select realtime.expose('t')",
    )
    yield role
    run(database, f"drop owned by {role} cascade", f"drop role {role}")


def as_owner(dsn: str, role: str, *statements: str) -> None:
    for statement in statements:
        run(dsn, f"set role {role}; {statement}; reset role")


@asynccontextmanager
async def planning(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[object]]:
    async with await connect(dsn, "planning", autocommit=True) as connection:
        yield connection


async def test_operators_that_fit_our_own_statements_better_are_not_called(database: str, owner: str) -> None:
    for left, right in (("oid", "regclass"), ('"char"', "text"), ("name", "varchar"), ("smallint", "numeric")):
        function = f"trap_{uuid.uuid4().hex[:8]}"
        as_owner(
            database,
            owner,
            f"create function public.{function}({left}, {right}) returns boolean {TRAP}",
            *(
                f"create operator public.{sign} (leftarg = {left}, rightarg = {right}, function = public.{function})"
                for sign in ("=", "<>", ">")
            ),
        )
    as_owner(database, owner, f"create function public.to_regclass(varchar) returns regclass {TRAP}")
    async with planning(database) as connection:
        catalog = await load_catalog(connection)
        for sql in (
            "select max(id) as most from t",
            "select id from t where name = 'a'",
            "select '{1}'::int[] as v from t",
        ):
            assert await plan_query("t", {"sql": sql}, catalog, connection)


async def test_a_grant_by_the_owner_of_a_table_does_not_vouch_for_a_function(database: str, owner: str) -> None:
    as_owner(
        database,
        owner,
        "create function public.leave() returns text language plpgsql immutable as "
        "$$ begin perform set_config('role', 'none', true); return current_user; end $$",
        "grant execute on function public.leave() to realtime_reader",
    )
    spec = {"sql": "select id, leave() as who from t"}
    async with planning(database) as connection:
        catalog = await load_catalog(connection)
        with pytest.raises(InvalidQuery, match=r"leave\(\), of which PostgreSQL cannot tell what it calls"):
            await plan_query("t", spec, catalog, connection)
        # Whoever grants, it counts as the owner's grant; and the owner could replace the function afterwards.
        run(database, "grant execute on function public.leave() to realtime_reader")
        with pytest.raises(InvalidQuery, match="as its owner, which must be a superuser or the owner of the schema"):
            await plan_query("t", spec, catalog, connection)
        run(database, "alter function public.leave() owner to current_user")
        assert await plan_query("t", spec, catalog, connection)


async def test_every_connection_finds_names_in_pg_catalog_only_and_can_return_to_the_path_of_its_role(
    database: str,
) -> None:
    name = database.rsplit("/", 1)[1]
    run(database, "create schema theirs", f"alter database {name} set search_path = theirs")
    show = "show search_path"
    with connect_now(database, "command") as command:
        assert command.execute(show).fetchone() == (SAFE,)
        command.execute("set local search_path to default")
        assert command.execute(show).fetchone() == ("theirs",)
    async with await connect(database, "stream", autocommit=True, replication="database") as stream:
        assert await (await stream.execute(show)).fetchone() == (SAFE,)
    for pooled in (False, True):
        pool = Pool(database, "pool", size=1, timeout=30, pooled=pooled)
        await pool.open()
        async with pool.connection() as connection:
            assert await (await connection.execute(show)).fetchone() == (SAFE,)
            async with connection.transaction():
                await connection.execute("set local search_path to default")
                assert await (await connection.execute(show)).fetchone() == ("theirs",)
        await pool.close()
