"""Rows that were read under other policies than those that a plan was made for are not used."""

from __future__ import annotations

from engine.catalog.load import load_catalog
from engine.identity.visibility import Viewer
from engine.postgres.connections.opening import connect
from engine.postgres.snapshot_reader import Reader
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import plan_query
from tests.integration.live.rights.conftest import ALL, SQL, Rows
from tests.support.nodes.live_node import live_node, stream_paused
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each


def by_membership(rows: Rows) -> None:
    """The policy calls a function, so that it is PostgreSQL which applies it."""
    run_each(
        rows.dsn,
        "create function knows(who text, what int) returns boolean language plpgsql stable security definer as "
        "$$ begin return exists (select from member where person = who and org = what); end $$",
        f"alter policy own on note to {rows.people} using (knows(me(), org))",
        "select realtime.expose('note')",
    )


async def test_rows_that_were_read_under_changed_policies_are_not_used(rows: Rows) -> None:
    by_membership(rows)
    changes = (
        f"create policy more on note to {rows.people} using (org = (claim('org'))::int)",
        "alter policy more on note using (true)",
        "drop policy more on note",
        f"alter policy own on note to {rows.people}, {rows.staff}",
        "alter table member enable row level security",
        "create policy own on member using (person = claim('as'))",
        "alter function knows(text, int) security invoker",
        "create or replace function knows(who text, what int) returns boolean language sql stable as "
        "$$ select (claim('org'))::int = what $$",
        "create or replace function me() returns text language sql stable as $$ select claim('as') $$",
        "alter table note force row level security",
        "alter table note disable row level security",
    )
    viewer = Viewer(rows.principal("ann").visibility, {"sub": "ann"})
    reader = Reader(rows.dsn)
    await reader.open()
    try:
        async with await connect(rows.dsn, "planning", autocommit=True) as connection:
            for change in changes:
                catalog = await load_catalog(connection)
                plans = [await plan_query("note", spec, catalog, connection, viewer=viewer) for spec in (ALL, SQL)]
                for plan in plans:
                    assert isinstance(plan, ReReadPlan)
                    assert (await reader.read(plan.statement)).as_meant
                run_each(rows.dsn, change)
                for plan in plans:
                    assert isinstance(plan, ReReadPlan)
                    found = await reader.read(plan.statement)
                    assert not found.as_meant, change
                    assert found.rows == []
    finally:
        await reader.close()


async def test_rows_of_sql_whose_names_mean_something_else_by_now_are_not_used(rows: Rows) -> None:
    """It runs with the rights of the subscriber's role, which may read more than what is exposed."""
    by_membership(rows)
    changes = (
        "alter table note rename column body to was; alter table note rename column secret to body",
        "alter table note rename column body to secret; alter table note rename column was to body",
        "revoke select on note from realtime_reader",
        "alter table note rename to was; create table note as table was",
    )
    run_each(rows.dsn, f"grant select on note to {rows.people}")
    viewer = Viewer(rows.principal("ann").visibility, {"sub": "ann"})
    reader = Reader(rows.dsn)
    await reader.open()
    try:
        async with await connect(rows.dsn, "planning", autocommit=True) as connection:
            for change in changes:
                plan = await plan_query("note", SQL, await load_catalog(connection), connection, viewer=viewer)
                assert isinstance(plan, ReReadPlan)
                assert (await reader.read(plan.statement)).as_meant
                run_each(rows.dsn, f"{change}; grant select on note to {rows.people}")
                assert not (await reader.read(plan.statement)).as_meant, change
                run_each(rows.dsn, "grant select on note to realtime_reader")
    finally:
        await reader.close()


async def test_a_new_query_has_no_row_by_a_claim_that_only_a_newer_policy_reads(rows: Rows) -> None:
    """The policies that its plan was made for read ``sub`` alone, so the read has no other claim. By the newer one a user
    without the claim ``banned`` sees all rows.
    """
    by_membership(rows)
    async with live_node(rows.dsn) as node:
        banned, ann = rows.principal("ann", banned=True), rows.principal("ann")
        assert (await node.follow(Query("note", ALL, ""), principal=banned)).ids == ["1", "2"]
        with stream_paused(node):
            run_each(rows.dsn, f"alter policy own on note to {rows.people} using ((claim('banned')) is null)")
            for spec in ({"limit": 9, **ALL}, {"sql": f"{SQL['sql']} limit 9"}):
                received: list[object] = []
                follower = await node.follow(Query("note", spec, ""), received.extend, principal=banned)
                assert (follower.ids, received) == ([], [])
                assert (await node.follow(Query("note", spec, ""), principal=ann)).ids == ["1", "2", "3", "4"]
        await node.caught_up()


async def test_types_that_only_functions_of_policies_use_are_followed(rows: Rows) -> None:
    """No column of the table has these types, and no row changes."""
    run_each(
        rows.dsn,
        "create type state as enum ('open', 'shut')",
        "create table house (id int primary key, state state)",
        "insert into house values (1, 'open')",
        "create domain small as int check (value < 2)",
        "create domain tiny as int check (value < 1)",
        "create type pair as (one int)",
        "create function is_open() returns boolean language sql stable security definer as "
        "$$ select exists (select from house where state::text = 'open') $$",
        "create function is_small(id int) returns boolean language plpgsql stable as "
        "$$ begin "
        "perform jsonb_populate_record(null::pair, jsonb_build_object('one', id::small)); return true; "
        "exception when check_violation then return false; end $$",
        f"alter policy own on note to {rows.people} using (is_open() and is_small(id))",
        "select realtime.expose('note')",
    )
    async with live_node(rows.dsn) as node:
        follower = await node.follow(Query("note", ALL, ""), principal=rows.principal("ann"))
        assert follower.ids == ["1"]
        steps: list[tuple[str, list[str]]] = [
            ("alter type pair alter attribute one type tiny", []),
            ("alter type pair alter attribute one type int", ["1"]),
            ("alter domain small drop constraint small_check", ["1", "2", "3", "4"]),
            ("alter domain small add constraint three check (value < 4)", ["1", "2", "3"]),
            ("alter type state rename value 'open' to 'opened'", []),
            ("alter type state rename value 'shut' to 'open'; update house set state = 'open'", ["1", "2", "3"]),
        ]
        for change, ids in steps:
            run_each(rows.dsn, *change.split("; "))
            await follower.until(lambda: follower.ids == ids)
