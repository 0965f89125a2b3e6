"""What was judged of a query is what runs, whatever functions, operators and schemas the owner of an exposed table makes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.catalog.model import Catalog
from engine.errors import InvalidQueryError
from engine.postgres.connections.opening import connect
from engine.postgres.snapshot_reader import Reader
from engine.postgres.statements.named_queries import query
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import SqlCache, plan_query
from tests.support.postgres.sql import run_each

EVIL = """
create function {name}(text) returns text language plpgsql immutable as $$ declare r text; begin
  perform set_config('search_path', 'pg_catalog', true); perform set_config('role', 'none', true);
  select 'ran as ' || current_user into r; return r; end $$
"""
OF_MALLORY = (
    EVIL.format(name="mal.evil"),
    "create function mal.lower(text) returns text language sql immutable as 'select mal.evil($1)'",
    "create function mal.g3(text) returns text language sql immutable as 'select lower($1)'",
    "create function mal.by_path(text) returns text language sql immutable set search_path = mal, pg_catalog"
    " as 'select mal.g3($1)'",
    "create function mal.concat(text, text) returns text language sql immutable as 'select mal.evil($1)'",
    "create operator mal.|| (function = mal.concat, leftarg = text, rightarg = text)",
    "create function mal.g6(text) returns text language sql immutable as $$ select $1 || 'x' $$",
    "create function mal.by_operator(text) returns text language sql immutable set search_path = mal, pg_catalog"
    " begin atomic select mal.g6($1); end",
    "set check_function_bodies = off; create function mal.by_user(text) returns text language sql immutable"
    " set search_path = \"$user\" as 'select h($1)'; reset check_function_bodies",
    "set check_function_bodies = off; create function mal.by_lexer(text) returns text language sql immutable"
    r" set standard_conforming_strings = off as $f$select '\' || '||mal.evil($1) --'$f$; reset check_function_bodies",
    "create function mal.by_text(text) returns text language sql immutable as 'select upper($1)'",
    "create function mal.by_tree(text) returns text language sql immutable return upper($1)",
    "create function mal.by_set(text) returns text language sql immutable set search_path = mal return trusted_text($1)",
)


@dataclass
class UntrustedOwner:
    """A database in which mallory, who owns nothing but a schema and the exposed table in it, has made functions."""

    dsn: str
    role: str
    connection: psycopg.AsyncConnection[Any]
    catalog: Catalog

    def as_mallory(self, *statements: str) -> None:
        for statement in statements:
            run_each(self.dsn, f"set role {self.role}; {statement}; reset role")

    async def plan(self, expression: str, *params: object, cache: SqlCache | None = None) -> ReReadPlan:
        spec = {"sql": f"select id, {expression} as x from mal.t", "params": list(params)}
        plan = await plan_query("malt", spec, self.catalog, self.connection, cache)
        assert isinstance(plan, ReReadPlan)
        return plan

    async def read(self, expression: str) -> list[bytes | None]:
        """Plan and read as the server does; the documents."""
        plan = await self.plan(expression)
        reader = Reader(self.dsn)
        await reader.open()
        try:
            return [row[1] for row in (await reader.read(plan.statement)).rows]
        finally:
            await reader.close()


@pytest.fixture
def mallory(database: str) -> Iterator[str]:
    role = f"mallory_{uuid.uuid4().hex[:8]}"
    run_each(
        database,
        f"create role {role}; create schema mal authorization {role}; grant usage on schema mal to public",
        "create function public.trusted_text(text) returns text language sql immutable as 'select lower($1)'",
        f"do $$ begin execute format('grant create on database %I to {role}', current_database()); end $$",
        f"set role {role}; create table mal.t (id int primary key, v text); insert into mal.t values (1, 'A'); reset role",
        "select realtime.expose('mal.t', name => 'malt')",
    )
    yield role
    run_each(database, f"drop owned by {role} cascade", f"drop role {role}")


@pytest.fixture
async def owner(database: str, mallory: str) -> AsyncIterator[UntrustedOwner]:
    async with await connect(database, "planning", autocommit=True) as connection:
        yield UntrustedOwner(database, mallory, connection, await load_catalog(connection))


async def test_bodies_that_other_settings_would_give_another_meaning_are_not_looked_into(owner: UntrustedOwner) -> None:
    owner.as_mallory(*OF_MALLORY)
    for name, why in (
        ("by_path", r"by_path\(\), which has settings of its own.*ALTER FUNCTION by_path\(text\) RESET ALL"),
        ("by_operator", r"by_operator\(\), which has settings of its own"),
        ("by_user", r"by_user\(\), which has settings of its own"),
        ("by_lexer", r"by_lexer\(\), which has settings of its own"),
        ("by_set", r"by_set\(\), which has settings of its own"),
        ("g3", r"g3\(\), whose body is a string.*BEGIN ATOMIC.*or let a superuser or the owner of the schema realtime"),
        ("by_text", r"by_text\(\), whose body is a string"),
    ):
        with pytest.raises(InvalidQueryError, match=why):
            await owner.plan(f"mal.{name}(v)")
    assert await owner.read("mal.by_tree(v)") == [b'{"id":1,"x":"A"}']
    assert await owner.read("trusted_text(v)") == [b'{"id":1,"x":"a"}']
    run_each(owner.dsn, "alter function mal.by_text(text) owner to current_user")
    assert await owner.read("mal.by_text(v)") == [b'{"id":1,"x":"A"}']


async def test_a_function_of_another_owner_in_an_extension_is_not_vouched_for_by_it(owner: UntrustedOwner) -> None:
    owner.as_mallory(EVIL.format(name="mal.evil"), "create extension citext schema mal")
    owner.as_mallory("alter extension citext add function mal.evil(text)")
    with pytest.raises(InvalidQueryError, match=r"evil\(\), of which PostgreSQL does not know"):
        await owner.plan("mal.evil(v)")
    assert await owner.plan("mal.citext_cmp(v::mal.citext, 'x'::mal.citext)")


async def test_a_schema_named_like_the_reader_or_the_servers_role_is_not_in_the_path_of_clients(
    owner: UntrustedOwner,
) -> None:
    [(server,)] = await (await owner.connection.execute("select current_user")).fetchall()
    for schema in ("realtime_reader", f'"{server}"'):
        owner.as_mallory(
            f"create schema {schema}",
            f"grant usage on schema {schema} to public",
            f"create function {schema}.trusted_text(text) returns text language sql immutable return 'mallory'",
        )
    assert await owner.read("trusted_text(v)") == [b'{"id":1,"x":"a"}']


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ('"$user", public', "public"),
        ('public, "$user"', "public"),
        ("public,$user", "public"),
        ("$USER", ""),
        ('"a, "", $user", "Mixed",x', '"a, "", $user", "Mixed", x'),
        ("public", "public"),
        ("", ""),
    ],
)
async def test_the_path_of_clients_is_the_databases_without_the_schema_of_the_user(
    owner: UntrustedOwner, path: str, kept: str
) -> None:
    async with (
        await connect(owner.dsn, "planning", {"search_path": path}, autocommit=True) as connection,
        connection.transaction(),
    ):
        await connection.execute("set local role realtime_reader")
        reading = (
            "realtime.read_as_reader('select current_setting(''search_path'')', '{}', true, null, null, null, null)"
        )
        [(read,)] = await (await connection.execute(f"select * from {reading} as (path text)")).fetchall()
        await connection.execute(query("path_of_role_here"))
        [(planned,)] = await (await connection.execute("show search_path")).fetchall()
    assert (planned, read) == (kept, kept)


async def test_a_check_is_not_used_again_when_what_the_query_calls_has_changed(owner: UntrustedOwner) -> None:
    cache = SqlCache(1 << 20)
    changes = (
        EVIL.format(name="mal.s").replace("create function", "create or replace function"),
        "create function mal.s(varchar) returns text language plpgsql volatile as $$ begin return 'x'; end $$",
    )
    for change in changes:
        owner.as_mallory(
            "drop function if exists mal.s(text)",
            "create function mal.s(text) returns text language sql immutable return $1",
        )
        assert await owner.plan("mal.s($1::varchar)", "0", cache=cache)
        owner.as_mallory(change)
        with pytest.raises(InvalidQueryError, match=r"s\(\)"):
            await owner.plan("mal.s($1::varchar)", "1", cache=cache)
