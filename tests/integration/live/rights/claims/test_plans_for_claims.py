"""One plan for all subscribers with a role, in which only their claims differ."""

from __future__ import annotations

from typing import Any

import pytest

from engine.identity.principal import viewer_of
from engine.live.plan_cache import Plan
from engine.query.compile.plan import IncrementalPlan
from engine.query.planner import plan_query
from tests.integration.live.rights.conftest import ALL, Rows
from tests.support.nodes.live_node import live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each


async def test_subscribers_with_a_role_are_planned_for_once_whatever_their_claims(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But each as if it had been planned for alone."""
    run_each(rows.dsn, f"create policy odd on note as restrictive to {rows.people} using (id % 2 = 1 or owner = me())")
    made: list[str] = []

    async def counted(collection: str, *arguments: Any) -> Plan:
        made.append(collection)
        return await plan_query(collection, *arguments)

    monkeypatch.setattr("engine.live.plan_cache.plan_query", counted)
    people = [rows.principal(name) for name in ("ann", "bob", "eve")]
    specs: list[dict[str, Any]] = [ALL, {**ALL, "where": [["org", "<", 3]]}]
    async with live_node(rows.dsn) as node:
        followers = [await node.follow(Query("note", spec, ""), principal=who) for spec in specs for who in people]
        assert len(made) == len(specs)
        run_each(rows.dsn, "insert into note values (5, 'ann', 1, 'e'), (6, 'bob', 3, 'f'), (7, 'eve', 2, 'g')")
        await node.caught_up()
        assert [each.ids for each in followers] == [
            *(["1", "5"], ["2", "3", "6"], ["4", "7"]),
            *(["1", "5"], ["2", "3"], ["7"]),
        ]
        planner = node.live._planning._planner
        for follower, who in zip(followers, people * 2, strict=True):
            viewer = viewer_of(who, "anonymous")
            known = await planner.plan(viewer, "note", follower.query.spec)
            planner.use(planner._catalog)  # forgets all plans
            alone = await planner.plan(viewer, "note", follower.query.spec)
            assert (known.key, known.visibility, known.dependencies) == (
                alone.key,
                alone.visibility,
                alone.dependencies,
            )
            assert reading(known) == reading(alone)
            assert who.user_id is not None
            assert who.user_id in known.visibility.claims.decode()

        # Reading a value of this type may read claims.
        run_each(
            rows.dsn,
            "create domain word as text check (me() <> 'mallory')",
            "alter table note add word word",
            f"grant select (word) on note to {rows.people}",
            "select realtime.expose('note')",
        )
        await node.caught_up()
        made.clear()
        for who in people:
            await planner.plan(viewer_of(who, "anonymous"), "note", {**ALL, "where": [["word", "==", "x"]]})
        assert len(made) == len(people)


def reading(plan: Plan) -> object:
    """What decides which rows are read."""
    if isinstance(plan, IncrementalPlan):
        assert plan.rule is not None
        return plan.read(None), plan.rule.role, plan.rule.watched, plan.rule.calls, plan.rule.otherwise
    return plan


@pytest.mark.parametrize(
    ("made", "condition"),
    [
        (
            "create function mine(owner text, who text default current_setting('request.jwt.claims', true)::json ->> 'sub') "
            "returns boolean language sql as $$ select owner = who $$",
            "mine(owner)",
        ),
        (
            "create function oneself(who text default current_setting('request.jwt.claims', true)::json ->> 'sub') "
            "returns text language sql stable as $$ select who $$",
            "owner = oneself()",
        ),
        (
            "create domain mine as text check (value = current_setting('request.jwt.claims', true)::json ->> 'sub'); "
            "create function is_mine(owner text) returns boolean language plpgsql as "
            "$$ begin perform owner::mine; return true; exception when check_violation then return false; end $$",
            "is_mine(owner)",
        ),
        (
            "create function application(claims json) returns json language sql immutable as "
            "$$ select json_build_object('user', claims ->> 'sub') $$",
            "owner = application(current_setting('request.jwt.claims', true)::json) ->> 'user'",
        ),
        ("select", "owner = lower(upper(current_setting('request.jwt.claims', true))::json ->> 'SUB')"),
    ],
)
async def test_a_claim_that_no_text_of_a_policy_or_body_reads_is_there_and_not_shared(
    rows: Rows, made: str, condition: str
) -> None:
    run_each(rows.dsn, made, f"alter policy own on note using ({condition})", "select realtime.expose('note')")
    async with live_node(rows.dsn) as node:
        ann, bob = [await node.follow(Query("note", ALL, ""), principal=rows.principal(who)) for who in ("ann", "bob")]
        assert (ann.ids, bob.ids) == (["1"], ["2", "3"])
        run_each(rows.dsn, "insert into note values (5, 'ann', 1, 'e'), (6, 'bob', 3, 'f')")
        await node.caught_up()
        assert (ann.ids, bob.ids) == (["1", "5"], ["2", "3", "6"])
