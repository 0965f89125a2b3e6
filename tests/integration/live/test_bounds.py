"""What one client can make the server keep is bounded, and is not taken from the others."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.errors import InvalidQueryError, QueryRejectedError
from engine.identity.principal import Principal
from engine.identity.visibility import Viewer
from engine.live.plan_cache import Planner
from engine.live.planning_budget import PlanningBudget
from engine.live.query_accounts import ASKING, UserAccount
from engine.postgres.errors import TableLockedError
from engine.postgres.snapshot_reader import Reader, ResultTooLargeError
from tests.support.nodes.live_node import QUICK, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import open_transaction, run_each

TABLE = """
create table t (id int primary key, body text, n int);
insert into t select i, repeat('x', 2000), i from generate_series(1, 100) i;
select realtime.expose('t')
"""


@pytest.fixture
def base(dsn: str) -> str:
    run_each(dsn, *TABLE.split(";"))
    return dsn


async def test_a_flood_of_large_queries_is_bounded_and_leaves_the_plans_of_others(base: str) -> None:
    reader = Reader(base, size=2)
    await reader.open()
    try:
        room = 1 << 20
        planner = Planner(reader, room)
        async with reader.connection() as connection:
            planner.use(await load_catalog(connection))
        good: list[dict[str, object]] = [{"limit": 5}, {"sql": "select count(*) from t"}]
        plans = [await planner.plan(Viewer(), "t", spec) for spec in good]
        assert [await planner.plan(Viewer(), "t", spec) for spec in good] == plans
        for number in range(60):
            long = f"{number:09}" + "y" * 10_000
            await planner.plan(Viewer(), "t", {"where": [["body", "==", long]]})
            await planner.plan(Viewer(), "t", {"sql": "select id from t where body = $1", "params": [long]})
            await planner.plan(
                Viewer(), "t", {"sql": f"select id from t where n in ({', '.join(['1'] * 200)}, {number})"}
            )
            assert planner.weight <= 2 * room
        again = [await planner.plan(Viewer(), "t", spec) for spec in good]
        assert all(kept is plan for kept, plan in zip(again, plans, strict=True))
    finally:
        await reader.close()


@pytest.mark.parametrize(
    "sql",
    [
        "select id from t where n in ({values})",
        "select count(*) from (select * from t) x where n in ({values})",
        "select hidden from t where n in ({values})",
        "select id from t where n in ({values}) for update",
        "values ({values})",
        "select id from t where n in ({values}",
    ],
    ids=["accepted", "subquery", "refused", "locking", "values", "broken"],
)
async def test_sql_of_clients_leaves_no_cycles_that_only_the_garbage_collector_frees(base: str, sql: str) -> None:
    reader = Reader(base, size=2)
    await reader.open()
    try:
        planner = Planner(reader, 1 << 20)
        async with reader.connection() as connection:
            planner.use(await load_catalog(connection))
        gc.collect()
        gc.disable()
        for number in range(3):
            with suppress(QueryRejectedError):
                await planner.plan(Viewer(), "t", {"sql": sql.format(values=", ".join(map(str, range(number, 2_000))))})
        assert gc.collect() < 4_000, "fewer objects than one of these trees has"
    finally:
        gc.enable()
        await reader.close()


async def test_queries_that_were_left_are_kept_warm_within_a_bound(base: str) -> None:
    room = 1 << 20
    async with live_node(base, live=replace(QUICK, idle_ttl=600.0, idle_bytes=room)) as live:
        stays = await live.follow(Query("t", {"limit": 3}, json_rows("select * from t order by id limit 3")))
        for number in range(20):
            query = Query("t", {"where": [["n", "!=", -number]]}, json_rows("select * from t order by id"))
            follower = await live.follow(query)
            await live.check(follower)
            follower.leave()
            assert 100 * 2000 < live.live.status()["idle_bytes"] <= room
        assert live.live.status()["queries"] <= 1 + room // (100 * 2000)
        run_each(base, "delete from t where id = 1")
        await live.check(stays)


async def test_sql_whose_rows_are_too_large_together_is_refused_before_they_are_sent(base: str) -> None:
    sql = (
        "select g as id, repeat('x', 1000000) as x from t, generate_series(1, $1::int) g where t.id = 1 order by g desc"
    )
    truth = json_rows("select g as id, repeat('x', 1000000) as x from generate_series(1, 20) g order by g desc")
    async with live_node(base) as live:
        for rows in (40, 200):
            with pytest.raises(ResultTooLargeError, match="more than 33554432 bytes together") as refused:
                await live.live.subscribe(
                    Principal(), "t", {"sql": sql, "params": [rows]}, lambda subscription, event: None
                )
            assert refused.value.code == "RT_007"
        await live.check(await live.follow(Query("t", {"sql": sql, "params": [20]}, truth)))
        growing = Query("t", {"sql": "select id, repeat(body, 100) as x from t order by id"}, "")
        follower = await live.follow(growing)
        assert follower.ids == [str(number) for number in range(1, 101)]
        run_each(base, "insert into t select i, repeat('y', 2000) from generate_series(101, 200) i")
        await follower.until(lambda: follower.error is not None)
        assert "bytes together" in str(follower.error)


@pytest.mark.parametrize(
    "spec",
    [
        {"where": [["body", "in", [f"{number:03}" + "z" * 1000 for number in range(100)]]]},
        {"sql": "select id from t where body in ($1, $2)", "params": ["z" * 60_000, "y" * 60_000]},
    ],
    ids=["builder", "sql"],
)
async def test_the_values_of_a_query_share_one_bound(base: str, spec: dict[str, object]) -> None:
    async with live_node(base) as live:
        with pytest.raises(InvalidQueryError, match="characters together; at most 100000 are allowed") as refused:
            await live.live.subscribe(Principal(), "t", spec, lambda subscription, event: None)
        assert refused.value.code == "RT_007"


async def test_planning_beyond_a_connections_budget_waits_and_two_queries_are_planned_at_once() -> None:
    now = 100.0
    budget = PlanningBudget(lambda: now)
    assert budget.wait == 0
    budget.charge(4.0)
    assert budget.wait == 0
    budget.charge(3.0)
    assert budget.wait == pytest.approx(8.0)  # two seconds too many, at a quarter of a second per second
    now += 8.0
    assert budget.wait == 0
    now += 1000.0
    budget.charge(6.0)
    assert budget.wait == pytest.approx(4.0)

    free, inside, most = PlanningBudget(), 0, 0

    async def plan() -> None:
        nonlocal inside, most
        async with free.lock():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(plan() for _ in range(10)))
    assert most == 2


async def test_time_that_a_locked_table_takes_is_not_charged_to_the_connection_that_asks(base: str) -> None:
    budget = PlanningBudget()
    budget.charge(5.0)
    ASKING.set(UserAccount(budget))
    reader = Reader(base, size=2, lock_timeout_ms=2_000)
    await reader.open()
    try:
        planner = Planner(reader)
        async with reader.connection() as connection:
            planner.use(await load_catalog(connection))
        with open_transaction(base, "lock table t in access exclusive mode"), pytest.raises(TableLockedError):
            await planner.plan(Viewer(), "t", {"sql": "select id from t"})
        assert budget.wait < 4  # 6 if the time that it waited for the lock were charged
    finally:
        await reader.close()


async def test_plannings_side_by_side_are_not_charged_for_waiting_for_each_other() -> None:
    now = computed = 100.0
    budget = PlanningBudget(lambda: now, lambda: computed)
    budget.charge(5.0)
    with budget.charging(), budget.charging():  # each needs the event loop for two seconds, in turns
        now, computed = now + 4.0, computed + 4.0
    assert budget.wait == pytest.approx(4 * (4.0 - 1.0))  # two seconds each, of which one second is gained
    now += 12.0
    with budget.charging(), budget.charging():  # the database works for both at once
        now += 4.0
    assert budget.wait == pytest.approx(4 * (8.0 - 1.0))
    now += 28.0
    with budget.charging():  # alone: all that it took
        now, computed = now + 2.0, computed + 1.0
    assert budget.wait == pytest.approx(4 * (2.0 - 0.5))


async def test_an_outage_while_a_query_is_planned_costs_its_connection_no_more_than_the_slowest_query() -> None:
    now = 100.0
    budget = PlanningBudget(lambda: now)

    def planned(seconds: float, error: psycopg.Error | None = None) -> None:
        nonlocal now
        with budget.charging():
            now += seconds
            if error is not None:
                raise error

    planned(70.0)  # the server stood still, and answers in the end
    assert budget.wait == 0
    planned(4.0)
    assert budget.wait == pytest.approx(12.0)  # four seconds, of which it has gained one
    with pytest.raises(psycopg.OperationalError):
        planned(70.0, psycopg.OperationalError("server closed the connection unexpectedly"))
    assert budget.wait == 0
    with pytest.raises(psycopg.errors.QueryCanceled):
        planned(5.0, psycopg.errors.QueryCanceled("canceling statement due to statement timeout"))
    assert budget.wait == 0
    planned(1.0)
    assert budget.wait > 0  # the query that was too slow has cost what it took
