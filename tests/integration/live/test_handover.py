"""From a snapshot to the stream: whatever commits around a subscription's start reaches it once and whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from engine.live.service import LiveSettings
from engine.tasks import end
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.nodes.live_node import Follower, LiveNode, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, open_transaction, run_each, until

ACCOUNTS = 40
WRITERS = 4
SUBSCRIPTIONS = 200

TABLE = """
create table accounts (id int primary key, owner int not null, x int not null);
select realtime.expose('accounts')
"""
EVERYTHING = Query("accounts", {"orderBy": [["id", "asc"]]}, json_rows("select id, owner, x from accounts order by id"))
SUM = Query(
    "accounts",
    {"sql": "select sum(x) as total, sum(x * x) as squares from accounts"},
    json_rows("select sum(x) as total, sum(x * x) as squares from accounts"),
)


def richest(number: int) -> Query:
    """An incremental query with a limit."""
    return Query(
        "accounts",
        {"orderBy": [["x", "desc"]], "limit": number},
        json_rows(f"select id, owner, x from accounts order by x desc, id limit {number}"),
    )


def of_owner(owner: int) -> Query:
    """An incremental query without limit whose members change."""
    return Query(
        "accounts",
        {"where": [["owner", "==", owner]], "orderBy": [["x", "asc"]]},
        json_rows(f"select id, owner, x from accounts where owner = {owner} order by x, id"),
    )


@pytest.fixture(params=["own18-pgoutput", "own15-wal2json"])
def bank(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    """A database with accounts whose x always add up to nothing, and the decoder to follow it with."""
    name, decoder = request.param.split("-")
    server: LocalPostgres = request.getfixturevalue(name)
    accounts = f"insert into accounts select i, i % 5, 0 from generate_series(1, {ACCOUNTS}) i"
    with database_on(server, TABLE, accounts) as dsn:
        yield dsn, decoder


def adds_up(documents: list[Any]) -> None:
    """No transaction changes the sum, so a list that shows part of one does not add up."""
    assert sum(document["x"] for document in documents) == 0


def total_is_nothing(documents: list[Any]) -> None:
    assert documents[0]["total"] == 0


def transaction(chance: random.Random, lane: int) -> str:
    """One statement's worth of a transaction, on rows of one writer so that no writer waits; the sum of x stays."""
    low, high = sorted(chance.sample(range(lane + 1, ACCOUNTS + 1, WRITERS), 2))
    extra = 1000 + lane * 1000 + chance.randrange(30) * 2
    amount = chance.randrange(1, 100)
    return chance.choice(
        [
            f"update accounts set x = x + case id when {low} then {amount} else -{amount} end where id in ({low}, {high})",
            f"update accounts set owner = {chance.randrange(5)} where id = {low}",
            f"insert into accounts values ({extra}, {chance.randrange(5)}, {amount}), ({extra + 1}, 1, -{amount}) "
            "on conflict do nothing",
            f"delete from accounts where id in ({extra}, {extra + 1})",
            f"update accounts set id = id + 100000 where id in ({extra}, {extra + 1}); "
            f"delete from accounts where id in ({extra + 100000}, {extra + 100001})",
        ]
    )


async def write_on(dsn: str, lane: int, stop: asyncio.Event) -> int:
    """Commit transactions of one to five statements until asked to stop; returns how many."""
    chance = random.Random(lane)
    commits = 0
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while not stop.is_set():
            statements = "; ".join(transaction(chance, lane) for _ in range(chance.randrange(1, 6)))
            await connection.execute(f"begin; {statements}; {chance.choice(['commit'] * 9 + ['rollback'])}".encode())
            commits += 1
    return commits


