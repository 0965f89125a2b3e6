"""Slow queries and locked tables leave room for everybody else, and what they end with reports why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Mapping, Sequence
from dataclasses import replace

import psycopg
import pytest
from structlog.testing import capture_logs

from engine.errors import RealtimeError
from engine.live.query_accounts import ConnectionAccount, UserAccount
from engine.postgres.errors import TableLockedError
from engine.postgres.read_lanes import Lanes
from engine.work_turns import User
from tests.support.nodes.live_node import DAWDLING, QUICK, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import GIVE_UP_AFTER, open_transaction, read, run_each, until

TABLES = """
create table a (id int primary key, x int not null);
create table b (id int primary key, x int not null);
select realtime.expose('a');
select realtime.expose('b');
insert into a select i, i from generate_series(1, 12) i;
insert into b select i, i from generate_series(1, 3) i
"""
LOCK = "lock table a in access exclusive mode"
ON_B = Query("b", {"sql": "select sum(x) as s from b"}, json_rows("select sum(x) as s from b"))
READERS = "select from pg_stat_activity where datname = current_database() and application_name = 'realtime reader'"


@pytest.fixture
def base(dsn: str) -> str:
    run_each(dsn, *TABLES.split(";"))
    return dsn


def on_a(number: int, form: str) -> Query:
    if form == "sql":
        spec: dict[str, object] = {"sql": f"select sum(x) as s from a where x > {number}"}
        return Query("a", spec, json_rows(f"select sum(x) as s from a where x > {number}"))
    return Query("a", {"where": [["x", ">", number]]}, json_rows(f"select * from a where x > {number} order by id"))


@pytest.mark.parametrize("form", ["builder", "sql"])
async def test_queries_on_a_locked_table_leave_others_their_turn(base: str, form: str) -> None:
    async with live_node(base) as play:
        with open_transaction(base, LOCK) as blocker:
            waiting = [asyncio.create_task(play.follow(on_a(number, form))) for number in range(12)]
            await until(lambda: read(base, f"{READERS} and wait_event_type = 'Lock'"))
            other = await play.follow(ON_B)
            assert not any(task.done() for task in waiting)
            await other.until(lambda: other.documents() == [{"s": 6}])
            blocker.rollback()
        async with asyncio.timeout(GIVE_UP_AFTER):
            followers = await asyncio.gather(*waiting)
        run_each(base, "update a set x = x + 1", "update b set x = x + 1")
        await play.check(other, *followers)


@pytest.mark.long
async def test_a_subscription_to_a_locked_table_is_refused_for_the_moment_with_the_reason(base: str) -> None:
    async with live_node(base) as play:
        with open_transaction(base, LOCK), capture_logs() as logs:
            pid = read(
                base, "select pid from pg_locks where mode = 'AccessExclusiveLock' and relation = 'a'::regclass"
            )[0][0]
            async with asyncio.TaskGroup() as group:
                refusals = [group.create_task(refusal(play.follow(on_a(1, form)))) for form in ("builder", "sql")]
            for task in refusals:
                assert task.result().code == "RT_001"
                assert "a table it needs is locked" in str(task.result())
        assert any(f"public.a is locked by process {pid}" in entry.get("error", "") for entry in logs)
        await play.check(await play.follow(on_a(1, "builder")), await play.follow(on_a(1, "sql")))


async def refusal(subscribing: Awaitable[object]) -> RealtimeError:
    with pytest.raises(RealtimeError) as refused:
        await subscribing
    return refused.value


async def test_queries_that_have_become_slow_leave_others_their_turn(base: str) -> None:
    run_each(base, DAWDLING)
    # A timeout so large that on whatever connection one of them reads, it stays.
    async with live_node(base, live=replace(QUICK, read_timeout_ms=300_000, quick_timeout_ms=2_000)) as play:
        slow = [
            await play.follow(Query("a", {"sql": f"select count(*) from a where dawdling(x) <> {number}"}, ""))
            for number in range(8)
        ]
        run_each(base, "insert into a values (100, 100)")
        await until(lambda: read(base, f"{READERS} and wait_event = 'PgSleep'"))
        # Each of them is read again and cut off; then there are so many that take their time.
        await until(lambda: play.live.status()["reads"] >= 8 + 8 + 2)
        for number in range(3):
            query = f"select sum(x) as s from b where x > {number - 10}"
            other = await play.follow(Query("b", {"sql": query}, json_rows(query)))
            run_each(base, f"update b set x = {number} where id = 1")
            await other.until(lambda: other.events > 1)
        assert {follower.events for follower in slow} == {1}
        assert all(follower.error is None for follower in slow)


@pytest.mark.long
async def test_a_query_that_keeps_timing_out_is_tried_less_and_less_often(base: str) -> None:
    run_each(base, DAWDLING)
    query = "select count(*) as n from a where dawdling(x) <> 0"
    async with live_node(base, live=replace(QUICK, read_timeout_ms=2_000, quick_timeout_ms=1_800)) as play:
        with capture_logs() as logs:
            slow = await play.follow(Query("a", {"sql": query}, json_rows(query)))
            run_each(base, "insert into a values (100, 100)")
            await until(lambda: len(pauses(logs)) >= 3)
        first, second, third = pauses(logs)[:3]
        assert first <= second <= third > first  # as logged: at random between a half and the whole, rounded
        run_each(base, "delete from a where id >= 100")
        await slow.until(lambda: slow.error is not None or slow.events >= 1)
        await play.check(slow)


def pauses(logs: Sequence[Mapping[str, object]]) -> list[float]:
    return [float(str(entry["next_attempt_in"])) for entry in logs if entry["event"] == "query_times_out"]


async def test_a_result_with_too_many_rows_is_refused_with_the_code_that_is_documented(base: str) -> None:
    async with live_node(base, live=replace(QUICK, max_rows=5)) as play:
        for spec in (
            {},
            {"limit": 1000},
            {"sql": "select x from a"},
            {"sql": "select x from a limit 1000000000"},
            {"sql": "select x, count(*) from a group by x"},
        ):
            refused = await refusal(play.follow(Query("a", spec, "")))
            assert refused.code == "RT_007"
            assert "more than 5 rows" in str(refused)


async def test_readers_of_a_locked_table_wait_for_the_one_that_tries() -> None:
    lanes = Lanes(4)
    lanes.lock([1])
    entered: list[str] = []
    go = asyncio.Event()

    async def reading(name: str, tables: set[int], *, locked: bool = False) -> None:
        async with lanes.enter(tables):
            entered.append(name)
            if name == "first":
                await go.wait()
            if locked:
                raise TableLockedError("by another")

    first = asyncio.create_task(reading("first", {1, 2}, locked=True))
    await asyncio.sleep(0)
    others = [asyncio.create_task(reading(f"other {number}", {1})) for number in range(10)]
    await reading("elsewhere", {2, 3})
    assert entered == ["first", "elsewhere"]
    go.set()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert [str(each) for each in found] == ["by another"] * 11
    await reading("later", {1})
    await asyncio.gather(*[reading(f"again {number}", {1}) for number in range(10)])
    assert len(entered) == 13


@pytest.mark.parametrize("form", ["builder", "sql"])
async def test_rows_that_wait_for_the_turn_of_a_busy_user_keep_no_others_from_reading(
    base: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_node(base, live=replace(QUICK, readers=2)) as play:  # one of them in either lane
        turns, account = play.live._reader.turns, ConnectionAccount(UserAccount())
        do, waits, turn = turns.do, asyncio.Event(), asyncio.Event()

        async def withheld(steps: Generator[None, None, object], user: User | None = None, **how: bool) -> object:
            if user is account.user:
                waits.set()
                await turn.wait()
            return await do(steps, user, **how)

        monkeypatch.setattr(turns, "do", withheld)
        async with asyncio.timeout(GIVE_UP_AFTER):
            busy = asyncio.create_task(play.follow(on_a(1, form), account=account))
            await waits.wait()
            other = await play.follow(ON_B)
            turn.set()
            await play.check(other, await busy)


async def test_slow_reads_have_a_quarter_of_the_turns() -> None:
    lanes = Lanes(8)
    inside: list[bool] = []
    go = asyncio.Event()

    async def reading(slow: bool) -> None:
        async with lanes.enter(set(), slow=slow):
            inside.append(slow)
            await go.wait()

    tasks = [asyncio.create_task(reading(slow)) for slow in [True] * 20 + [False] * 20]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (inside.count(True), inside.count(False)) == (2, 6)
    go.set()
    await asyncio.gather(*tasks)
    assert len(inside) == 40


def test_errors_of_the_database_are_sorted_by_whose_fault_they_are() -> None:
    from engine.postgres.errors import AWAY, is_clients

    for state in ("25006", "25P03", "25P04", "40001", "53100", "53300", "55P03", "57014", "57P01", "57P05", "58030"):
        assert issubclass(psycopg.errors.lookup(state), AWAY), state
        assert not is_clients(psycopg.errors.lookup(state)("")), state
    for state in ("22P02", "22021", "23514", "23505", "54000", "P0001"):
        assert not issubclass(psycopg.errors.lookup(state), AWAY) or state == "54000", state
        assert is_clients(psycopg.errors.lookup(state)("")), state
    assert is_clients(psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"))
    assert not is_clients(psycopg.OperationalError("the connection is lost"))
