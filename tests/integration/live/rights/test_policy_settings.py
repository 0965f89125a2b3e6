"""Policies mean what they mean in sessions of the subscriber's role, whose settings decide how dates and times are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from tests.integration.live.rights.conftest import Rows
from tests.support.nodes.live_node import QUICK, Follower, LiveNode, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each

LOOKING = replace(QUICK, watch_interval=0.1)
TABLE = (
    "create table shift (id int primary key, began timestamptz not null, day date not null, owner text not null)",
    "insert into shift values (1, '2026-01-01 14:59Z', '2026-01-02', 'ann'), (2, '2026-01-01 15:01Z', '2026-02-01', 'ann'), "
    "(3, '2026-01-02 14:59Z', '2026-01-02', 'bob'), (4, '2026-01-02 15:01Z', '2026-02-01', 'bob')",
    "alter table shift enable row level security",
)
BUILDER = Query("shift", {"orderBy": ["id"]}, "")
BY_SQL = Query("shift", {"sql": "select id, began, day, owner from shift where began < '2026-06-01' order by id"}, "")
COUNT = Query("shift", {"sql": "select count(*) as n, max(began) as last, max(began::text) as text from shift"}, "")


@pytest.fixture
def shifts(rows: Rows) -> Iterator[Rows]:
    run_each(
        rows.dsn,
        *TABLE,
        f"grant select on shift to {rows.people}, {rows.staff}",
        f"create policy own on shift to {rows.people} using (true)",
        f"create policy every on shift to {rows.staff} using (true)",
        "select realtime.expose('shift')",
    )
    yield rows
    [(name,)] = read(rows.dsn, "select current_database()")
    run_each(rows.dsn, f"alter database {name} reset all")


def truth(rows: Rows, settings: dict[str, str], sql: str, **claims: str) -> list[object]:
    """What PostgreSQL gives the role in a session of its own."""
    with psycopg.connect(rows.dsn) as connection:
        for name, value in {**settings, "request.jwt.claims": json.dumps({"sub": "ann", **claims})}.items():
            connection.execute("select set_config(%s, %s, true)", [name, value])
        connection.execute(f"set local role {rows.people}".encode())
        return [row for (row,) in connection.execute(sql.encode()).fetchall()]


async def follow(node: LiveNode, rows: Rows, query: Query, **claims: str) -> Follower:
    return await node.follow(query, principal=rows.principal("ann", **claims))


def has(follower: Follower, ids: list[str]) -> bool:
    return follower.ids == ids


def documents(follower: Follower) -> list[dict[str, object]]:
    return [json.loads(doc) for _, doc in follower.list]


@pytest.mark.parametrize(
    ("policy", "strategy"),
    [
        ("(began)::date = '2026-01-02'", "re-read"),
        ("began::text like '2026-01-02%'", "re-read"),
        ("began >= (select min(d.real)::timestamptz from days d)", "incremental"),
        ("began >= (claim('since'))::timestamptz", "re-read"),
        ("day = (claim('day'))::date", "re-read"),
        ("day in (select d.day::date from days d)", "re-read"),
    ],
)
async def test_a_policy_is_evaluated_with_the_settings_of_the_role(shifts: Rows, policy: str, strategy: str) -> None:
    settings = {"TimeZone": "Asia/Tokyo", "DateStyle": "ISO, DMY"}
    run_each(
        shifts.dsn,
        "create table days (day text primary key, real date not null)",
        "insert into days values ('02/01/2026', '2026-01-02')",
        f"grant select on days to {shifts.people}",
        *(f"alter role {shifts.people} set {name} to '{value}'" for name, value in settings.items()),
        f"alter policy own on shift using ({policy})",
        "select realtime.expose('shift')",
    )
    claims = {"since": "2026-01-02 00:00", "day": "02/01/2026"}
    async with live_node(shifts.dsn) as node:
        lists = [await follow(node, shifts, query, **claims) for query in (BUILDER, BY_SQL)]
        count = await follow(node, shifts, COUNT, **claims)
        subscription = lists[0].subscription
        assert subscription is not None
        assert subscription.strategy == strategy

        async def check() -> None:
            await node.caught_up()
            ids = truth(shifts, settings, "select id from shift order by id", **claims)
            written = read(shifts.dsn, "select id, row_to_json(s) from shift s")  # under our settings
            wanted = [doc for id, doc in sorted(written) if id in ids]
            assert [documents(each) for each in lists] == [wanted, wanted]
            [text] = truth(shifts, settings, "select max(began::text) from shift", **claims)
            [last] = documents(count)
            assert (last["n"], last["text"]) == (len(ids), text)
            if ids:
                assert last["last"] == max(str(doc["began"]) for doc in wanted), "written in UTC"

        assert 0 < len(truth(shifts, settings, "select id from shift", **claims)) < 4
        await check()
        run_each(shifts.dsn, "insert into shift values (5, '2026-01-02 03:00Z', '2026-01-02', 'eve')")
        await check()
        run_each(shifts.dsn, "update shift set began = '2026-01-01 10:00Z', day = '2026-02-01'")
        await check()
        run_each(shifts.dsn, "update shift set began = '2026-01-01 20:00Z', day = '2026-01-02' where id > 2")
        await check()


async def test_rows_are_written_under_our_settings_where_policies_have_no_values(shifts: Rows) -> None:
    run_each(
        shifts.dsn,
        "alter policy own on shift using (owner is not null)",
        f"alter role {shifts.people} set timezone to 'Asia/Tokyo'",
        "select realtime.expose('shift')",
    )
    async with live_node(shifts.dsn) as node:
        follower = await follow(node, shifts, BUILDER)
        assert follower.subscription is not None
        assert follower.subscription.strategy == "incremental"
        written = read(shifts.dsn, "select row_to_json(s) from shift s order by id")
        assert [(doc,) for doc in documents(follower)] == written


async def test_settings_of_the_database_and_the_server_count_and_their_changes_are_followed(shifts: Rows) -> None:
    [(name,)] = read(shifts.dsn, "select current_database()")
    run_each(
        shifts.dsn, "alter policy own on shift using ((began)::date = '2026-01-02')", "select realtime.expose('shift')"
    )
    steps = (
        ("alter system set timezone to 'Asia/Tokyo'", "Asia/Tokyo"),
        (f"alter database {name} set timezone to 'America/Los_Angeles'", "America/Los_Angeles"),
        (f"alter role {shifts.people} set timezone to 'Asia/Tokyo'", "Asia/Tokyo"),
        (f"alter role {shifts.people} in database {name} set timezone to 'UTC'", "UTC"),
    )
    try:
        async with live_node(shifts.dsn, live=LOOKING) as node:
            followers = [await follow(node, shifts, query) for query in (BUILDER, BY_SQL)]
            for step, zone in steps:
                run_each(shifts.dsn, step, "select pg_reload_conf()")
                wanted = [str(id) for id in truth(shifts, {"TimeZone": zone}, "select id from shift order by id")]
                for follower in followers:
                    await follower.until(partial(has, follower, wanted))
    finally:
        run_each(shifts.dsn, "alter system reset timezone", "select pg_reload_conf()")
        run_each(shifts.dsn, f"alter role {shifts.people} in database {name} reset all")


@pytest.mark.parametrize("to", ["the_role", "public"])
async def test_sql_is_planned_with_the_settings_of_the_role_and_none_stays_in_the_pool(shifts: Rows, to: str) -> None:
    """PostgreSQL evaluates stable functions of policies when it plans, so a setting that is absent would be an error."""
    role = shifts.people if to == "the_role" else to
    run_each(
        shifts.dsn,
        "create table sold (id int primary key, tenant text)",
        "insert into sold values (1, '5'), (2, '6'), (3, '5')",
        f"grant select on sold to {shifts.people}",
        f"alter role {shifts.people} set app.tenant to '5'",
        "alter table sold enable row level security",
        f"create policy own on sold to {role} using (tenant = current_setting('app.tenant'))",
        "select realtime.expose('sold')",
    )
    async with live_node(shifts.dsn, live=LOOKING) as node:
        count = await follow(node, shifts, Query("sold", {"sql": "select count(*) as n from sold"}, ""))
        listed = await follow(node, shifts, Query("sold", {"sql": "select id from sold order by id"}, ""))
        assert (documents(count), documents(listed)) == ([{"n": 2}], [{"id": 1}, {"id": 3}])
        run_each(shifts.dsn, "alter policy own on sold using (tenant = current_setting('app.tenant') and id > 1)")
        await count.until(lambda: documents(count) == [{"n": 1}])
        await listed.until(lambda: documents(listed) == [{"id": 3}])
        for _ in range(12):  # more than there are connections
            async with node.live._reader.connection() as connection:
                cursor = await connection.execute("select current_setting('app.tenant', true), current_setting('role')")
                assert await cursor.fetchone() in [(None, "none"), ("", "none")]


async def test_a_changed_search_path_of_the_database_is_followed(rows: Rows) -> None:
    """Functions whose body is a text find their names by it, at each call."""
    [(name,)] = read(rows.dsn, "select current_database()")
    run_each(
        rows.dsn,
        "create schema first; create table first.allowed (org int primary key); insert into first.allowed values (1)",
        "create schema second; create table second.allowed (org int primary key); insert into second.allowed values (2)",
        f"grant usage on schema first, second to {rows.people}",
        f"grant select on first.allowed, second.allowed to {rows.people}",
        f"alter database {name} set search_path to first, public",
        "create function public.is_allowed(what int) returns boolean language plpgsql stable as "
        "$$ begin return exists (select from allowed where org = what); end $$",
        f"alter policy own on note to {rows.people} using (public.is_allowed(org))",
        "select realtime.expose('public.note')",
    )
    async with live_node(rows.dsn, live=LOOKING) as node:
        follower = await follow(node, rows, Query("note", {"orderBy": ["id"]}, ""))
        assert follower.ids == ["1", "2"]
        run_each(rows.dsn, f"alter database {name} set search_path to second, public")
        await follower.until(lambda: follower.ids == ["3"])
