"""Nothing that the owner of a table makes runs with the server's rights when clients' queries are planned and read."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.errors import InvalidQueryError
from engine.postgres.connections.opening import connect, connect_now
from engine.postgres.connections.pool import Pool
from engine.postgres.snapshot_reader import Reader
from engine.query.compile.plan import IncrementalPlan
from engine.query.planner import plan_query, reread_instead
from tests.support.postgres.sql import run_each

SAFE = "pg_catalog, pg_temp"
TRAP = "language plpgsql immutable as $$ begin raise exception 'ran as %', current_user; end $$"


@pytest.fixture
def owner(database: str) -> Iterator[str]:
    """A role that owns the exposed table ``t`` and may create in the schema that the server's role looks into."""
    role = f"owner_{uuid.uuid4().hex[:8]}"
    run_each(
        database,
        f"create role {role}",
        f"grant create on schema public to {role}",
        f"set role {role}; create table t (id int primary key, name varchar(20)); insert into t values (1, 'a'); reset role",
        "select realtime.expose('t')",
    )
    yield role
    run_each(database, f"drop owned by {role} cascade", f"drop role {role}")


def as_owner(dsn: str, role: str, *statements: str) -> None:
    for statement in statements:
        run_each(dsn, f"set role {role}; {statement}; reset role")


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
        with pytest.raises(InvalidQueryError, match=r"leave\(\), of which PostgreSQL does not know what it calls"):
            await plan_query("t", spec, catalog, connection)
        # A grant of any role counts as the owner's grant; and the owner could replace the function afterwards.
        run_each(database, "grant execute on function public.leave() to realtime_reader")
        with pytest.raises(
            InvalidQueryError, match="as its owner, which must be a superuser or the owner of the schema"
        ):
            await plan_query("t", spec, catalog, connection)
        run_each(database, "alter function public.leave() owner to current_user")
        with pytest.raises(
            InvalidQueryError, match="changes a setting of the session"
        ):  # it is called, and cannot leave
            await plan_query("t", spec, catalog, connection)


async def test_every_connection_finds_names_in_pg_catalog_only_and_can_return_to_the_path_of_its_role(
    database: str,
) -> None:
    name = database.rsplit("/", 1)[1]
    run_each(database, "create schema theirs", f"alter database {name} set search_path = theirs")
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


OWN_TYPES = (
    # each function records as whom it runs, by failing
    "create type public.tint as enum ('red')",
    f"create function public.tint_json(public.tint) returns json {TRAP}",
    f"create function public.tint_check(int) returns boolean {TRAP}",
    "create domain public.checked as int",
    "create type public.pair as (a int, b public.checked)",
    "create table public.p (id int primary key, secret int, tint public.tint)",
    "create table public.pairs (id int primary key, pair public.pair)",
    "insert into public.p values (1, 1, 'red')",
    "alter domain public.checked add check (public.tint_check(value)) not valid",
    "create cast (public.tint as json) with function public.tint_json(public.tint)",
)


async def test_functions_of_a_table_owners_types_are_refused_as_in_sql(database: str, owner: str) -> None:
    as_owner(database, owner, *OWN_TYPES)
    run_each(database, "select realtime.expose('p'), realtime.expose('pairs')")
    async with planning(database) as connection:
        catalog = await load_catalog(connection)
        specs: list[tuple[str, dict[str, object], str]] = [
            ("p", {}, "tint_json"),
            ("pairs", {"where": [["pair", "==", "(1,2)"]]}, "tint_check"),
            ("pairs", {"orderBy": ["pair"], "startAt": ["(1,2)"]}, "tint_check"),
        ]
        for collection, spec, name in specs:
            with pytest.raises(InvalidQueryError, match=rf"{name}\(\), of which PostgreSQL does not know"):
                await plan_query(collection, spec, catalog, connection)