async def visit(play: LiveNode, number: int, places: asyncio.Semaphore, stayed: list[Follower]) -> None:
    """Subscribe, follow for some events, and leave; every tenth stays."""
    chance = random.Random(number)
    query, inspect = chance.choice(
        [
            (EVERYTHING, adds_up),
            (SUM, total_is_nothing),
            (richest(chance.choice([3, 10, 25])), None),
            (of_owner(chance.randrange(5)), None),
        ]
    )
    async with places:
        follower = await play.follow(query, inspect)
        if number % 10 == 0:
            stayed.append(follower)
            return
        wanted = follower.events + chance.randrange(4)
        await follower.until(lambda: follower.events >= wanted)
        follower.leave()
    assert not follower.failures, follower.failures[0]


async def test_subscriptions_that_start_while_writers_commit_miss_and_double_nothing(bank: tuple[str, Any]) -> None:
    dsn, decoder = bank
    async with live_node(dsn, decoder=decoder) as play:
        stop = asyncio.Event()
        writers = [asyncio.create_task(write_on(dsn, lane, stop)) for lane in range(WRITERS)]
        stayed: list[Follower] = []
        places = asyncio.Semaphore(20)
        try:
            async with asyncio.timeout(GIVE_UP_AFTER), asyncio.TaskGroup() as visits:
                for number in range(SUBSCRIPTIONS):
                    visits.create_task(visit(play, number, places, stayed))
        finally:
            stop.set()
            commits = await asyncio.gather(*writers)
        assert min(commits) > 0
        assert len(stayed) == SUBSCRIPTIONS // 10
        await play.check(*stayed)


async def each_kind(play: LiveNode) -> list[Follower]:
    """A follower of each kind of query."""
    return [
        await play.follow(EVERYTHING, adds_up),
        await play.follow(SUM, total_is_nothing),
        await play.follow(richest(3)),
        await play.follow(of_owner(1)),
    ]


async def test_a_transaction_that_wrote_before_the_snapshot_and_commits_after_it(bank: tuple[str, Any]) -> None:
    dsn, decoder = bank
    async with live_node(dsn, decoder=decoder) as play:
        with open_transaction(dsn, "insert into accounts values (501, 1, 9), (502, 2, -9)") as early:
            followers = await each_kind(play)
            early.execute("update accounts set owner = 1 where id = 502")
            run_each(dsn, "update accounts set x = case id when 1 then 5 else -5 end where id in (1, 2)")
            early.commit()
        await play.check(*followers)
        assert {follower.resets for follower in followers} == {1}


async def test_transactions_that_begin_after_the_snapshot(bank: tuple[str, Any]) -> None:
    dsn, decoder = bank
    async with live_node(dsn, decoder=decoder) as play:
        followers = await each_kind(play)
        with open_transaction(dsn, "insert into accounts values (501, 1, 9), (502, 2, -9)") as late:
            late.execute("savepoint s")
            late.execute("delete from accounts")
            late.execute("rollback to s")
            late.commit()
        await play.check(*followers)


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_transaction_prepared_before_the_snapshot_and_ended_after_it(bank: tuple[str, Any], end: str) -> None:
    dsn, decoder = bank
    async with live_node(dsn, decoder=decoder) as play:
        run_each(
            dsn,
            "begin; insert into accounts values (501, 1, 9), (502, 2, -9); delete from accounts where id = 3; "
            "prepare transaction 'p'",
        )
        followers = await each_kind(play)
        run_each(
            dsn, "update accounts set x = case id when 1 then 5 else -5 end where id in (1, 2)", f"{end} prepared 'p'"
        )
        await play.check(*followers)


LARGE = 2000


def pair(number: int) -> Query:
    """Two rows that add up to nothing and stand far apart in a transaction that writes the whole table."""
    few = [number, LARGE + 1 - number]
    return Query(
        "accounts",
        {"where": [["id", "in", few]], "orderBy": [["id", "asc"]]},
        json_rows(f"select id, owner, x from accounts where id in ({few[0]}, {few[1]}) order by id"),
    )


