"""Windows that are opened at about the same time and differ in values alone are read in few statements, each exactly."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from psycopg import sql

from tests.support.nodes.live_node import QUICK, Follower, LiveNode, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

ROOMS = ["r0", "r1", "r2", "R2", "", "no such room", "a'b", 'a"b\\', "NULL", "{x}", "täx"]
TABLE = """
create table message (id int primary key, room text, at timestamptz not null, "realtime_set" int, p1 text, body text);
insert into message
select i, (array[%(rooms)s, null])[1 + i %% %(count)s], now() - i * interval '1 s', i, i::text, repeat('x', i %% 50)
from generate_series(1, 400) i;
select realtime.expose('message')
"""


def literal(text: str) -> str:
    return sql.Literal(text).as_string(None)


@pytest.fixture
def base(dsn: str) -> str:
    rooms = ", ".join(map(literal, ROOMS))
    run_each(dsn, *(TABLE % {"rooms": rooms, "count": len(ROOMS) + 1}).split(";"))
    return dsn


def of_room(room: str, limit: int = 20) -> Query:
    spec: dict[str, Any] = {"where": [["room", "==", room]], "orderBy": [["at", "desc"]], "limit": limit}
    return Query(
        "message",
        spec,
        json_rows(f"select * from message where room = {literal(room)} order by at desc, id limit {limit}"),
    )


def since(number: int) -> Query:
    spec: dict[str, Any] = {"where": [["id", ">", number], ["p1", "!=", "7"]], "orderBy": [["id", "asc"]], "limit": 5}
    return Query(
        "message", spec, json_rows(f"select * from message where id > {number} and p1 <> '7' order by id limit 5")
    )


async def followed(node: LiveNode, queries: list[Query]) -> list[Follower]:
    return await asyncio.gather(*(node.follow(query) for query in queries))


async def test_windows_that_are_opened_at_once_have_their_own_rows_each(base: str) -> None:
    async with live_node(base) as node:
        queries = [of_room(room) for room in ROOMS] + [since(number) for number in range(0, 420, 20)]
        followers = await followed(node, queries)
        await node.check(*followers)
        assert {f.subscription and f.subscription.strategy for f in followers} == {"incremental"}
        run_each(
            base,
            "insert into message select 1000 + id, room, now(), id, 'new', 'new' from message where id < 12",
            "update message set room = 'r1' where id % 7 = 0",
            "delete from message where id % 5 = 0",
        )
        await node.check(*followers)


async def test_a_hundred_windows_take_a_few_statements(base: str) -> None:
    run_each(
        base, "insert into message select 1000 + i, 'w' || i % 100, now(), i, '', '' from generate_series(1, 1000) i"
    )
    async with live_node(base) as node:
        followers = await followed(node, [of_room(f"w{number}") for number in range(100)])
        await node.check(*followers)
        assert all(len(follower.ids) == 10 for follower in followers)
        sizes = node.live.metrics.batch_sizes
        assert sizes.sum >= 90
        assert sizes.count <= 20


async def test_the_windows_of_a_batch_that_is_cut_off_are_read_alone(base: str) -> None:
    async with live_node(base, live=replace(QUICK, batch_timeout_ms=1)) as node:
        followers = await followed(node, [of_room(room) for room in ROOMS])
        await node.check(*followers)
