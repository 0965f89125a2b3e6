"""Which policies change with the clock alone, judged by the trees that PostgreSQL keeps of them."""

from __future__ import annotations

import psycopg

from engine.catalog.load import load_catalog
from engine.catalog.model import Catalog
from engine.catalog.policies import Policies, policies_of
from engine.postgres.connections.session_settings import connection_options
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.live.rights.conftest import served
from tests.support.postgres.sql import read, run_each

MADE = (
    "create domain day as date",
    "create domain code as text check (value ~ '^[a-z]')",
    "create domain dated as text check (value::date > '2000-01-01')",
    "create domain future as timestamptz check (value > now())",
    "create type pair as (number int, at timestamptz)",
    "create type deep as (number int, pairs pair[])",
    "create type plain as (number int, label text)",
    "create type days as range (subtype = day)",
    "create table entry (id int primary key, body text, org int, created_at timestamptz, day date, at time, zoned timetz)",
    "create table part (org int, person text, since timestamptz, until text, primary key (org, person))",
    "create view current as select org, person from part where since > '2026-01-01'",
    "create view valid as select org, person, until::date as until from part",
    "create view either as select org, since from part union all (with p as (select * from part) select org, since from p)",
    "create function uid() returns uuid language sql stable as "
    "$$ select (current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid $$",
    "create function is_in(what int) returns boolean language plpgsql stable security definer as "
    "$$ declare found boolean; begin select true into found from part where org = what and person = me(); "
    "return found; end $$",
    "create function after(at timestamptz) returns boolean language plpgsql as $$ begin return at > '2026-01-01'; end $$",
    "create function day_of(text) returns date language sql immutable as $$ select $1::date $$",
    "create function day_by_tree(words text) returns date language sql immutable return words::date",
    "create function text_by_tree(words text) returns text language sql immutable return words || 'now'",
    "create function until(at timestamptz, moment timestamptz default now()) returns boolean language sql as "
    "$$ select moment < at $$",
    "create function until_day(at date, moment date default 'now'::text::date) returns boolean language sql as "
    "$$ select moment < at $$",
    "create function shifted(at timestamptz, by int default 1) returns boolean language sql as $$ select by > 0 $$",
    "create function length_of(words text) returns int language sql as $$ select length($1) $$",
    "create function open_at(what int) returns boolean language sql as "
    "$$ select (zoned at time zone 'Europe/Paris')::text > '12' from entry where id = what $$",
    "create aggregate longest (text) (sfunc = textcat, stype = text)",
)
STEADY = (
    "created_at > '2026-01-01'",
    "created_at::date = '2026-01-01' and day < '2026-01-01'::date",
    "created_at between '2026-01-01' and '2027-01-01'",
    "day = any ('{2026-01-01,2026-01-02}'::date[])",
    "created_at at time zone 'Europe/Paris' > '2026-01-01'",
    "created_at::text like '2026%'",
    "uid() is not null and body::uuid = uid()",
    "body = me() and org = claim('org')::int",
    "body = current_setting('request.jwt.claims', true)::json ->> 'sub'",
    "org::text in (select json_array_elements_text(current_setting('request.jwt.claims', true)::json -> 'orgs'))",
    "org in (select p.org from part p where p.person = me() and p.since > entry.created_at)",
    "org in (select c.org from current c)",
    "org in (select e.org from either e where e.since > '2026-01-01')",
    "is_in(org)",
    "after(created_at)",
    "body::code is not null",
    "(body::plain).number = 1",
    "text_by_tree(body) = 'now'",
    "body in ('now', 'today')",
    "shifted(created_at)",
    "length_of(body) > 3",
    "(select longest(p.person) from part p) = body",
    "body::interval > '1 day'",
)
BY_TIME = (
    "body::date > '2026-01-01'",
    "body::varchar(20)::timestamp > created_at",
    "body::name::timetz is not null",
    "body::day > day",
    "body::dated is not null",
    "body::future is not null",
    "(body::pair).at > created_at",
    "(body::deep).pairs is not null",
    "body::days @> day::day",
    "(row(1, body)::pair).at is not null",
    "'2026-01-01' = any (body::date[])",
    "'2026-01-01' = any (string_to_array(body, ',')::date[])",
    "coalesce(created_at, (current_setting('request.jwt.claims', true)::json ->> 'at')::timestamptz) is not null",
    "case when org > 1 then day > body::date end",
    "org in (select p.org from part p where p.until::date > entry.day)",
    "org in (select v.org from valid v)",
    "day_of(body) > day",
    "day_by_tree(body) > day",
    "until(created_at)",
    "until_day(day)",
    "at::timetz > zoned",
    "open_at(org)",
    "zoned at time zone 'Europe/Paris' > zoned",
)


