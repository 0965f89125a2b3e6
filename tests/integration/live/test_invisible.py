"""Transactions that are in the WAL, and so in the stream, before any snapshot shows them.

A commit that waits for a synchronous standby stays in that state for as long as one likes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.live.service import LiveSettings
from engine.lsn import parse_lsn
from engine.tasks import end
from tests.support.nodes.live_node import QUICK, LiveNode, held, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, read, run_each

TABLE = """
create table t (id int primary key, x int not null);
select realtime.expose('t');
create table other (id int primary key);
select realtime.expose('other');
insert into t select i, i * 10 from generate_series(1, 12) i
"""
EVERYTHING = Query("t", {"orderBy": [["id", "asc"]]}, json_rows("select * from t order by id"))
TOP = Query("t", {"orderBy": [["x", "desc"]], "limit": 3}, json_rows("select * from t order by x desc, id limit 3"))
SUM = Query("t", {"sql": "select sum(x) as s from t"}, json_rows("select sum(x) as s from t"))
OTHER = Query("other", {}, json_rows("select * from other order by id"))


@pytest.fixture
def base(dsn: str) -> str:
    run_each(dsn, *TABLE.split(";"))
    return dsn


def total(follower: Any) -> int:
    return int(follower.documents()[0]["s"])


async def test_a_change_comes_once_whether_one_subscribed_before_or_while_it_was_invisible(base: str) -> None:
    async with live_node(base) as play:
        early = [await play.follow(query) for query in (EVERYTHING, TOP)]
        early_sum = await play.follow(SUM)
        before = total(early_sum)
        async with held(base, "update t set x = 1000 where id = 5", "delete from t where id = 12") as release:
            await early[0].until(lambda: "12" not in early[0].ids)
            await early[1].until(lambda: early[1].ids == ["5", "11", "10"])
            late = [await play.follow(query) for query in (EVERYTHING, TOP)]
            late_other = await play.follow(Query("t", {"where": [["x", ">", 100]]}, ""))
            late_sum = await play.follow(SUM)
            assert [follower.list for follower in late] == [follower.list for follower in early]
            assert late_other.ids == ["5", "11"]
            assert (total(early_sum), total(late_sum)) == (before, before)
            await release()
            await early_sum.until(lambda: total(early_sum) == before + 950 - 120)
        await play.check(*early, *late, early_sum, late_sum)
        assert [follower.events for follower in early] == [2, 2]
        assert [follower.events for follower in (*late, late_other)] == [1, 1, 1]


@pytest.mark.parametrize("change", ["update t set x = 1000 where id = 1", "delete from t where id = 12"])
async def test_a_window_that_is_read_again_meanwhile_keeps_the_change(base: str, change: str) -> None:
    async with live_node(base) as play:
        top = await play.follow(TOP)
        async with held(base, change) as release:
            await top.until(lambda: top.events == 2)
            reads = play.live.status()["reads"]
            for id in (11, 10, 9, 8):
                run_each(base, f"delete from t where id = {id}")
            await play.caught_up()
            assert play.live.status()["reads"] > reads, "the spare rows were used up"
            expected = ["1", "12", "7"] if "update" in change else ["7", "6", "5"]
            assert top.ids == expected
            events = top.events
            await release()
            await play.check(top)
            assert top.events == events
        run_each(base, "update t set x = 2000 where id = 2")
        await play.check(top)


async def test_a_subscriber_that_resumes_meanwhile_has_the_change_once(base: str) -> None:
    async with live_node(base) as play:
        follower = await play.follow(EVERYTHING)
        assert follower.subscription is not None
        follower.subscription.pause()
        async with held(base, "update t set x = 1000 where id = 5") as release:
            watching = await play.follow(EVERYTHING)
            await watching.until(lambda: {"id": 5, "x": 1000} in watching.documents())
            follower.subscription.resume()
            assert follower.list == watching.list
            await release()
        await play.check(follower, watching)
        assert follower.events == 2


@pytest.mark.parametrize(
    "definition",
    [
        "alter table t add column y int default 7",
        "alter table t alter column x type text",
        "alter table t rename column x to z",
        "create table third (id int primary key); select realtime.expose('third')",
    ],
)
async def test_a_definition_counts_from_when_it_can_be_seen(base: str, definition: str) -> None:
    async with live_node(base) as play:
        everything, other = await play.follow(EVERYTHING), await play.follow(OTHER)
        async with held(base, *definition.split(";")) as release:
            run_each(base, "insert into other values (1)")
            await other.until(lambda: other.ids == ["1"])
            assert not play.live._catalog.is_current
            third = asyncio.create_task(play.follow(OTHER if "third" not in definition else third_query()))
            await asyncio.sleep(0)
            assert not third.done()
            await release()
            async with asyncio.timeout(GIVE_UP_AFTER):
                newcomer = await third
        await play.check(everything, other, newcomer)
        run_each(base, "delete from t where id = 1", "insert into other values (2)")
        await play.check(everything, other, newcomer)


def third_query() -> Query:
    return Query("third", {}, json_rows("select * from third"))


async def test_the_slot_is_not_confirmed_past_an_invisible_transaction(base: str) -> None:
    """So that a reader that starts on the slot again gets it again."""
    async with live_node(base, ephemeral=False, status_interval=0.05) as play:
        everything = await play.follow(EVERYTHING)
        async with held(base, "update t set x = 1000 where id = 5") as release:
            await everything.until(lambda: everything.events == 2)
            position = everything.position
            for id in range(100, 120):
                run_each(base, f"insert into t values ({id}, {id})")
            await play.caught_up()
            assert play.feed.confirmed <= position
            slot = f"from pg_replication_slots where slot_name = '{play.slot}'"
            assert parse_lsn(read(base, f"select confirmed_flush_lsn::text {slot}")[0][0]) <= position
            await release()
        await play.check(everything)
        async with asyncio.timeout(GIVE_UP_AFTER):
            while parse_lsn(read(base, f"select confirmed_flush_lsn::text {slot}")[0][0]) <= position:
                run_each(base, "insert into other select count(*) from other")
                await asyncio.sleep(0.02)
        await play.check(everything)


async def test_a_service_that_is_started_again_is_sent_what_is_still_invisible(base: str) -> None:
    async with live_node(base, ephemeral=False) as first:
        slot = first.slot
        follower = await first.follow(EVERYTHING)
        async with held(base, "update t set x = 1000 where id = 5") as release:
            await follower.until(lambda: follower.events == 2)
            await abandon(first)
            async with live_node(base, slot=slot, live=QUICK) as second:
                again = await second.follow(EVERYTHING)
                await again.until(lambda: {"id": 5, "x": 1000} in again.documents())
                await release()
                await second.check(again)
                assert again.events <= 2


async def abandon(play: LiveNode) -> None:
    """End the service as a crash would: nothing more is confirmed, nothing is cleaned up."""
    tasks = [*play.live._background._tasks, *play.stream._background._tasks, *play.feed._tasks]
    async with asyncio.timeout(GIVE_UP_AFTER):
        await end(tasks)


async def test_a_node_starts_and_renews_its_lease_while_the_standby_is_away(base: str) -> None:
    """Its own bookkeeping must not wait for a standby: the live queries would be down for as long as that is."""
    name = base.rsplit("/", 1)[1]
    run_each(base, f"alter database {name} set synchronous_commit = on")
    async with live_node(base, live=LiveSettings(idle_ttl=0.0), lease=3.0) as play:
        everything = await play.follow(EVERYTHING)
        with connect(base) as writer:
            writer.execute("set synchronous_commit = local")
            writer.execute("insert into t values (100, 1)")
        await play.check(everything)
