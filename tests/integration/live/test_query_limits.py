"""Each connection and each user may hold so many live queries, and no one's queries end because of another's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from engine.errors import QueryRejectedError
from engine.identity.principal import Principal
from engine.live.core.shared_query import Subscription
from engine.live.query_accounts import ConnectionAccount, QueryLimits, UserAccount
from tests.support.nodes.live_node import QUICK, LiveNode, live_node
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
