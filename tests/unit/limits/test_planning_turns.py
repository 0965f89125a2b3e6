"""Queries of users that have planned much are planned one in a turn of the event loop; others do not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

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


async def test_long_sql_of_users_that_had_much_done_waits_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    started, connected, ends = list[str](), 0, asyncio.Event()
    reader = Reader("", size=2)

    @asynccontextmanager
    async def planning(*_: object) -> AsyncIterator[None]:
        nonlocal connected
        connected += 1
        yield
        connected -= 1

    async def plan_query(_: str, spec: dict[str, str], *__: object) -> Plan:
        started.append(spec["sql"][0])
        user = ASKING.get()
        assert user is not None
        await ends.wait()
        user.work.charge(1.0)
        reader.turns.worked(1.0)
        plan = compile_incremental(parse_query({}, TABLE), TABLE)
        assert isinstance(plan, IncrementalPlan)
        return plan

    monkeypatch.setattr(reader, "planning", planning)
    monkeypatch.setattr(plan_cache, "plan_query", plan_query)
    planner = Planner(reader)
    planner.use(Catalog({"items": TABLE}, {TABLE.oid: TABLE}))

    async def plan(user: UserAccount, name: str, length: int = 2_000) -> None:
        ASKING.set(user)
        await planner.plan(Viewer(), "items", {"sql": name * length})

    a, b = UserAccount(), UserAccount()
    tasks = [asyncio.create_task(plan(a, name)) for name in "xyz"]
    tasks += [asyncio.create_task(plan(a, "s", 10)), asyncio.create_task(plan(b, "l"))]
    for _ in range(9):
        await asyncio.sleep(0)
    assert (sorted(started), connected) == (["l", "s", "x"], 3), "one long one of a user"
    ends.set()
    for _ in range(9):
        await asyncio.sleep(0)
    assert (sorted(started), connected) == (["l", "s", "x"], 0), "a has had much done and waits for its turn"
    await asyncio.wait_for(asyncio.create_task(plan(UserAccount(), "o")), 60)
    assert started[-1] == "o", "others do not wait for it"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
