"""A document that is nested more deeply than clients can read ends the queries that show it, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.identity.principal import Principal
from engine.live.core.result_set import DocumentTooDeepError
from tests.support.nodes.live_node import QUICK, LiveNode, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

TABLE = """
create type pair as (n int, body json);
create table t (id int primary key, doc json, docb jsonb, many json[], pair pair);
select realtime.expose('t');
insert into t (id) values (1), (2)
"""
COLUMNS = ["doc", "docb", "many", "pair"]
WHOLE = Query("t", {"orderBy": [["id", "asc"]]}, json_rows("select * from t order by id"))
TOP = Query("t", {"orderBy": [["id", "desc"]], "limit": 1}, json_rows("select * from t order by id desc limit 1"))
READ, FLAT, COUNT = (
    Query("t", {"sql": sql}, json_rows(sql))
    for sql in (
        "select * from t where id + 0 > 0 order by id",
        "select id from t order by id",
        "select count(*) from t where id + 0 > 0",
    )
)


@pytest.fixture
def base(dsn: str) -> str:
    run_each(dsn, *TABLE.split(";"))
    return dsn


def nested(column: str, levels: int) -> str:
    """The value of ``column`` that is ``levels`` levels deep."""
    inner = levels - (column in ("many", "pair"))
    value = f"(repeat('[', {inner}) || repeat(']', {inner}))"
    return {
        "doc": f"{value}::json",
        "docb": f"{value}::jsonb",
        "many": f"array[{value}::json]",
        "pair": f"row(1, {value}::json)::pair",
    }[column]


async def refused(play: LiveNode, query: Query) -> DocumentTooDeepError:
    with pytest.raises(DocumentTooDeepError) as error:
        await play.live.subscribe(Principal(), query.collection, query.spec, lambda subscription, event: None)
    return error.value


def assert_names(error: Exception | None, column: str, row: str) -> None:
    assert isinstance(error, DocumentTooDeepError)
    assert error.code == "RT_007"
    assert f"the field {column!r} of the row {row!r} is nested more than 512 levels deep" in str(error)


async def test_a_change_that_is_nested_too_deeply_ends_the_queries_that_show_it_and_no_other(base: str) -> None:
    async with live_node(base) as play:
        others = [await play.follow(FLAT), await play.follow(COUNT)]
        assert [each.subscription and each.subscription.strategy for each in others] == ["incremental", "re-read"]
        for column in COLUMNS:
            run_each(base, f"update t set {column} = {nested(column, 512)} where id = 1")
            shown = [await play.follow(WHOLE), await play.follow(READ)]
            assert [each.subscription and each.subscription.strategy for each in shown] == ["incremental", "re-read"]
            last = await play.follow(TOP)
            await play.check(*shown, last, *others)
            run_each(base, f"update t set {column} = {nested(column, 513)} where id = 1")
            for follower in shown:
                await follower.until(lambda follower=follower: follower.error)  # type: ignore[misc]
                assert_names(follower.error, column, "1")
            for query in (WHOLE, READ):
                assert_names(await refused(play, query), column, "1")
            await play.check(last, *others)
            run_each(base, f"update t set {column} = null where id = 1")
            last.leave()
        await play.check(await play.follow(WHOLE), await play.follow(READ), *others)
        assert play.live.status()["queries"] == 4


async def test_rows_nested_far_too_deeply_are_refused_in_a_first_list(base: str) -> None:
    run_each(base, f"insert into t (id, doc) values (1500, {nested('doc', 1500)})")
    async with live_node(base) as play:
        flat = await play.follow(FLAT)
        for query in (WHOLE, TOP, READ):
            assert_names(await refused(play, query), "doc", "1500")
        run_each(base, f"update t set doc = null, docb = {nested('docb', 5000)} where id = 1500")
        for query in (WHOLE, TOP, READ):
            assert_names(await refused(play, query), "docb", "1500")
        assert play.live.status()["queries"] == 1
        run_each(base, "delete from t where id = 1500")
        await play.check(await play.follow(WHOLE), await play.follow(TOP), await play.follow(READ), flat)


async def test_a_row_that_moves_into_a_limited_list_ends_it_if_it_is_nested_too_deeply(base: str) -> None:
    run_each(base, f"update t set doc = {nested('doc', 513)} where id = 1")
    async with live_node(base) as play:
        top = await play.follow(TOP)
        await play.check(top)
        run_each(base, "delete from t where id = 2")
        await top.until(lambda: top.error)
        assert_names(top.error, "doc", "1")


async def test_a_query_without_readers_is_not_kept_with_a_row_that_is_nested_too_deeply(base: str) -> None:
    async with live_node(base, live=replace(QUICK, idle_ttl=600.0)) as play:
        for query in (WHOLE, READ):
            (await play.follow(query)).leave()
        run_each(base, f"update t set doc = {nested('doc', 513)} where id = 1")
        await play.caught_up()
        for query in (WHOLE, READ):
            assert_names(await refused(play, query), "doc", "1")
        run_each(base, "update t set doc = '[]' where id = 1")
        await play.check(await play.follow(WHOLE), await play.follow(READ))


async def test_a_paused_subscriber_gets_the_end_when_it_resumes_and_no_document_nested_too_deeply(base: str) -> None:
    async with live_node(base) as play:
        paused = [await play.follow(WHOLE), await play.follow(READ)]
        for follower in paused:
            assert follower.subscription is not None
            follower.subscription.pause()
        run_each(base, "insert into t (id) values (3)", f"update t set doc = {nested('doc', 513)} where id = 1")
        await play.caught_up()
        for follower in paused:
            assert follower.subscription is not None
            assert follower.error is None
            follower.subscription.resume()
            assert_names(follower.error, "doc", "1")
            assert follower.ids == ["1", "2"]
