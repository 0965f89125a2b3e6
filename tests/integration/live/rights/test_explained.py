"""The plan of a live query under row-level security: PostgreSQL makes it as the role, with the claims of its subscribers."""

from __future__ import annotations

from tests.integration.live.rights.conftest import ALL, SQL, SUM, Rows
from tests.support.nodes.live_node import live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each


async def test_a_query_is_explained_as_the_role_that_reads_it(rows: Rows) -> None:
    async with live_node(rows.dsn) as node:
        for spec, strategy, names in (
            (ALL, "incremental", "note"),
            (SUM, "re-read", "count(*)"),
            (SQL, "incremental", "note"),
        ):
            follower = await node.follow(Query("note", spec, ""), principal=rows.principal("ann"))
            assert follower.subscription is not None
            query = follower.subscription.query
            assert query.strategy == strategy
            found = await node.live.explain(query)
            plan = "\n".join(found.lines)
            assert names in found.sql
            assert "(cost=" in plan
            assert "request.jwt.claims" in plan, "the condition of the policy is a part of it"
            assert "'ann'" not in found.sql


async def test_what_the_role_may_not_read_any_more_is_explained_by_the_reason(rows: Rows) -> None:
    async with live_node(rows.dsn) as node:
        follower = await node.follow(Query("note", SUM, ""), principal=rows.principal("ann"))
        assert follower.subscription is not None
        query = follower.subscription.query
        run_each(rows.dsn, f"revoke select on note from {rows.people}")
        found = await node.live.explain(query)
        assert (found.lines, found.note) == ((), "permission denied for table note")
        run_each(rows.dsn, f"grant select on note to {rows.people}")
