"""Policies over what changes without a commit: the clock, and settings."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import psycopg
import pytest

from engine.catalog import load
from engine.postgres.connections.session_settings import connection_options
from engine.postgres.statements.named_queries import query
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.live.rights.conftest import ALL, Rows, Watching, served
from tests.support.nodes.live_node import Follower, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import connect, read, run_each, until


async def test_a_view_in_a_policy_may_depend_on_the_clock_and_be_replaced(rows: Rows) -> None:
    """Rows leave with the time, without any commit; and a replaced view is noticed."""
    run_each(
        rows.dsn,
        "create table pass (org int primary key, until timestamptz)",
        "create view valid as select org from pass where until > now()",
        f"grant select on pass, valid to {rows.people}",
        f"drop policy own on note; create policy own on note to {rows.people} using (org in (select v.org from valid v))",
        "insert into pass values (1, now() + interval '2 seconds'), (2, 'infinity')",
        "select realtime.expose('note')",
    )
    async with live_node(rows.dsn) as node:
        watching = Watching(rows, node, ALL, "select id, owner, org, body from note order by id")
        await watching.add(rows.principal("ann"))
        [(_, follower)] = watching.followers
        [(lasting,)] = read(rows.dsn, "select array_agg(id::text order by id) from note where org = 2")
        await follower.until(lambda: follower.ids == lasting)
        run_each(rows.dsn, "create or replace view valid as select org from pass where until < now()")
        await follower.until(lambda: follower.ids != lasting)
        await watching.check()


async def test_a_setting_in_a_policy_is_looked_at_by_time(rows: Rows) -> None:
    closed = "current_setting('app.closed', true) is distinct from 'on'"
    run_each(rows.dsn, f"drop policy own on note; create policy own on note to {rows.people} using ({closed})")
    async with live_node(rows.dsn) as node:
        watching = Watching(rows, node, ALL, "select id, owner, org, body from note order by id")
        await watching.add(rows.principal("ann"))
        [(_, follower)] = watching.followers
        assert follower.ids
        run_each(rows.dsn, "alter system set app.closed = 'on'", "select pg_reload_conf()")
        try:
            await follower.until(lambda: not follower.ids)
        finally:
            run_each(rows.dsn, "alter system reset app.closed", "select pg_reload_conf()")


@pytest.mark.parametrize("condition", ["id <= (select last_value from edge)", "id <= edge()"])
async def test_a_sequence_in_a_policy_is_looked_at_by_time(rows: Rows, condition: str) -> None:
    """The stream has no rows of sequences."""
    run_each(
        rows.dsn,
        "create sequence edge",
        "create function edge() returns bigint language sql stable as $$ select e.last_value from edge e $$",
        f"grant select on sequence edge to {rows.people}",
        f"alter policy own on note using ({condition})",
        "select realtime.expose('note')",
    )
    async with live_node(rows.dsn) as node:
        watching = Watching(rows, node, ALL, "select id, owner, org, body from note order by id")
        await watching.add(rows.principal("ann"))
        [(_, follower)] = watching.followers
        assert follower.ids == ["1"]
        run_each(rows.dsn, "select setval('edge', 3)")
        await follower.until(lambda: follower.ids == ["1", "2", "3"])


async def test_built_in_functions_that_can_change_are_read_once_for_each_connection(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def noted(name: str) -> str:
        asked.append(name)
        return query(name)

    monkeypatch.setattr(load, "query", noted)
    async with await psycopg.AsyncConnection.connect(rows.dsn, options=connection_options()) as connection:
        for _ in range(2):
            table = (await load.load_catalog(connection)).by_collection["note"]
            assert table.policies is not None
    assert (asked.count("catalog_policies"), asked.count("changing_functions")) == (2, 1)


MADE = (
    "create domain moment as timestamptz",
    "create type pair as (number int, at moment)",
    "create table word (id int primary key, body text, at timestamptz)",
    "insert into word values (1, 'now', null)",
    "create view moments as select id, body::timestamptz as at from word",
    "create function moment_of(text) returns timestamptz language plpgsql as $$ begin return $1; end $$",
    "create function later(text, timestamptz, text default 'x') returns boolean language sql immutable as "
    "$$ select cast($1 as timestamptz) > $2 $$",
    "create function later_by_tree(words text, at timestamptz) returns boolean language sql "
    "begin atomic select words::timestamptz > at; end",
    "create function after(at timestamptz, moment timestamptz default now()) returns boolean language sql as "
    "$$ select moment > at $$",
    "create function declared(at timestamptz) returns boolean language plpgsql security definer as "
    "$$ declare w word; begin select id, body, body into w from word where id = 1; return w.at > declared.at; end $$",
    "create function as_column(words text, at timestamptz) returns boolean language plpgsql as "
    "$$ declare w word.at%type; begin w := words; return w > as_column.at; end $$",
    "insert into word values (2, '-infinity', '2026-01-01')",
    "create function by_record(words text, at timestamptz) returns boolean language plpgsql as "
    "$$ declare r record; begin select w.at as since into r from word w where id = 2; r.since := words; "
    "return r.since > at; end $$",
    "create function passed(words text, moment timestamptz, at timestamptz) returns boolean language plpgsql as "
    "$$ begin moment := words; return moment > at; end $$",
)
READ_AS_TIMES = (
    "body::timestamptz > '{at}'",
    "body::moment > '{at}'",
    "(('(1,' || body || ')')::pair).at > '{at}'",
    "(row(1, body)::pair).at > '{at}'",
    "'{at}' < any (string_to_array(body, ';')::timestamptz[])",
    "lower(('[' || body || ',)')::tstzrange) > '{at}'",
    "(json_populate_record(null::pair, json_build_object('at', body))).at > '{at}'",
    "exists (select from jsonb_to_record(jsonb_build_object('d', body)) as x (d timestamptz) where d > '{at}')",
    "exists (select from word w where w.body::timestamptz > '{at}')",
    "exists (select from moments m where m.at > '{at}')",
    "moment_of(body) > '{at}'",
    "later(body, '{at}')",
    "later_by_tree(body, '{at}')",
    "after('{at}')",
    "declared('{at}')",
    "as_column(body, '{at}')",
    "passed(body, null, '{at}')",
    "by_record(body, '{at}')",
)
OF_15 = (  # the embedded server has no libxml
    "exists (select from xmltable('/a' passing xmlelement(name a, body) columns d timestamptz path '.') where d > '{at}')",
)
OF_18 = (
    "json_value(json_object('d': body), '$.d' returning timestamptz) > '{at}'",
    "exists (select from json_table(json_object('d': body), '$' columns (d timestamptz path '$.d')) t where d > '{at}')",
)


@pytest.mark.long
async def test_text_that_is_read_as_a_time_is_looked_at_by_time(pg: LocalPostgres) -> None:
    """``now`` as a value is another moment each time it is read, and nothing is written when it passes ``at``."""
    with database_on(pg) as dsn, served(dsn) as rows:
        [(version,)] = read(dsn, "select current_setting('server_version_num')::int / 10000")
        conditions = [*READ_AS_TIMES, *(OF_15 if version == 15 else OF_18 if version >= 18 else ())]
        tables = [f"timed_{number}" for number in range(len(conditions))]
        run_each(dsn, *MADE, f"grant select on word, moments to {rows.people}")
        for table in tables:
            run_each(
                dsn,
                f"create table {table} (id int primary key, body text); insert into {table} values (1, 'now')",
                f"alter table {table} enable row level security; create policy p on {table} using (false)",
                f"grant select on {table} to {rows.people}; select realtime.expose('{table}')",
            )
        async with live_node(dsn) as node:
            principal, followers = rows.principal("ann"), []
            for table in tables:
                for spec in (ALL, {"sql": f"select body, id from {table} order by id"}):
                    followers.append(await node.follow(Query(table, spec, ""), principal=principal))
            [(at,)] = read(dsn, "select (now() + interval '3 seconds')::text")
            with connect(dsn) as connection, connection.transaction():
                for table, condition in zip(tables, conditions, strict=True):
                    connection.execute(f"alter policy p on {table} using ({condition.format(at=at)})".encode())
                    connection.execute(f"select realtime.expose('{table}')".encode())
            with connect(dsn) as connection:
                await node.reached(connection)
            await until(lambda: read(dsn, f"select from pg_class where now() > '{at}' limit 1"))
            missed = []
            for follower, condition in zip(followers, [each for each in conditions for _ in "12"], strict=True):
                assert follower.error is None, (condition, follower.error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(follower.until(partial(_has_one, follower)), 3)
                if not _has_one(follower):
                    missed.append(condition)
            assert not missed
            for table in tables:
                assert [row["id"] for row in rows.truth(principal, f"select id from {table}")] == [1]


def _has_one(follower: Follower) -> bool:
    return len(follower.list) == 1
