"""A renewed token: its live queries have what the new claims show, and nothing is done where that is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from engine.errors import QueryRejectedError
from engine.identity.visibility import Viewer, Visibility
from engine.live.plan_cache import Plan
from tests.integration.live.rights.conftest import ALL, SQL, SUM, Rows
from tests.support.nodes.live_node import LiveNode, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each


async def test_a_refreshed_token_moves_its_live_queries(rows: Rows) -> None:
    async with live_node(rows.dsn) as node:
        principal = rows.principal("ann")
        follower = await node.follow(Query("note", ALL, ""), principal=principal)
        stays = await node.follow(Query("note", ALL, ""), principal=rows.principal("ann"))
        assert follower.ids == ["1"]
        assert follower.subscription is not None
        epoch = follower.subscription.epoch
        for claims, role, ids in (
            ({"sub": "bob"}, rows.people, ["2", "3"]),
            ({"sub": "bob"}, rows.staff, ["1", "2", "3", "4"]),
            ({"sub": "nobody"}, rows.people, []),
        ):
            principal.claims, principal.visibility = claims, Visibility(role)
            await node.live.reopen(principal, follower.subscription)
            assert follower.ids == ids
        assert follower.subscription.epoch != epoch, "a list of before is not resumed from"
        assert stays.ids == ["1"]
        principal.visibility = Visibility("another")
        await node.live.reopen(principal, follower.subscription)
        assert isinstance(follower.error, QueryRejectedError)


async def test_a_refreshed_token_costs_nothing_where_policies_read_no_claim_that_changed(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_node(rows.dsn) as node:
        principal = rows.principal("ann", exp=1)
        follower = await node.follow(Query("note", ALL, ""), principal=principal)
        subscription = follower.subscription
        assert subscription is not None
        planned = plannings(node, monkeypatch)
        query = subscription.query
        principal.claims = {**principal.claims, "exp": 2, "team": "red"}
        await node.live.reopen(principal, subscription)
        assert (subscription.query, planned) == (query, [])

        # The claims of now count when policies change: the former ones would show nothing.
        run_each(
            rows.dsn,
            "drop policy own on note",
            f"create policy red on note to {rows.people} "
            "using (current_setting('request.jwt.claims', true)::json ->> 'team' = 'red'); select realtime.expose('note')",
        )
        await node.caught_up()
        assert follower.ids == ["1", "2", "3", "4"]


async def test_sql_is_planned_again_for_a_refreshed_token_only_where_it_or_a_policy_reads_a_claim_that_changed(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_each(
        rows.dsn,
        "create function team(id int) returns text language plpgsql immutable as "
        "$$ begin return current_setting('request.jwt.claims', true)::json ->> 'team'; end $$",
        "grant execute on function team(int) to realtime_reader",
    )
    calls = {"sql": "select id, team(id) as team from note order by id"}
    async with live_node(rows.dsn) as node:
        principal = rows.principal("ann", exp=1, team="blue")
        one, total, team = [
            await node.follow(Query("note", spec, ""), principal=principal) for spec in (SQL, SUM, calls)
        ]
        planned = plannings(node, monkeypatch)
        for claims, times in (({"exp": 2}, [0, 0, 1]), ({"sub": "bob"}, [1, 1, 1])):
            principal.claims = {**principal.claims, **claims}
            for follower, expected in zip((one, total, team), times, strict=True):
                planned.clear()
                assert follower.subscription is not None
                await node.live.reopen(principal, follower.subscription)
                assert len(planned) == expected, (follower.query.spec, claims)
        assert one.ids == ["2", "3"]
        assert [json.loads(doc) for _, doc in total.list] == [{"n": 2, "total": 5}]


def plannings(node: LiveNode, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets the collection of each query that is planned from now on."""
    planned: list[str] = []
    plan = node.live._planning.plan

    async def counted(viewer: Viewer, collection: str, spec: Mapping[str, object], **options: bool) -> Plan:
        planned.append(collection)
        return await plan(viewer, collection, spec, **options)

    monkeypatch.setattr(node.live._planning, "plan", counted)
    return planned
