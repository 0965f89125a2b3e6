"""Conditions of policies, as PostgreSQL prints them: Python decides them as PostgreSQL does for each row, or not at all."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.catalog.model import Table
from engine.postgres.connections.session_settings import OWN_NAMES, connection_options
from engine.query.compile.plan import NotIncremental, compile_incremental
from engine.query.compile.predicate import compile_predicate
from engine.query.ir.comparison import NotIncrementalError
from engine.query.ir.model import Query
from engine.query.policies.conditions import Conditions
from engine.query.policies.facts import Facts, answers_in
from engine.transaction import Row
from tests.support.postgres.sql import run_each

CLAIMS = {
    "sub": "ann",
    "n": 2,
    "id": "6f1c2f6e-9f0f-4a53-9f0c-1b2d3c4d5e6f",
    "app_metadata": {"tenant": "2", "tenants": [1, 2]},
    "none": None,
}
JSON = "current_setting('request.jwt.claims', true)::json"
JSONB = "nullif(current_setting('request.jwt.claims', true), '')::jsonb"
SCHEMA = (
    "create domain short as text check (length(value) < 100)",
    "create type mood as enum ('sad', 'ok', 'happy')",
    "create table thing (id int primary key, owner text, code varchar(20), nick short, who uuid, n int, big bigint, "
    "small smallint, price numeric, flag boolean, feeling mood, at timestamptz, tags text[], loose text collate sloppy, "
    '"Odd Name" text, blank char(5), level int)',
    "create table member (org int, person text, primary key (org, person))",
    "create table badge (person text, loose text collate sloppy)",
    f"create function me() returns text language sql stable as $$ select {JSON} ->> 'sub' $$",
    f"create function my_id() returns uuid language sql stable as $$ select ({JSONB} ->> 'id')::uuid $$",
    "create function my_orgs() returns setof int language sql stable security definer as "
    "$$ select org from member where person = me() $$",
    "create function is_nice(what text) returns boolean language sql immutable as $$ select what = 'ann' $$",
    "insert into member values (1, 'ann'), (2, 'ann'), (3, 'bob')",
    "insert into badge values ('ann', 'ANN'), (null, null)",
    "insert into thing values "
    "(1, 'ann', 'ann', 'ann', '6f1c2f6e-9f0f-4a53-9f0c-1b2d3c4d5e6f', 1, 1, 1, 1.0, true, 'sad', '2024-01-01 00:00+00', "
    "'{a}', 'ann', 'ann', 'ann', 1), "
    "(2, 'bob', 'bob', 'bob', '00000000-0000-0000-0000-000000000000', 2, 2, 2, 2.00, false, 'ok', '2025-01-01 00:00+00', "
    "'{}', 'ANN', 'x', 'bob', 2), "
    "(3, 'Ann', 'a%', '', null, 3, 9007199254740993, 3, 2.5, null, 'happy', 'infinity', null, '', '', '', null), "
    "(4, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null), "
    "(5, '', 'ANN', 'eve', null, -1, -5, -1, 'NaN', true, 'ok', '-infinity', '{null}', 'eve', 'ann', 'ann  ', 0)",
)
_COLLATION = "create collation sloppy (provider = {})"
EXACT = (
    "true",
    "false",
    "null",
    "owner = 'ann'",
    "owner = me()",
    "me() = owner",
    "owner = (select me())",
    "owner <> me()",
    "not (owner = me())",
    f"owner = {JSON} ->> 'sub'",
    f"owner = {JSON} ->> 'missing'",
    f"owner is distinct from {JSON} ->> 'missing'",
    "owner is distinct from me()",
    "owner is not distinct from me()",
    f"code = {JSON} ->> 'sub'",
    "code = 'ann'",
    "nick = me()",
    "nick = 'ann' or nick is null",
    "blank = 'ann'",
    '"Odd Name" = me()',
    "who = my_id()",
    "who = (select my_id())",
    f"who = ({JSONB} ->> 'id')::uuid",
    f"who::text = {JSONB} ->> 'id'",
    f"who::text <> {JSONB} ->> 'id'",
    "who::text = me()",
    "not (who::text = me())",
    f"n = ({JSON} ->> 'n')::int",
    f"n = ({JSON} ->> 'n')::bigint",
    f"n = ({JSON} ->> 'n')::smallint",
    f"big >= ({JSON} ->> 'n')::int",
    f"small < ({JSON} ->> 'n')::bigint",
    f"n::text = {JSON} -> 'app_metadata' ->> 'tenant'",
    "big::text = '9007199254740993'",
    f"n = ({JSON} #>> '{{app_metadata,tenant}}')::int",
    f"n < ({JSON} ->> 'n')::numeric + 0.5",
    f"price = ({JSON} ->> 'n')::int",
    f"price <= ({JSON} ->> 'n')::numeric",
    "price = 'NaN'",
    f"level <= coalesce(({JSON} ->> 'level')::int, 0)",
    "current_setting('request.jwt.claim.sub', true) = owner",
    "current_user = 'none'",
    f"({JSON} ->> 'sub') is null",
    f"({JSON} ->> 'none') is null and flag",
    f"({JSONB} ->> 'n')::int > 1 or owner = 'bob'",
    f"case when {JSON} ->> 'sub' = 'ann' then true else false end",
    "flag",
    "not flag",
    "flag = true",
    "flag is true",
    "flag is not true",
    "flag is false",
    "flag is unknown",
    "flag is not unknown and owner is not null",
    "flag = ((" + JSON + " ->> 'none') is null)",
    "owner is null",
    "owner is not null",
    "n in (1, 2)",
    "n not in (1, 2)",
    "n in (1, 2, null)",
    "n not in (1, null)",
    "owner in ('ann', 'bob')",
    "code in ('ann', 'bob')",
    "owner in ('ann', me())",
    "n = any ('{1,2}')",
    "n = any ('{}')",
    "not (n = any ('{}'))",
    "n = any (null::int[])",
    "n <> all (array[1, null])",
    "n between 1 and 2",
    "n not between 1 and 2",
    "id < 3 and (owner = 'ann' or n is null) or flag",
    "feeling = 'ok'",
    "feeling > 'sad'",
    "feeling in ('ok', 'happy')",
    "at > '2024-06-01'",
    "at = 'infinity'",
    "owner like 'a%'",
    "owner not like 'a%'",
    "owner like me() || '%'",
    "code like 'a%'",
    "tags = '{a}'",
    f"n = any (array(select json_array_elements_text({JSON} -> 'app_metadata' -> 'tenants')::int))",
    f"n in (select json_array_elements_text({JSON} -> 'app_metadata' -> 'tenants')::int)",
    f"n::text in (select json_array_elements_text({JSON} -> 'app_metadata' -> 'tenants'))",
    "n in (select m.org from member m where m.person = me())",
    "n not in (select m.org from member m where m.person = me())",
    "n in (select m.org from member m where m.person = 'none')",
    "n not in (select m.org from member m where m.person = 'none')",
    "n in (select my_orgs())",
    "n in (select org from member where person = me() union select 5)",
    "owner not in (select person from badge)",
    "owner in (select person from badge)",
    "n = (select max(org) from member where person = me())",
    "exists (select 1 from member m where m.person = me())",
    "exists (select from member m where m.org = thing.n and m.person = me())",
    "not exists (select 1 from member m where m.org = thing.n and m.person = me())",
    "exists (select m.* from member m join badge b on b.person = m.person where thing.n = m.org)",
    "exists (select 1 from member m where m.org = big and m.person = me())",
    "exists (select 1 from member m where m.person = thing.owner)",
    "exists (select 1 from member m where m.person = thing.code and m.org = 1)",
    "(select count(*) from member) > 3",
    "n > (select 1) and n <= 2",
    "(n, owner) = (1, 'ann')",
)
REFUSED = (
    "n % 2 = 0",
    "n + 1 = 2",
    "n = big",
    "length(owner) = 3",
    "is_nice(owner)",
    "lower(owner) = me()",
    'owner = me() collate "C"',
    "owner collate \"C\" < 'b'",
    "owner = (select loose from badge where person = 'ann')",
    "owner in (select loose from badge)",
    "owner || '' = me()",
    "at > now()::date",
    "at::date = '2024-01-01'",
    "n::text < '2'",
    "'a' = any (tags)",
    "tags @> '{a}'",
    "tags[1] = 'a'",
    "coalesce(owner, 'ann') = me()",
    "case when n = 1 then true else flag end",
    "thing is not null",
    "(n = 1) is not true",
    "n = any (array[n, 1])",
    "exists (select 1 from member m where m.org > thing.n)",
    "exists (select 1 from member m where m.org = thing.n or m.person = me())",
    "exists (select 1 from member m where m.org = thing.n and m.person = thing.owner)",
    "exists (select count(*) from member m where m.org = thing.n)",
    "exists (select 1 from member m where m.org = thing.n group by m.org having count(*) > 1)",
    "exists (select 1 from member m where m.org = thing.n limit 0)",
    "exists (select 1 from member m where m.org = thing.n offset 1)",
    "exists (select 1 from member m where m.org = thing.n union select 1)",
    "n in (select m.org from member m where m.person = thing.owner)",
    "n = (select max(t.n) from thing t)",
)
LOOSE = ("loose = 'ann'", "loose in ('ann')")
_NULLS = ("owner like null", "n = null", "not (n <> null::int)")


class Judge:
    """What PostgreSQL and Python make of a condition for each row of the table."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], table: Table) -> None:
        self._connection = connection
        self.table = table

    async def printed(self, condition: str) -> str:
        await self._connection.execute("set local search_path = public")
        await self._connection.execute(f"create policy p on thing using ({condition})".encode())
        await self._connection.execute(f"set local search_path = {OWN_NAMES}".encode())
        cursor = await self._connection.execute(
            "select pg_get_expr(polqual, polrelid) from pg_policy where polname = 'p'"
        )
        [(text,)] = await cursor.fetchall()
        await self._connection.execute("drop policy p on public.thing")
        await self._connection.execute("set local search_path = public")
        return str(text)

    async def by_postgres(self, text: str) -> list[bool | None]:
        cursor = await self._connection.execute(f"select ({text})::bool from public.thing order by id".encode())
        return [value for (value,) in await cursor.fetchall()]

    async def by_python(self, text: str, rows: list[Row]) -> list[bool | None]:
        facts = Facts()
        made = Conditions(self.table, facts).read(text)
        cursor = await self._connection.execute(facts.statement(self.table.oid).encode())
        [(answers,)] = await cursor.fetchall()
        predicate = made(answers_in(answers, None))
        plan = compile_incremental(Query("thing", predicate), self.table)
        if isinstance(plan, NotIncremental):
            raise NotIncrementalError(plan.reason)
        is_true = compile_predicate(predicate, self.table)
        is_false = compile_predicate(predicate, self.table, wanted=False)
        assert not any(is_true(row) and is_false(row) for row in rows)
        return [True if is_true(row) else False if is_false(row) else None for row in rows]

    async def rows(self) -> list[Row]:
        names = ", ".join(f'"{column.name}"' for column in self.table.columns)
        async with psycopg.AsyncRawCursor(self._connection) as cursor:
            await cursor.execute(f"select {names} from public.thing order by id".encode())
            result = cursor.pgresult
            assert result is not None
            return [tuple(result.get_value(r, c) for c in range(result.nfields)) for r in range(result.ntuples)]


