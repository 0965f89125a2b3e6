"""What PostgreSQL is asked about a query: how often its check waits (what does not depend on an earlier answer is sent with
it), and the explanation of its plan.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.query.explaining import explain_plan
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import plan_query
from tests.integration.query_sql.conftest import Planner, connect


def count(trace: str) -> tuple[int, int]:
    """Round trips and statements in libpq's trace of a connection. A round trip ends when the server is ready again."""
    kinds = [fields[3] for fields in (line.split("\t", 4) for line in trace.splitlines()) if len(fields) > 3]
    return kinds.count("ReadyForQuery"), kinds.count("Parse") + kinds.count("Query")


@pytest.mark.parametrize(
    ("sql", "params", "trips", "statements"),
    [
        ("select id, body from messages where n > 3", (), 12, 27),
        ("select id, body from messages where room_id = $1 and n > 3", ("room-1",), 17, 36),
        ("select id, upper(body) as b from messages where room_id = 'room-1' order by id limit 5", (), 18, 40),
        ("select m.id, u.name from messages m join users u on u.id = m.n where m.n = $1", (2,), 20, 43),
    ],
    ids=["plain", "parameter", "string", "join"],
)
async def test_a_query_in_sql_is_planned_in_few_round_trips(
    shared_planner: Planner,
    app_dsn: str,
    tmp_path: Path,
    sql: str,
    params: tuple[object, ...],
    trips: int,
    statements: int,
) -> None:
    async with await connect(app_dsn) as connection:
        connection.prepare_threshold = None  # as the server's
        with (tmp_path / "trace").open("w") as trace:
            connection.pgconn.trace(trace.fileno())
            await replace(shared_planner, connection=connection).plan(sql, *params)
            connection.pgconn.untrace()
    waited, sent = count((tmp_path / "trace").read_text())
    assert 1 < waited <= trips, f"{waited} round trips"
    assert 1 < sent <= statements, f"{sent} statements"


async def test_postgresql_explains_what_a_plan_reads(planner: Planner) -> None:
    built = await plan_query("messages", {"limit": 3}, planner.catalog, planner.connection)
    assert not isinstance(built, ReReadPlan)
    found = await explain_plan(built, planner.connection)
    assert (found.sql, found.parameters, found.note) == (built.read(3).sql, built.read(3).params, None)
    assert found.lines[0].startswith("Limit ")
    counted = await planner.plan("select count(*) from messages")
    assert isinstance(counted, ReReadPlan)
    found = await explain_plan(counted, planner.connection)
    assert (found.sql, found.note) == (counted.statement.sql, None)
    assert any("Aggregate" in line for line in found.lines)


async def test_what_postgresql_refuses_to_explain_has_its_reason_in_place_of_lines(planner: Planner) -> None:
    plan = await planner.plan("select count(*) from messages")
    await planner.connection.execute("alter table messages rename to former")
    try:
        found = await explain_plan(plan, planner.connection)
    finally:
        await planner.connection.execute("alter table former rename to messages")
    assert found.lines == ()
    assert found.note is not None
    assert "messages" in found.note