@pytest.mark.parametrize("key", ["id", "secret"])
async def test_functions_called_by_a_read_run_as_the_reader_even_if_made_after_planning(
    database: str, owner: str, key: str
) -> None:
    """``key`` secret: a column of the key is hidden, so the row cannot be read with the reader's privileges alone."""
    as_owner(database, owner, *OWN_TYPES[:-1], "alter table public.p drop constraint p_pkey")
    as_owner(database, owner, f"alter table public.p add primary key ({key})")
    run_each(database, "select realtime.expose('p', columns => '{id,tint}')")
    async with planning(database) as connection:
        plan = await plan_query("p", {"orderBy": ["tint"]}, await load_catalog(connection), connection)
    assert isinstance(plan, IncrementalPlan)
    plan = reread_instead(plan, "for the test")
    reader = Reader(database)
    await reader.open()
    try:
        [(found, document)] = (await reader.read(plan.statement)).rows
        assert (found, document) == (b"1", b'{"id":1,"tint":"red"}')
        as_owner(database, owner, OWN_TYPES[-1])  # not announced to this plan
        with pytest.raises(psycopg.errors.RaiseException, match="ran as realtime_reader"):
            await reader.read(plan.statement)
        as_owner(database, owner, "alter table public.p rename to q")
        as_owner(
            database,
            owner,
            "create function public.lure() returns int language plpgsql immutable as "
            "$$ begin raise exception 'ran as %', current_user; end $$",
            "create view public.p as select public.lure() as id, 1 as secret, null::public.tint as tint",
            "grant select on public.p to realtime_reader",
        )
        if key == "id":
            assert not (await reader.read(plan.statement)).as_meant  # and the view was not read
            return
        with pytest.raises(psycopg.errors.RaiseException, match="ran as realtime_reader"):
            await reader.read(plan.statement)
    finally:
        await reader.close()


async def test_types_in_a_schema_of_their_own_can_be_queried_and_shown(database: str) -> None:
    run_each(
        database,
        "create schema kinds",
        "create type kinds.mood as enum ('low', 'high')",
        "create domain kinds.few as int check (value < 9)",
        "create type kinds.pair as (a kinds.few, b kinds.mood)",
        "create table m (id int primary key, mood kinds.mood, pair kinds.pair)",
        "insert into m values (1, 'high', row(1, 'low'))",
        "select realtime.expose('m')",
    )
    reader = Reader(database)
    await reader.open()
    try:
        async with planning(database) as connection:
            catalog = await load_catalog(connection)
            for where in (["mood", "==", "high"], ["pair", "==", "(1,low)"]):
                plan = await plan_query("m", {"where": [where]}, catalog, connection)
                statement = plan.read(1) if isinstance(plan, IncrementalPlan) else plan.statement
                assert len((await reader.read(statement)).rows) == 1
    finally:
        await reader.close()


LEAVE = ("set role none", "reset role", "set session authorization default", "perform set_config('role', 'none', true)")


@pytest.mark.parametrize("key", ["id", "secret"])
async def test_functions_called_by_a_read_cannot_leave_the_role_of_the_reader(
    database: str, owner: str, key: str
) -> None:
    """By a cast to json, by a cast in a client's SQL, and by an index that the planner looks at."""
    as_owner(database, owner, *OWN_TYPES[:-1], "alter table public.p drop constraint p_pkey")
    as_owner(database, owner, f"alter table public.p add primary key ({key})")
    run_each(database, "select realtime.expose('p', columns => '{id,tint}')")
    async with planning(database) as connection:
        catalog = await load_catalog(connection)
        built = await plan_query("p", {"orderBy": ["tint"]}, catalog, connection)
        sql = await plan_query(
            "p", {"sql": "select to_json(max(tint)) as most from p group by id"}, catalog, connection
        )
    assert isinstance(built, IncrementalPlan)
    assert not isinstance(sql, IncrementalPlan)
    innocent = "function public.planned(int) returns int language plpgsql immutable as $$ begin return 1; end $$"
    as_owner(database, owner, OWN_TYPES[-1], f"create {innocent}", "create index on public.p (id, public.planned(1))")
    for leave in LEAVE:
        left = f"$$ begin {leave}; raise exception 'ran as %', current_user; end $$"
        cast = f"create or replace function public.tint_json(public.tint) returns json language plpgsql as {left}"
        planned = f"create or replace function public.planned(int) returns int language plpgsql immutable as {left}"
        for trap, statements in (
            (cast, (reread_instead(built, "for the test").statement, sql.statement)),
            (planned, (built.read(1),)),
        ):
            as_owner(database, owner, f"create or replace {innocent}", trap)
            reader = Reader(database)  # whose session has not looked at the index yet
            await reader.open()
            try:
                for statement in statements:
                    with pytest.raises(psycopg.Error, match=r"within security-definer|not allowed in a non-volatile"):
                        await reader.read(statement)
            finally:
                await reader.close()


