"""What can happen to a service that runs: all clients end with the rows of the query, and none starts over."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from engine.errors import QueryRejectedError
from server.cli.local_postgres import LocalPostgres
from tests.support.nodes.live_node import (
    DAWDLING,
    QUICK,
    Follower,
    LiveNode,
    drop_slot,
    held,
    json_rows,
    live_node,
    terminate,
)
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, open_transaction, run_each, until

TABLE = """
create table t (id int primary key, x int not null);
select realtime.expose('t');
insert into t select i, i * 10 from generate_series(1, 12) i
"""
EVERYTHING = Query("t", {"orderBy": [["id", "asc"]]}, json_rows("select * from t order by id"))
TOP = Query("t", {"orderBy": [["x", "desc"]], "limit": 3}, json_rows("select * from t order by x desc, id limit 3"))
FEW = Query("t", {"sql": "select id, x from t where x < 50"}, json_rows("select * from t where x < 50 order by id"))
CUT_OFF = ("query_times_out", "query_unreadable")
SUM = Query("t", {"sql": "select sum(x) as s from t"}, json_rows("select sum(x) as s from t"))


@pytest.fixture
def base(dsn: str) -> str:
    run_each(dsn, *TABLE.split(";"))
    return dsn


async def everyone(play: LiveNode) -> list[Follower]:
    """A follower of each kind of query."""
    return [await play.follow(query) for query in (EVERYTHING, TOP, FEW, SUM)]


async def go_on(play: LiveNode, followers: list[Follower], first: int) -> None:
    """Later changes reach those who stayed, without a reset, and newcomers."""
    run_each(
        play.dsn, f"insert into t values ({first}, 500), ({first + 1}, 1)", f"delete from t where id = {first + 1}"
    )
    run_each(play.dsn, f"update t set x = x + 1000 where id = {first}")
    newcomers = await everyone(play)
    await play.check(*followers, *newcomers)
    assert {follower.resets for follower in followers} == {1}
    for newcomer in newcomers:
        newcomer.leave()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_postgres(base: str, own18: LocalPostgres, mode: str) -> None:
    async with live_node(base) as play:
        followers = await everyone(play)
        run_each(base, "update t set x = 7 where id = 3")
        await asyncio.to_thread(own18.stop, mode)
        await until(lambda: play.feed.state.status == "reconnecting")
        await asyncio.to_thread(own18.start)
        newcomers = await everyone(play)
        await play.check(*followers, *newcomers)
        await go_on(play, followers, 100)
        await play.check(*newcomers)


async def test_a_query_asked_for_while_postgres_is_down_is_answered_when_it_is_back(
    base: str, own18: LocalPostgres
) -> None:
    async with live_node(base) as play:
        followers = await everyone(play)
        await asyncio.to_thread(own18.stop)
        coming = [asyncio.create_task(play.follow(query)) for query in (EVERYTHING, TOP, FEW, SUM)]
        await until(lambda: play.feed.state.status == "reconnecting")
        await asyncio.to_thread(own18.start)
        async with asyncio.timeout(GIVE_UP_AFTER):
            newcomers = await asyncio.gather(*coming)
        await go_on(play, followers, 100)
        await play.check(*newcomers)


async def test_a_query_asked_for_while_postgres_stays_down_is_refused_for_the_moment_only(
    base: str, own18: LocalPostgres
) -> None:
    async with live_node(base, live=replace(QUICK, read_timeout_ms=5_000)) as play:
        followers = await everyone(play)
        await asyncio.to_thread(own18.stop)
        new = Query("t", {"sql": "select max(x) as m from t"}, json_rows("select max(x) as m from t"))
        coming = [asyncio.create_task(play.follow(query)) for query in (TOP, new)]
        refused = await asyncio.gather(*coming, return_exceptions=True)
        await asyncio.to_thread(own18.start)
        assert isinstance(refused[0], Follower)  # others have it already
        assert isinstance(refused[1], QueryRejectedError)
        assert refused[1].code == "RT_001"
        await go_on(play, followers, 100)


async def test_a_walsender_that_is_terminated_again_and_again(base: str) -> None:
    async with live_node(base) as play:
        followers = await everyone(play)
        for number in range(4):
            run_each(base, f"insert into t values ({200 + number}, {number})")
            await until(lambda: terminate(base, "realtime feed%"))
            run_each(base, f"update t set x = x + 1 where id = {200 + number}")
        await play.check(*followers)
        await go_on(play, followers, 100)


async def test_a_dropped_slot_costs_one_difference(base: str) -> None:
    async with live_node(base) as play:
        followers = await everyone(play)
        with open_transaction(base, "insert into t values (50, 50)") as blocker:  # the new slot has to wait for it
            await asyncio.to_thread(drop_slot, base, play.slot)
            for number in range(4):
                run_each(base, f"insert into t values ({200 + number}, {number - 10})")
            run_each(base, "update t set x = 9999 where id = 2")
            blocker.commit()
        await until(lambda: play.feed.state.status == "streaming" and play.feed.state.reason is None)
        for follower in followers:
            await follower.until(lambda: follower.events > 1)
        await play.check(*followers)
        assert [follower.events for follower in followers] == [2, 2, 2, 2]
        await go_on(play, followers, 100)


async def test_a_commit_that_the_new_slot_missed_before_it_became_visible(base: str) -> None:
    """It is in the WAL before the slot's start, and invisible when everything is read again."""
    async with live_node(base) as play:
        followers = await everyone(play)
        with open_transaction(base, "insert into t values (50, 50)") as first:
            await asyncio.to_thread(drop_slot, base, play.slot)
            await until(lambda: blocked_slot(base))
            with open_transaction(base, "insert into t values (51, 51)") as second:
                first.commit()
                await until(lambda: blocked_slot(base, by=second.info.backend_pid))
                async with held(base, "insert into t values (52, 2)") as release:
                    second.commit()
                    await followers[0].until(lambda: followers[0].events > 1)
                    await release()
                    await followers[0].until(lambda: "52" in followers[0].ids)
        await play.check(*followers)
        await go_on(play, followers, 100)