@pytest.mark.parametrize("version", ["pg18", "pg15"])
async def test_python_decides_conditions_of_policies_as_postgresql_does(
    version: str, request: pytest.FixtureRequest
) -> None:
    """In the embedded PostgreSQL 18 there is no ICU, and so no collation that is not deterministic."""
    icu = version == "pg15"
    dsn = request.getfixturevalue("database15" if icu else "database")
    provider = "icu, locale = 'und-u-ks-level2', deterministic = false" if icu else "libc, locale = 'C'"
    run_each(dsn, _COLLATION.format(provider), *SCHEMA, "select realtime.expose('thing')")
    async with await psycopg.AsyncConnection.connect(dsn, options=connection_options()) as connection:
        await connection.execute(f"set search_path = {OWN_NAMES}".encode())
        table = (await load_catalog(connection)).by_collection["thing"]
        await connection.commit()
        await connection.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(CLAIMS)])
        judge = Judge(connection, table)
        rows = await judge.rows()
        for condition in (*EXACT, *_NULLS, *(() if icu else LOOSE)):
            text = await judge.printed(condition)
            assert await judge.by_python(text, rows) == await judge.by_postgres(text), (condition, text)
        for condition in (*REFUSED, *(LOOSE if icu else ())):
            text = await judge.printed(condition)
            async with connection.transaction(force_rollback=True):
                with pytest.raises((NotIncrementalError, psycopg.ProgrammingError)):
                    print(condition, text, await judge.by_python(text, rows))
