"""Policies over what changes without a commit: the clock, and settings."""

from __future__ import annotations

import psycopg
import pytest

from engine.catalog import load
from engine.postgres.connections.session_settings import connection_options
from engine.postgres.statements.named_queries import query
from tests.integration.live.rights.conftest import ALL, Rows, Watching
from tests.support.nodes.live_node import live_node
from tests.support.postgres.sql import read, run_each


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
