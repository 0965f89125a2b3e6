"""Queries of users that have planned much are planned one in a turn of the event loop; others do not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from engine.catalog.model import Catalog
from engine.identity.visibility import Viewer
from engine.live import plan_cache
from engine.live.plan_cache import Plan, Planner
from engine.live.planning_budget import PlanningBudget
from engine.live.query_accounts import ASKING, UserAccount
from engine.postgres.snapshot_reader import Reader
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from tests.unit.query.test_conditions import TABLE


async def test_users_that_have_planned_much_take_turns_and_others_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []

    def noting(collection: str, spec: Mapping[str, object], catalog: Catalog, viewer: Viewer) -> Plan | None:
        planned.append(users[user := ASKING.get()])
        assert user is not None
        plan = compile_incremental(parse_query(spec, catalog.by_collection[collection]), TABLE)
        assert isinstance(plan, IncrementalPlan)
        return plan

    monkeypatch.setattr(plan_cache, "plan_at_once", noting)
    users: dict[UserAccount | None, str] = {UserAccount(PlanningBudget(lambda: 100.0)): name for name in "abc"}
    a, b, c = filter(None, users)
    a.planning.charge(1.0)
    b.planning.charge(1.0)
    planner = Planner(Reader("", size=2))
    planner.use(Catalog({"items": TABLE}, {TABLE.oid: TABLE}))

    async def plan(user: UserAccount, name: str) -> None:
        ASKING.set(user)
        await planner.plan(
            Viewer(),
            "items",
            {"where": [["n", "==", int(name[1:])], ["n", "!=", sorted(users.values()).index(name[0])]]},
        )

    asked = [(a, 5), (b, 3), (c, 4)]
    tasks = [asyncio.create_task(plan(user, f"{users[user]}{n}")) for user, count in asked for n in range(count)]
    await asyncio.sleep(0)
    seen = len(planned)
    assert planned == ["c", "c", "c", "c"], "those of users that have not"
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        assert len(planned) <= seen + 1
        seen = len(planned)
    assert "".join(planned).replace("c", "") == "abababaa"
    await asyncio.gather(*tasks)
