"""What policies look at, and the values of rows that they hide, are not in what clients are answered; operators have it."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.typing import EventDict

from engine.errors import QueryRejectedError
from engine.query.policies.table_rule import TOO_MUCH
from tests.integration.live.rights.conftest import ALL, SUM, Rows
from tests.support.nodes.live_node import live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

_LOG = "see the server's log"


def _only_policy(rows: Rows, condition: str) -> None:
    run_each(rows.dsn, f"alter policy own on note using ({condition})")


async def test_the_reason_for_a_re_read_does_not_have_the_text_of_a_policy(rows: Rows, logs: list[EventDict]) -> None:
    run_each(
        rows.dsn,
        "create schema inner_s",
        "create function inner_s.is_vip(text, text) returns boolean language sql immutable as $$ select $1 = $2 $$",
        f"grant usage on schema inner_s to {rows.people}",
    )
    _only_policy(rows, "inner_s.is_vip(secret, 'K7-secret-code')")
    async with live_node(rows.dsn) as node:
        follower = await node.follow(Query("note", ALL, ""), principal=rows.principal("ann"))
        assert follower.subscription is not None
        assert (follower.subscription.strategy, follower.subscription.reason) == ("re-read", TOO_MUCH)
        assert any(entry["event"] == "query_reread" and "K7-secret-code" in entry["reason"] for entry in logs)


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        (ALL, "RT_001", f"a policy of its table failed; {_LOG}"),
        (SUM, "RT_007", f"failed with InvalidTextRepresentation (SQLSTATE 22P02); {_LOG}"),
    ],
    ids=["builder", "SQL"],
)
async def test_the_error_of_a_policy_does_not_have_values_of_hidden_rows(
    rows: Rows, logs: list[EventDict], spec: dict[str, Any], code: str, words: str
) -> None:
    run_each(rows.dsn, "update note set secret = 'diary of ' || owner")
    _only_policy(rows, "secret::int > 0 or owner = me()")
    async with live_node(rows.dsn) as node:
        with pytest.raises(QueryRejectedError) as refused:
            await node.follow(Query("note", spec, ""), principal=rows.principal("mallory"))
        assert words in str(refused.value)
        assert refused.value.code == code
        assert "diary" not in str(refused.value)
        assert any(entry["event"] == "policy_failed" and "diary of" in entry["error"] for entry in logs)


async def test_the_error_of_a_policy_that_fails_later_ends_the_query_without_values(rows: Rows) -> None:
    run_each(rows.dsn, "update note set secret = '1'")
    _only_policy(rows, "secret::int > 0 or owner = me()")
    async with live_node(rows.dsn) as node:
        follower = await node.follow(Query("note", ALL, ""), principal=rows.principal("mallory"))
        run_each(rows.dsn, "update note set secret = 'a diary' where id = 2")
        await follower.until(lambda: follower.error is not None)
        assert str(follower.error) == f"a policy of its table failed; {_LOG}"


async def test_what_policies_read_beside_the_stream_is_not_named(rows: Rows) -> None:
    _only_policy(rows, "org in (select m.org from member m where m.person = me())")
    run_each(rows.dsn, "select realtime.expose('note')")  # which publishes what the policies read
    run_each(rows.dsn, "alter publication bunbase_realtime drop table member")
    async with live_node(rows.dsn) as node:
        with pytest.raises(QueryRejectedError) as refused:
            await node.follow(Query("note", ALL, ""), principal=rows.principal("ann"))
        assert "member" not in str(refused.value)
        assert "its policies read what the publication" in str(refused.value)
        assert "member" in str(node.live.problem)
