"""Each connection and each user may hold so many live queries, and no one's queries end because of another's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest

from engine.errors import QueryRejectedError
from engine.identity.principal import Principal
from engine.live.core.shared_query import Subscription
from engine.live.query_accounts import ConnectionAccount, QueryLimits, TooManyQueriesError, UserAccount
from engine.time_budget import TimeBudget
from tests.support.nodes.live_node import QUICK, Follower, LiveNode, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

LIMITS = QueryLimits(windows=3, windows_per_user=4, rereads=1, rereads_per_user=2, cost=None)


@pytest.fixture
def base(dsn: str) -> str:
    run_each(dsn, "create table t (id int primary key, n int)", "select realtime.expose('t')")
    return dsn


async def subscribe(node: LiveNode, account: ConnectionAccount, spec: Mapping[str, object]) -> Subscription:
    return await node.live.subscribe(Principal(), "t", spec, lambda *_: None, account=account)


async def refusal(node: LiveNode, account: ConnectionAccount, spec: Mapping[str, object]) -> QueryRejectedError:
    with pytest.raises(QueryRejectedError) as refused:
        await subscribe(node, account, spec)
    assert refused.value.code == "RT_006"
    return refused.value


def window(number: int) -> dict[str, object]:
    return {"where": [["n", "==", number]]}


def reread(number: int) -> dict[str, object]:
    return {"sql": "select count(*) as c from t where n = $1", "params": [number]}


async def test_a_connection_and_a_user_hold_so_many_different_queries_and_may_have_more_when_they_close_one(
    base: str,
) -> None:
    async with live_node(base, live=QUICK) as node:
        user, other = UserAccount(), UserAccount()
        first, second = ConnectionAccount(user, LIMITS), ConnectionAccount(user, LIMITS)
        held = [await subscribe(node, first, window(number)) for number in range(3)]
        await subscribe(node, first, window(2))  # the same query counts once
        refused = await refusal(node, first, window(3))
        assert "this connection has 3 live queries that are followed incrementally" in str(refused)
        assert "(max_windows); close one first" in str(refused)
        assert refused.retry_after is None, "only the client itself can make room"
        await subscribe(node, second, window(2))  # the user has it already
        await subscribe(node, second, window(3))
        refused = await refusal(node, second, window(4))
        assert "the connections of this user have 4 different" in str(refused)
        assert "max_windows_per_user" in str(refused)
        assert refused.retry_after == 10

        await subscribe(node, first, reread(0))  # counted for themselves
        assert "max_reread_queries)" in str(await refusal(node, first, reread(1)))
        await subscribe(node, second, reread(1))
        third = ConnectionAccount(user, LIMITS)
        assert "max_reread_queries_per_user" in str(await refusal(node, third, reread(2)))

        neighbour = ConnectionAccount(other, LIMITS)
        for number in range(3):  # shared with the user, whose limits are no concern of the neighbour's
            await subscribe(node, neighbour, window(number))
        await refusal(node, neighbour, window(3))
        assert len(other.queries) == 3

        held[0].cancel()
        await subscribe(node, first, window(5))
        assert len(user.queries) == 6
        assert node.live.status()["queries"] == 3 + 1 + 2 + 1, "what was refused is not kept"


async def test_a_query_that_fails_or_ends_counts_no_more(base: str) -> None:
    async with live_node(base, live=QUICK) as node:
        account = ConnectionAccount(UserAccount(), LIMITS)
        held = await subscribe(node, account, window(1))
        held.begin()
        for _ in range(5):
            with pytest.raises(QueryRejectedError) as refused:
                await subscribe(
                    node, account, {"sql": "select 1 / n as x, count(*) from t group by n having 1 / 0 > n"}
                )
            assert refused.value.code == "RT_007"
        assert len(account.queries) == len(account.user.queries) == 1
        run_each(base, "drop table t")
        await node.caught_up()
        assert not account.queries
        assert not account.user.queries


async def test_a_query_that_is_re_read_may_not_cost_more_than_the_ceiling_when_it_is_subscribed_to(base: str) -> None:
    run_each(base, "alter table t set (autovacuum_enabled = off)")  # a vacuum makes the index cheaper
    run_each(base, "insert into t select i, i from generate_series(1, 2000) i", "analyze t")
    limits, cheaper = QueryLimits(cost=20.0), QueryLimits(cost=5.0)
    by_index = {"sql": "select count(*) as c from t where id = 7"}
    by_scan = {"sql": "select count(*) as c from t where n > $1", "params": [7]}
    async with live_node(base, live=QUICK) as node:
        account = ConnectionAccount(UserAccount(), limits)
        await subscribe(node, account, by_index)
        await subscribe(node, account, {"where": [["n", ">", 7]]})  # incremental: it is read once
        with pytest.raises(
            QueryRejectedError, match=r"at [34]\d, and at most 20 is allowed \(max_query_cost\)"
        ) as refused:
            await subscribe(node, account, by_scan)
        assert refused.value.code == "RT_007"
        with pytest.raises(QueryRejectedError, match="max_query_cost"):  # the plan is known by now
            await subscribe(node, account, by_scan)
        with pytest.raises(QueryRejectedError, match="at most 20 is"):  # a count is a query like others
            await subscribe(node, account, {"where": [["n", ">", 7]], "count": True})
        await subscribe(node, ConnectionAccount(UserAccount(), QueryLimits(cost=None)), by_scan)
        with pytest.raises(QueryRejectedError, match="at most 5 is"):
            await subscribe(node, ConnectionAccount(UserAccount(), cheaper), by_index)


async def test_a_query_goes_on_when_its_table_has_grown_beyond_the_ceiling(base: str) -> None:
    run_each(base, "insert into t values (1, 1)", "analyze t")
    async with live_node(base, live=QUICK) as node:
        query = Query(
            "t",
            {"sql": "select max(n) as m, count(*) as c from t"},
            json_rows("select max(n) as m, count(*) as c from t"),
        )
        follower = await node.follow(query, account=ConnectionAccount(UserAccount(), QueryLimits(cost=50.0)))
        run_each(base, "insert into t select i, i from generate_series(2, 5000) i", "analyze t")
        run_each(base, "alter table t add column more int")  # it is planned again
        run_each(base, "update t set n = 9999 where id = 1")
        await node.check(follower)


async def test_a_read_has_bounded_memory_and_temporary_files(base: str) -> None:
    """A sort that fits neither is refused; where only the memory is exceeded, it is slower."""
    run_each(base, "insert into t select g, g from generate_series(1, 50000) g")
    spec = {"sql": "select count(distinct n::text || repeat('x', 100)) as c from t"}
    account = ConnectionAccount(UserAccount(), QueryLimits(3, 3, 3, 3, None))
    async with live_node(base, live=replace(QUICK, read_memory=1, read_temporary=1)) as node:
        with pytest.raises(
            QueryRejectedError, match=r'temporary file size exceeds "temp_file_limit" \(1024kB\)'
        ) as refused:
            await subscribe(node, account, spec)
        assert refused.value.code == "RT_007"
    async with live_node(base, live=replace(QUICK, read_memory=1)) as node:
        await subscribe(node, account, spec)


def shows(follower: Follower, value: bytes) -> bool:
    return value in follower.list[0][1]


async def test_a_list_that_waits_too_long_for_the_budget_of_its_user_ends_and_others_go_on(base: str) -> None:
    """The budget's clock stands still, and no wait is allowed, so the first look ends the list."""
    run_each(base, "insert into t values (1, 1)")
    greedy, frugal = (UserAccount(rereads=TimeBudget(0.1, 1.0, lambda: 100.0)) for _ in range(2))
    most, least = (
        Query("t", {"sql": f"select {name}(n) as n from t"}, json_rows(f"select {name}(n) as n from t"))
        for name in ("max", "min")
    )
    async with live_node(base, live=replace(QUICK, reread_wait=0.0)) as node:
        own = await node.follow(most, account=ConnectionAccount(greedy))
        other = await node.follow(least, account=ConnectionAccount(frugal))
        await node.check(own, other)
        greedy.rereads.charge(1000.0)
        run_each(base, "update t set n = 2")
        await own.until(lambda: own.error is not None)
        assert isinstance(own.error, TooManyQueriesError)
        assert own.error.code == "RT_006"
        assert own.error.retry_after == 10.0
        await other.until(partial(shows, other, b"2"))
        await node.check(other)