async def come_and_go(play: LiveNode, lane: int, stop: asyncio.Event) -> int:
    """Subscribe, pause, resume and leave, over and over; returns how often."""
    visits = 0
    while not stop.is_set():
        visits += 1
        followers = [
            await play.follow(pair(lane * 100 + visits % 50 + 1), adds_up),
            await play.follow(SUM, total_is_nothing),
        ]
        for each in followers:
            assert each.subscription is not None
            each.subscription.pause()
        await asyncio.sleep(0)
        for each in followers:
            assert each.subscription is not None
            each.subscription.resume()
        await asyncio.sleep(0)
        for each in followers:
            each.leave()
            assert not each.failures, each.failures[0]
    return visits


@pytest.mark.long
@pytest.mark.parametrize("transactions", [1, 50])
async def test_nothing_of_a_large_transaction_is_shown_before_all_of_it(
    bank: tuple[str, Any], transactions: int
) -> None:
    """100,000 changes in one transaction, or in several that follow each other closely."""
    dsn, decoder = bank
    run_each(
        dsn,
        "truncate accounts",
        f"insert into accounts select i, i % 5, case when i <= {LARGE // 2} then 1 else -1 end "
        f"from generate_series(1, {LARGE}) i",
    )
    flip = "update accounts set x = -x"
    async with live_node(dsn, decoder=decoder) as play:
        stayed = [await play.follow(pair(number), adds_up) for number in (1, 500, 1000)]
        stop = asyncio.Event()
        coming = [asyncio.create_task(come_and_go(play, lane, stop)) for lane in range(8)]
        if transactions == 1:
            await asyncio.to_thread(run_each, dsn, "do $$ begin for i in 1..50 loop " + flip + "; end loop; end $$")
        else:
            await asyncio.to_thread(run_each, dsn, *[flip] * 50)
        await play.caught_up()
        stop.set()
        assert min(await asyncio.gather(*coming)) > 1
        await play.check(*stayed)


async def test_a_thousand_subscribers_of_one_query_share_one_read(dsn: str) -> None:
    run_each(dsn, *TABLE.split(";"), "insert into accounts values (1, 1, 0)")
    async with live_node(dsn, live=LiveSettings(idle_ttl=0.0)) as play:
        before = play.live.status()["reads"]
        async with asyncio.timeout(GIVE_UP_AFTER):
            followers = await asyncio.gather(*(play.follow(EVERYTHING) for _ in range(1000)))
        status = play.live.status()
        assert (status["queries"], status["subscriptions"], status["reads"] - before) == (1, 1000, 1)
        run_each(dsn, "insert into accounts values (2, 1, 0)")
        await play.check(followers[0], followers[-1])
        assert {tuple(follower.ids) for follower in followers} == {("1", "2")}
        for follower in followers:
            follower.leave()
        await asyncio.sleep(0)


async def test_giving_up_while_subscribing_leaves_nothing_behind(dsn: str) -> None:
    run_each(dsn, *TABLE.split(";"), "insert into accounts values (1, 1, 0)")
    async with live_node(dsn) as play:
        with connect(dsn) as blocker:
            blocker.execute("begin; lock table accounts in access exclusive mode")
            waiting = [asyncio.create_task(play.follow(query)) for query in (EVERYTHING, SUM, richest(3)) * 5]
            await until(lambda: play.live.status()["queries"])
            async with asyncio.timeout(GIVE_UP_AFTER):
                await end(waiting)
            blocker.execute("rollback")
        await without_queries(play)
        follower = await play.follow(EVERYTHING)
        await play.check(follower)
        follower.leave()
        await without_queries(play)


async def without_queries(play: LiveNode) -> None:
    """Wait until no query is left, and see that nothing else is."""
    await until(lambda: not any(play.live.status()[name] for name in ("queries", "subscriptions", "refreshing")))
    dispatcher = play.live._dispatcher
    assert not dispatcher._tables
    assert not dispatcher._owners
    assert not dispatcher._catching_up
    assert not dispatcher._dirty
    assert not play.live._refresher._states
    assert not play.live._queries._idle