async def test_functions_called_by_a_read_cannot_replace_a_statement_of_the_server(database: str, owner: str) -> None:
    as_owner(
        database,
        owner,
        *OWN_TYPES[:-1],
        "create function public.swap(public.tint) returns json language plpgsql as $$ declare name text; begin "
        "for name in select s.name from pg_prepared_statements s where s.name <> 'realtime_read' "
        "loop execute format('deallocate %I', name); execute format('prepare %I as select 1 / 0', name); "
        "end loop; return '1'; end $$",
    )
    run_each(database, "select realtime.expose('p', columns => '{id,tint}')")
    async with planning(database) as connection:
        plan = await plan_query("p", {}, await load_catalog(connection), connection)
    assert isinstance(plan, IncrementalPlan)
    reread = reread_instead(plan, "for the test").statement
    as_owner(database, owner, "create cast (public.tint as json) with function public.swap(public.tint)")
    reader = Reader(database, size=1)
    await reader.open()
    try:
        for _ in range(12):  # psycopg prepares what it runs for the sixth time
            await reader.snapshot()
            assert (await reader.read(reread)).rows == [(b"1", b'{"id":1,"tint":1}')]
    finally:
        await reader.close()


def leaving(signature: str, result: str) -> str:
    """A function that tries to get the rights of the login role, and returns the role that it has."""
    return (
        f"create or replace function {signature} returns {result} language plpgsql immutable as $$ begin "
        "perform set_config('role', 'none', true); raise exception 'ran as %', current_user; end $$"
    )


@pytest.mark.parametrize(
    "looked_at",
    [
        "create index on t (id, planned(1))",
        "create statistics s on id, (planned(1)) from t",
        "alter table t add constraint c check (id > 0 and planned(1) = 1)",
    ],
)
async def test_functions_evaluated_by_the_planner_cannot_leave_the_role_of_the_reader(
    database: str, owner: str, looked_at: str
) -> None:
    run_each(database, "alter database " + database.rsplit("/", 1)[1] + " set constraint_exclusion = on")
    innocent = "create function planned(int) returns int language plpgsql immutable as $$ begin return 1; end $$"
    as_owner(database, owner, innocent, looked_at, leaving("planned(int)", "int"))
    for sql in (
        "select max(id) as most from t where id > 0",
        "select id, row_number() over () as n from t where id = 1",
    ):
        async with planning(database) as connection:  # whose session has not looked at the table yet
            catalog = await load_catalog(connection)
            with pytest.raises(InvalidQueryError, match="within security-definer function"):
                await plan_query("t", {"sql": sql}, catalog, connection)


async def test_output_functions_cannot_leave_the_role_of_the_reader(database: str, owner: str) -> None:
    as_owner(database, owner, *OWN_TYPES)
    # Of a trusted owner, who vouches for it: others are not called at all.
    run_each(
        database,
        "drop function tint_check(int) cascade",
        leaving("tint_check(int)", "boolean"),
        "grant execute on function tint_check(int) to realtime_reader",
        "alter domain checked add check (tint_check(value)) not valid",
        "select realtime.expose('pairs')",
    )
    specs: tuple[dict[str, object], ...] = (
        {"where": [["pair", "==", "(1,2)"]]},
        {"orderBy": ["pair"], "startAt": ["(1,2)"]},
        {"sql": "select id from pairs where pair = $1::pair", "params": ["(1,2)"]},
        {"sql": "select id from pairs where id = $1::checked", "params": [1]},
        {"sql": "select max(id) as most from pairs where id < $1::checked", "params": [1]},
    )
    async with planning(database) as connection:
        catalog = await load_catalog(connection)
        for spec in specs:
            with pytest.raises(InvalidQueryError, match="within security-definer function"):
                await plan_query("pairs", spec, catalog, connection)