async def test_a_users_lists_wait_for_its_budget_and_a_list_that_another_user_has_too_does_not(base: str) -> None:
    """The budgets' clock stands still until the test sets it on."""
    run_each(base, "insert into t values (1, 1)")
    now = 100.0
    greedy, frugal = (UserAccount(rereads=TimeBudget(0.1, 1.0, lambda: now)) for _ in range(2))
    most, least = (
        Query("t", {"sql": f"select {name}(n) as n from t"}, json_rows(f"select {name}(n) as n from t"))
        for name in ("max", "min")
    )
    async with live_node(base, live=QUICK) as node:
        own = await node.follow(most, account=ConnectionAccount(greedy))
        shared = [await node.follow(least, account=ConnectionAccount(user)) for user in (greedy, frugal)]
        await node.check(own, *shared)
        greedy.rereads.charge(1000.0)
        run_each(base, "update t set n = 2")
        for follower in shared:
            await follower.until(partial(shows, follower, b"2"))
        run_each(base, "update t set n = 3")
        for follower in shared:
            await follower.until(partial(shows, follower, b"3"))
        assert b"1" in own.list[0][1], "it is as of its last read"
        joined = await node.follow(most, account=ConnectionAccount(frugal))
        await node.check(own, joined, *shared)
        joined.leave()
        run_each(base, "update t set n = 4")
        for follower in shared:
            await follower.until(partial(shows, follower, b"4"))
        assert b"3" in own.list[0][1]
        now += 100_000.0
        await node.check(own, *shared)


async def test_of_a_user_who_has_had_much_done_no_query_is_begun_before_its_turn(base: str) -> None:
    async with live_node(base, live=QUICK) as node:
        user, other = UserAccount(), UserAccount()
        user.work.charge(3600.0)
        turns = node.live._reader.turns
        turns._rest = asyncio.get_running_loop().call_later(3600, turns._do_behind)
        waiting = asyncio.create_task(subscribe(node, ConnectionAccount(user, LIMITS), window(1)))
        held = await subscribe(node, ConnectionAccount(other, LIMITS), window(2))
        assert [query.spec for query in node.live.queries] == [window(2)], "neither planned nor read"
        turns._rest.cancel()
        turns._do_behind()
        assert (await waiting).query.spec == window(1)
        held.cancel()