def blocked_slot(dsn: str, by: int | None = None) -> bool:
    """Whether the making of a slot waits for a transaction (of backend ``by``)."""
    with connect(dsn) as sql:
        rows = sql.execute(
            "select pg_blocking_pids(pid) from pg_stat_activity where application_name like 'realtime feed%'"
        ).fetchall()
    return any(pids if by is None else by in pids for (pids,) in rows)


async def test_connections_of_the_readers_are_terminated(base: str) -> None:
    async with live_node(base) as play:
        followers = await everyone(play)
        for number in range(10):
            run_each(
                base, f"insert into t values ({200 + number}, {number})", f"delete from t where id = {13 - number}"
            )
            terminate(base, "realtime reader")
            new = f"select id, x from t where x < {number + 20}"  # has to be planned
            newcomers = [
                *await everyone(play),
                await play.follow(Query("t", {"sql": new}, json_rows(new + " order by id"))),
                await play.follow(
                    Query(
                        "t",
                        {"sql": f"with s as ({new}) select id from s"},
                        json_rows(f"select id from t where x < {number + 20} order by id"),
                    )
                ),
            ]
            terminate(base, "realtime reader")
            await play.check(*newcomers)
            for newcomer in newcomers:
                newcomer.leave()
        await play.check(*followers)
        await go_on(play, followers, 100)


async def test_reads_that_take_too_long_are_tried_again(base: str) -> None:
    run_each(base, "create table u (id int primary key)", "select realtime.expose('u')")
    product = "select sum(x) as s from t, u"
    async with live_node(base, live=replace(QUICK, read_timeout_ms=2_000)) as play:
        followers = [*await everyone(play), await play.follow(Query("t", {"sql": product}, json_rows(product)))]
        locked = open_transaction(base, "lock table t in access exclusive mode", "delete from t where id > 4")
        with locked as blocker, capture_logs() as logs:
            run_each(base, "insert into u values (1)")  # a read that finds the lock
            await until(lambda: any(entry["event"] in CUT_OFF for entry in logs))
            blocker.commit()
        await play.check(*followers)
        await go_on(play, followers, 100)


