"""Names in texts of policies' functions come to mean other objects: after each commit lists are what PostgreSQL shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.catalog.load import load_catalog
from engine.feed.settings import DecoderName
from engine.identity.visibility import Viewer
from engine.postgres.connections.opening import connect
from engine.postgres.snapshot_reader import Reader
from engine.query.compile.plan import IncrementalPlan
from engine.query.planner import plan_query
from tests.integration.live.rights.conftest import ALL, SUM, Rows, Watching, served
from tests.support.nodes.live_node import QUICK, live_node
from tests.support.postgres.sql import read, run_each

Streamed = tuple[Rows, DecoderName]
ROWS = "select id, owner, org, body from note order by id"
PATH = "app, public"
TEXTS = {
    "sql": "create function orgs() returns setof int language sql stable security definer {path} as "
    "$$ select org from member where person = me() $$",
    "plpgsql": "create function orgs() returns setof int language plpgsql stable security definer {path} as "
    "$$ begin return query select m.org from member m where m.person = me(); end $$",
}
MEMBER = "(org int, person text, primary key (org, person))"
LOOKING = replace(QUICK, watch_interval=0.1)
BY_PATH = (
    "create function orgs() returns setof int language sql stable as $$ select org from member where person = me() $$"
)
OTHER_TABLE = (
    f"create table app.member {MEMBER}; insert into app.member values (3, 'ann')",
    "insert into app.member values (2, 'ann'), (1, 'eve')",
    "insert into public.member values (3, 'bob')",
    "delete from app.member where org = 3",
)
CHANGES: dict[str, tuple[str, ...]] = {
    "created and dropped": (
        *OTHER_TABLE,
        "drop table app.member",
        "insert into public.member values (2, 'ann')",
        "create table app.member as table public.member with no data; alter table app.member add primary key (org, person)",
        "insert into app.member values (3, 'ann')",
    ),
    "renamed": (
        f"create table app.former {MEMBER}; insert into app.former values (3, 'ann')",
        "alter table app.former rename to member",
        "insert into app.member values (2, 'ann')",
        "alter table app.member rename to former; insert into app.former values (1, 'eve')",
        "alter table app.former rename to member",
        "alter table app.member rename column org to first; alter table app.member add column org int default 1",
        "delete from app.member where person = 'ann'",
    ),
    "moved": (
        f"create table aside.member {MEMBER}; insert into aside.member values (3, 'ann')",
        "insert into aside.member values (2, 'ann')",
        "alter table aside.member set schema app",
        "delete from app.member where org = 3",
        "alter table app.member set schema aside",
        "alter schema app rename to was; alter schema aside rename to app",
        "insert into app.member values (1, 'ann')",
    ),
    "a view": (
        "create view app.member as select org + 1 as org, person from public.member",
        "insert into public.member values (2, 'ann')",
        "create or replace view app.member as select org + 2 as org, person from public.member",
        "alter view app.member rename to former",
        "alter view app.former rename to member",
        "alter view app.member set schema aside",
        "alter view aside.member set schema app",
        "drop view app.member",
        "delete from public.member where person = 'ann'",
    ),
    "a function": (
        "create function app.me() returns text language sql stable as "
        "$$ select current_setting('request.jwt.claims', true)::json ->> 'as' $$",
        "insert into public.member values (3, 'eve')",
        "alter function app.me() rename to you",
        "alter function app.you() rename to me",
        "alter function app.me() set schema aside",
        "alter function aside.me() set schema app",
        "drop function app.me()",
    ),
    "a sequence and back": (
        "create sequence aside.member",
        "drop sequence aside.member",
        "insert into public.member values (2, 'ann')",
    ),
    "several in one transaction": (
        f"create table app.member {MEMBER}; alter table app.member rename to b; create table app.member {MEMBER}; "
        "insert into app.b values (3, 'ann'); alter table app.member rename to c; alter table app.b rename to member; "
        "drop table app.c",
        "insert into app.member values (2, 'eve')",
        "alter table app.member rename to b; insert into public.member values (3, 'eve'); delete from app.b",
    ),
    "rolled back in part": (
        f"savepoint s; create table app.member {MEMBER}; insert into app.member values (3, 'ann'); rollback to s; "
        "insert into public.member values (2, 'ann')",
        f"create table app.member {MEMBER}; insert into app.member values (3, 'ann'); savepoint s; drop table app.member; "
        "rollback to s; delete from public.member where person = 'ann'",
        "insert into app.member values (1, 'ann')",
    ),
    "the path of the function": (
        f"create table aside.member {MEMBER}; insert into aside.member values (3, 'ann')",
        "alter function orgs() set search_path = aside, public",
        "insert into aside.member values (2, 'ann')",
        "alter function orgs() set search_path = public",
        "insert into public.member values (3, 'ann')",
    ),
}


@pytest.fixture(params=[("database", "pgoutput"), ("database15", "wal2json")], ids=["18", "15"])
def named(request: pytest.FixtureRequest) -> Iterator[Streamed]:
    database, decoder = request.param
    with served(request.getfixturevalue(database)) as rows:
        run_each(rows.dsn, "create schema app", "create schema aside")
        yield rows, decoder


def in_one(statements: str) -> str:
    return f"begin; {statements}; commit" if ";" in statements else statements


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("language", TEXTS)
async def test_a_name_that_comes_to_mean_another_object_is_followed(
    named: Streamed, language: str, change: str
) -> None:
    rows, decoder = named
    run_each(
        rows.dsn,
        TEXTS[language].format(path=f"set search_path = {PATH}"),
        f"alter policy own on note to {rows.people} using (org in (select orgs()))",
        "select realtime.expose('note')",
    )
    async with live_node(rows.dsn, decoder=decoder) as node:
        watching = [Watching(rows, node, ALL, ROWS), Watching(rows, node, SUM, SUM["sql"])]
        for each in watching:
            await each.add(rows.principal("ann"), rows.principal("eve", **{"as": "bob"}))
            await each.check()
        for step in CHANGES[change]:
            run_each(rows.dsn, in_one(step))
            for each in watching:
                await each.check()


async def test_what_has_a_name_that_texts_have_longer_is_followed(named: Streamed) -> None:
    """PostgreSQL cuts a name off after 63 bytes, wherever it is written."""
    rows, decoder = named
    long, wide = "member_" + "s" * 70, "membre_" + "é" * 40
    run_each(
        rows.dsn,
        f"create table {long} {MEMBER}",
        f'create table "{wide}" {MEMBER}',
        f"create function orgs() returns setof int language plpgsql stable security definer set search_path = {PATH} as "
        f"$$ begin return query select m.org from {long} m where m.person = me() union select w.org from {wide} w "
        "where w.person = me(); end $$",
        f"alter policy own on note to {rows.people} using (org in (select orgs()))",
        "select realtime.expose('note')",
    )
    async with live_node(rows.dsn, decoder=decoder) as node:
        watching = Watching(rows, node, ALL, ROWS)
        await watching.add(rows.principal("ann"))
        for step in (
            f"insert into {long} values (2, 'ann')",
            f"insert into {wide} values (1, 'ann')",
            f"create table app.{long} {MEMBER}; insert into app.{long} values (3, 'ann')",
            f"alter table app.{long} rename to other",
            f"create table app.{wide} {MEMBER}; insert into app.{wide} values (3, 'ann')",
            f"delete from app.{wide}",
        ):
            run_each(rows.dsn, in_one(step))
            await watching.check()


@pytest.fixture
def by_path(named: Streamed) -> Iterator[Streamed]:
    """The function finds its table by the path of the database."""
    rows, _ = named
    [(name,)] = read(rows.dsn, "select current_database()")
    run_each(
        rows.dsn,
        BY_PATH,
        f"alter policy own on note to {rows.people} using (org in (select orgs()))",
        f"grant usage on schema app, aside to {rows.people}",
        f"alter default privileges grant select on tables to {rows.people}",
        f"create table aside.member {MEMBER}; insert into aside.member values (3, 'ann')",
        "select realtime.expose('note')",
        f"alter database {name} set search_path = app, public",
    )
    yield named
    run_each(rows.dsn, f"alter database {name} reset all")


async def test_a_name_that_is_found_by_the_path_of_the_database_is_followed(by_path: Streamed) -> None:
    rows, decoder = by_path
    [(name,)] = read(rows.dsn, "select current_database()")
    async with live_node(rows.dsn, decoder=decoder, live=LOOKING) as node:
        watching = Watching(rows, node, ALL, ROWS)
        await watching.add(rows.principal("ann"), rows.principal("eve"))
        await watching.check()
        for step in (*CHANGES["created and dropped"], "drop table app.member", *CHANGES["renamed"]):
            run_each(rows.dsn, in_one(step))
            await watching.check()
        for path in ("aside, public", "public", "app, public"):
            run_each(rows.dsn, f"alter database {name} set search_path = {path}")
            await node.looked()
            await watching.check()
            run_each(rows.dsn, "insert into aside.member values (2, 'ann') on conflict do nothing")
            await watching.check()


async def test_names_are_followed_without_event_triggers(by_path: Streamed) -> None:
    """By looking at all definitions. What is not published then ends the live queries."""
    rows, decoder = by_path
    run_each(rows.dsn, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    async with live_node(rows.dsn, decoder=decoder, live=LOOKING) as node:
        watching = Watching(rows, node, ALL, ROWS)
        await watching.add(rows.principal("ann"), rows.principal("eve"))
        await watching.check()
        for step in (
            "alter table aside.member set schema app",
            "insert into app.member values (2, 'ann')",
            "create function app.me() returns text language sql stable as $$ select 'eve' $$",
            "insert into app.member values (1, 'eve')",
            "alter table app.member rename to former",
            "alter table app.former rename to member",
            "drop function app.me()",
            "alter schema app rename to other",
        ):
            run_each(rows.dsn, step)
            await node.looked()
            await watching.check()


async def test_rows_that_were_read_by_names_of_another_meaning_are_not_used(by_path: Streamed) -> None:
    rows, _ = by_path
    viewer = Viewer(rows.principal("ann").visibility, {"sub": "ann"})
    reader = Reader(rows.dsn, size=1)
    await reader.open()
    try:
        async with await connect(rows.dsn, "planning", autocommit=True) as connection:
            for change in (
                "alter table aside.member set schema app",
                "alter table app.member rename to former",
                "create function app.me() returns text language sql stable as $$ select 'eve' $$",
                "create domain app.org as int",
                "alter schema app rename to other",
                "create table other.unrelated (id int)",
            ):
                plan = await plan_query("note", ALL, await load_catalog(connection), connection, viewer=viewer)
                assert isinstance(plan, IncrementalPlan)
                assert plan.rule is not None
                statement = plan.rule.otherwise.statement
                assert (await reader.read(statement)).as_meant
                run_each(rows.dsn, *change.split("; "))
                assert (await reader.read(statement)).as_meant == ("unrelated" in change), change
    finally:
        await reader.close()


async def test_a_name_that_means_something_else_for_a_moment_leaves_no_plan(by_path: Streamed) -> None:
    """Definitions are as they were, but a session has planned the function in between."""
    rows, _ = by_path
    run_each(
        rows.dsn,
        "create or replace function orgs() returns setof int language plpgsql stable as "
        "$$ begin return query select m.org from member m where m.person = me(); end $$",
        "alter table aside.member set schema app",
        "create schema later",
        f"grant usage on schema later to {rows.people}",
    )
    viewer = Viewer(rows.principal("ann").visibility, {"sub": "ann"})
    reader = Reader(rows.dsn, size=1)
    await reader.open()
    try:
        async with await connect(rows.dsn, "planning", autocommit=True) as connection:
            plan = await plan_query("note", ALL, await load_catalog(connection), connection, viewer=viewer)
            assert isinstance(plan, IncrementalPlan)
            assert plan.rule is not None
            statement = plan.rule.otherwise.statement
            for away, back in (
                ("alter table app.member rename to former", "alter table app.former rename to member"),
                ("alter table app.member set schema later", "alter table later.member set schema app"),
                ("alter schema app rename to other", "alter schema other rename to app"),
                (f"revoke usage on schema app from {rows.people}", f"grant usage on schema app to {rows.people}"),
            ):
                before = await reader.read(statement)
                run_each(rows.dsn, away)
                assert not (await reader.read(statement)).as_meant
                run_each(rows.dsn, back)
                after = await reader.read(statement)
                assert not after.as_meant or after.rows == before.rows, away
                plan = await plan_query("note", ALL, await load_catalog(connection), connection, viewer=viewer)
                assert isinstance(plan, IncrementalPlan)
                assert plan.rule is not None
                statement = plan.rule.otherwise.statement
                again = await reader.read(statement)
                assert again.as_meant
                assert again.rows == before.rows, away
    finally:
        await reader.close()