async def test_trees_show_which_policies_change_with_the_clock(pg: LocalPostgres) -> None:
    with database_on(pg) as dsn, served(dsn) as rows:
        run_each(dsn, *MADE, "alter table entry enable row level security", "select realtime.expose('entry')")

        async def clock(condition: str) -> bool:
            policies = await judged(dsn, "entry", "p", rows.people, condition)
            assert policies.problem is None, (condition, policies.problem)
            return policies.clock

        assert [condition for condition in STEADY if await clock(condition)] == []
        assert [condition for condition in BY_TIME if not await clock(condition)] == []


async def test_a_type_that_gets_a_time_and_a_cast_without_a_name_change_what_a_policy_is(database: str) -> None:
    with served(database) as rows:
        run_each(
            database,
            "create type pair as (number int, label text); create domain word as text",
            "create function same(text) returns boolean language sql as $$ select $1 = 'x' $$",
            f"alter policy own on note to {rows.people} using ((body::pair).number = 1 and same(body))",
            "select realtime.expose('note')",
        )

        async def state() -> tuple[bool, str]:
            policies = (await catalog(database)).by_collection["note"].policies
            assert policies is not None
            return policies.clock, policies.sources

        steady, before = await state()
        run_each(database, "alter type pair add attribute at timestamptz")
        timed, after = await state()
        assert (steady, timed) == (False, True)
        assert before != after
        run_each(database, "alter type pair drop attribute at")
        assert await state() == (False, before)
        run_each(database, "create cast (text as date) with inout as implicit")
        assert (await state())[0] is True


async def test_defaults_of_arguments_are_part_of_a_function(database: str) -> None:
    """They stand neither in the policy nor in the body: a claim that one reads is read."""
    with served(database) as rows:
        whose = "who text default current_setting('request.jwt.claims', true)::json ->> 'sub'"
        run_each(
            database,
            f"create function mine(owner text, {whose}) returns boolean language sql as $$ select owner = who $$",
            f"alter policy own on note to {rows.people} using (mine(owner))",
            "select realtime.expose('note')",
        )
        policies = (await catalog(database)).by_collection["note"].policies
        assert policies is not None
        assert policies.claims == frozenset({"sub"})
        assert read(database, "select 1 from realtime.policy_sources('note') where kind = 'function'")


async def test_claims_that_only_a_domain_reads_are_read(database: str) -> None:
    """A value that is none of the domain is an error, which a function may catch; and its name may be in a literal."""
    with served(database) as rows:
        run_each(
            database,
            "create domain mine as text check (value = current_setting('request.jwt.claims', true)::json ->> 'sub')",
            "create function is_mine(owner text) returns boolean language plpgsql as "
            "$$ begin perform owner::mine; return true; exception when check_violation then return false; end $$",
        )
        by_name = read(
            database, "select 'pg_input_is_valid(owner, ''mine'')' from pg_proc where proname = 'pg_input_is_valid'"
        )
        for condition in ("is_mine(owner)", *(condition for (condition,) in by_name)):
            policies = await judged(database, "note", "own", rows.people, condition)
            assert policies.claims is None, condition


def test_a_domain_that_a_literal_names_may_read_any_claim() -> None:
    row = {"kind": "policy", "oid": 1, "name": "p on note", "source": "pg_input_is_valid(owner, 'mine'::text)"}
    usual = {"language": None, "volatility": "v", "problem": None, "published": True}
    assert policies_of("note", [row | usual], "", "request.jwt.claims").claims is None


async def judged(dsn: str, table: str, name: str, role: str, condition: str) -> Policies:
    """What the catalog finds about a table whose policy ``name`` has this condition."""
    run_each(
        dsn,
        f"drop policy if exists {name} on {table}; create policy {name} on {table} to {role} using ({condition})",
        f"select realtime.expose('{table}')",
    )
    policies = (await catalog(dsn)).by_collection[table].policies
    assert policies is not None
    return policies


async def catalog(dsn: str) -> Catalog:
    async with await psycopg.AsyncConnection.connect(dsn, options=connection_options()) as connection:
        return await load_catalog(connection)