WRITING = """
create table audit (a int);
create sequence numbers;
grant insert on audit to realtime_reader;
grant usage on sequence numbers to realtime_reader;
create function note(a int) returns int language plpgsql as $$ begin insert into audit values (a); return a; end $$;
create function noted(a int) returns int language plpgsql immutable as $$ begin return note(a); end $$;
create function numbered(a int) returns bigint language plpgsql immutable as $$ begin return nextval('numbers'); end $$;
create function inserted(a int) returns int language plpgsql immutable
  as $$ begin insert into audit values (a); return a; end $$;
grant execute on function noted(int), numbered(int), inserted(int) to realtime_reader
"""


async def test_a_query_that_writes_is_refused_for_that_and_for_good(base: str) -> None:
    run_each(base, WRITING)
    async with live_node(base) as play:
        for call, reason in (
            ("noted(x)", "^the query writes, by a function that it calls, and may only read: cannot execute INSERT"),
            ("numbered(x)", r"^the query writes.*cannot execute nextval\(\)"),
            ("noted(5)", "^the query writes.*cannot execute INSERT"),  # while it is planned
            ("numbered(5)", r"^the query writes.*cannot execute nextval\(\)"),
            ("inserted(x)", "INSERT is not allowed in a non-volatile function"),
            ("nextval('numbers')", r"names an object of the database \(as .*the sequence of nextval\(\)"),
        ):
            with pytest.raises(QueryRejectedError, match=reason) as refused:
                await play.follow(Query("t", {"sql": f"select id, {call} as y from t"}, ""))
            assert refused.value.code == "RT_007"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("chr(id - id)", "null character not permitted"),
        ("length(repeat(t.x::text, 600000000))", "requested length too large"),
        ("repeat('[', id * 100000)::json", "stack depth limit exceeded"),
        ("to_tsquery(repeat('!', 50000) || 'a')", "tsquery stack too small"),
    ],
)
async def test_a_value_beyond_a_limit_of_postgresql_is_the_querys_fault_and_no_outage(
    base: str, value: str, reason: str
) -> None:
    async with live_node(base) as play:
        with pytest.raises(QueryRejectedError, match=reason) as refused:
            await play.follow(Query("t", {"sql": f"select id, {value} as y from t"}, ""))
        assert refused.value.code == "RT_007"
        later = f"select id, case when x > 1000 then ({value})::text else '' end as y from t"
        follower = await play.follow(Query("t", {"sql": later}, json_rows("select id, '' as y from t order by id")))
        run_each(base, "update t set x = 2000 where id = 1")
        await follower.until(lambda: follower.error is not None)
        assert isinstance(follower.error, QueryRejectedError)
        assert follower.error.code == "RT_007"
        assert play.live.problem is None


async def test_a_query_that_takes_too_long_is_refused(base: str) -> None:
    run_each(base, DAWDLING, "insert into t values (100, 100)")
    async with live_node(base, live=replace(QUICK, read_timeout_ms=2_000)) as play:
        slow = Query("t", {"sql": "select count(*) from t where dawdling(x) <> 0"}, "")
        with pytest.raises(QueryRejectedError, match="too long"):
            await play.follow(slow)
        assert play.live.status()["queries"] == 0


async def test_a_database_under_which_everything_happens_at_once(base: str, own18: LocalPostgres) -> None:
    async with live_node(base) as play:
        followers = await everyone(play)
        for round in range(2):
            run_each(base, f"insert into t values ({200 + round}, {round})")
            terminate(base, "realtime%")
            run_each(base, f"alter table t add column c{round} int default {round}")
            await asyncio.to_thread(drop_slot, base, play.slot)
            run_each(base, f"delete from t where id = {round + 1}")
            await asyncio.to_thread(own18.restart, "immediate")
            run_each(base, f"alter table t drop column c{round}", "update t set x = x + 1 where id = 6")
        await until(lambda: play.feed.state.status == "streaming")
        await go_on(play, followers, 100)
