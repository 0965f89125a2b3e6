"""One document, and a count, under row-level security: each is what PostgreSQL shows the user, all the time."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from engine.errors import InvalidQueryError
from tests.integration.live.rights.conftest import Rows, Watching, served
from tests.support.nodes.live_node import Follower, LiveNode, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

STEPS = (
    "update note set body = 'changed' where id = 1",
    "update note set owner = 'eve' where id = 1",  # it leaves ann's visibility, and comes into eve's
    "update note set body = 'of eve' where id = 1",
    "update note set owner = 'ann' where id = 1",
    "delete from note where id = 1",
    "insert into note values (1, 'eve', 1, 'not hers')",
    "delete from note where id = 1; insert into note values (1, 'ann', 1, 'again')",
    "update note set id = 7 where id = 1",
    "update note set id = 1 where id = 4",
    "truncate note",
    "insert into note values (1, 'ann', 1, 'last'), (2, 'ann', 1, 'other')",
)


@pytest.fixture
def rows(database: str) -> Iterator[Rows]:
    with served(database) as found:
        yield found


@pytest.mark.parametrize(
    ("spec", "sql", "strategy"),
    [
        ({"doc": ["1"]}, "select id, owner, org, body from note where id = 1", "incremental"),
        ({"count": True}, "select count(*) as count from note", "re-read"),
        ({"doc": 1, "count": True}, "select count(*) as count from note where id = 1", "re-read"),
    ],
)
async def test_each_user_has_what_postgresql_shows_after_each_step(
    rows: Rows, spec: dict[str, object], sql: str, strategy: str
) -> None:
    async with live_node(rows.dsn) as node:
        watching = Watching(rows, node, spec, sql)
        await watching.add(rows.principal("ann"), rows.principal("eve"), rows.principal("lead", rows.staff))
        for _, follower in watching.followers:
            assert follower.subscription is not None
            assert follower.subscription.strategy == strategy, follower.subscription.reason
        await watching.check()
        for step in STEPS:
            run_each(rows.dsn, step)
            await watching.check()


async def test_a_count_reads_what_the_role_may_read(rows: Rows) -> None:
    run_each(rows.dsn, f"revoke select on note from {rows.people}; grant select (owner) on note to {rows.people}")
    run_each(rows.dsn, "select realtime.expose('note')")
    async with live_node(rows.dsn) as node:
        assert await counted(rows, node, {}) == 2
        assert await counted(rows, node, {"where": [["owner", "==", "eve"]]}) == 0
        with pytest.raises(InvalidQueryError, match="no field 'body'"):
            await counted(rows, node, {"where": [["body", "==", "b"]]})


async def counted(rows: Rows, node: LiveNode, spec: dict[str, object]) -> int:
    follower: Follower = await node.follow(Query("note", {**spec, "count": True}, ""), principal=rows.principal("bob"))
    assert follower.error is None, follower.error
    [(id, document)] = follower.list
    assert id == "0"
    number: int = json.loads(document)["count"]
    return number
