"""How PostgreSQL raises and clears alerts: once, by the rules as they are, whichever nodes measure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.postgres.sql import connect, run_each

MIGRATIONS = Path(__file__).parents[3] / "migrations"
NODE = """
insert into realtime.nodes (id, host, pid, started_at, lease_expires_at, schema_version)
values ('{}', 'h', 1, now(), now() + '{}', 1)
"""
RULE = """
insert into realtime.alert_rules (name, measure, threshold) values ('many_connections', 'connection_share', 0.8)
on conflict (name) do update set measure = excluded.measure, enabled = true
"""
BROADCAST = "select event, payload ->> 'rule' from realtime.messages where channel = 'admin:alerts'"


@pytest.fixture
def sql(database: str) -> Iterator[psycopg.Connection[Any]]:
    run_each(database, NODE.format("a", "1 hour"), NODE.format("b", "1 hour"))
    with connect(database) as connection:
        yield connection


def judge(sql: psycopg.Connection[Any], node: str, **measures: float) -> int:
    """One pass; how many alerts it raised and cleared."""
    [row] = sql.execute(
        "select realtime.judge_alerts(%s, %s, %s)", (node, list(measures), list(measures.values()))
    ).fetchall()
    return int(row[0])


def alerts(sql: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return sql.execute("select rule, subject, cleared_because from realtime.alerts order by id").fetchall()


def wait(sql: psycopg.Connection[Any], rule: str, seconds: int) -> None:
    """Let time pass for what is pending."""
    sql.execute(
        "update realtime.alert_pending set since = since - make_interval(secs => %s) where rule = %s", (seconds, rule)
    )


def test_a_measure_above_its_threshold_raises_one_alert_until_it_is_below_again(sql: psycopg.Connection[Any]) -> None:
    assert judge(sql, "b", connection_share=0.8) == 0, "at the threshold is not above"
    assert judge(sql, "b", connection_share=0.81) == 1
    assert judge(sql, "b", connection_share=0.99) == 0, "it is raised already"
    assert judge(sql, "b", connection_share=0.75) == 0, "below the threshold, but above clear_at"
    assert judge(sql, "b", connection_share=0.7) == 1
    assert judge(sql, "b", connection_share=0.7) == 0
    assert judge(sql, "b", connection_share=0.9) == 1
    assert alerts(sql) == [("many_connections", "b", "measure"), ("many_connections", "b", None)]
    row = sql.execute("select measure, severity, value, threshold, description is null from realtime.alerts").fetchone()
    assert row == ("connection_share", "warning", 0.81, 0.8, False)


def test_a_rule_can_want_the_measure_to_stay_above_for_some_time(sql: psycopg.Connection[Any]) -> None:
    assert judge(sql, "b", error_share=0.5) == 0
    wait(sql, "many_errors", 59)
    assert judge(sql, "b", error_share=0.5) == 0
    assert judge(sql, "b", error_share=0.0) == 0, "a break: it begins anew"
    assert judge(sql, "b", error_share=0.5) == 0
    wait(sql, "many_errors", 59)
    assert judge(sql, "b", error_share=0.5) == 0
    wait(sql, "many_errors", 1)
    assert judge(sql, "b", error_share=0.5) == 1
    assert alerts(sql) == [("many_errors", "b", None)]


def test_each_node_has_alerts_of_its_own(sql: psycopg.Connection[Any]) -> None:
    assert judge(sql, "b", connection_share=0.9) == 1
    assert judge(sql, "a", connection_share=0.9, error_share=0.0) == 1
    assert judge(sql, "a", connection_share=0.1) == 1
    assert alerts(sql) == [("many_connections", "b", None), ("many_connections", "a", "measure")]


def test_alerts_of_a_rule_that_was_disabled_changed_or_deleted_are_cleared(sql: psycopg.Connection[Any]) -> None:
    for change in (
        "update realtime.alert_rules set enabled = false where name = 'many_connections'",
        "update realtime.alert_rules set enabled = true, measure = 'error_share' where name = 'many_connections'",
        "delete from realtime.alert_rules where name = 'many_connections'",
    ):
        sql.execute(RULE)
        assert judge(sql, "b", connection_share=0.9) == 1
        sql.execute(change.encode())
        assert judge(sql, "b", connection_share=0.9) == 1
    assert alerts(sql) == [("many_connections", "b", "rule")] * 3


def test_alerts_of_a_node_that_is_gone_are_cleared_by_another_node(sql: psycopg.Connection[Any]) -> None:
    assert judge(sql, "b", connection_share=0.9, error_share=0.9) == 1
    sql.execute("update realtime.nodes set lease_expires_at = now() - interval '1 s' where id = 'b'")
    sql.execute("delete from realtime.nodes where id = 'b'")  # as other nodes do after some seconds
    assert judge(sql, "a") == 1
    assert alerts(sql) == [("many_connections", "b", "subject")]
    assert sql.execute("select * from realtime.alert_pending where rule = 'many_errors'").fetchall() == []


def test_alerts_of_a_node_that_stopped_are_cleared_by_another_node(sql: psycopg.Connection[Any]) -> None:
    assert judge(sql, "b", connection_share=0.9) == 1
    sql.execute("update realtime.nodes set schema_version = null where id = 'b'")
    assert judge(sql, "a") == 1
    assert alerts(sql) == [("many_connections", "b", "subject")]


def test_alerts_hold_through_an_outage_that_is_longer_than_the_leases(sql: psycopg.Connection[Any]) -> None:
    assert judge(sql, "b", connection_share=0.9, error_share=0.9) == 1
    sql.execute("update realtime.nodes set lease_expires_at = now() - interval '1 s'")
    sql.execute("update realtime.nodes set lease_expires_at = now() + interval '1 hour' where id = 'a'")
    assert judge(sql, "a") == 0, "b has not renewed its lease yet"
    wait(sql, "many_errors", 60)
    sql.execute("update realtime.nodes set lease_expires_at = now() + interval '1 hour' where id = 'b'")
    assert judge(sql, "b", connection_share=0.9, error_share=0.9) == 1
    assert alerts(sql) == [("many_connections", "b", None), ("many_errors", "b", None)]


def test_a_node_that_was_lost_is_unhealthy_until_it_is_back(sql: psycopg.Connection[Any]) -> None:
    sql.execute("update realtime.nodes set lease_expires_at = now() - interval '1 s' where id = 'b'")
    assert judge(sql, "a") == 0
    sql.execute("delete from realtime.nodes where id = 'b'")  # as other nodes do after some seconds
    assert judge(sql, "a") == 0
    wait(sql, "unhealthy_node", 30)
    assert judge(sql, "a") == 1
    assert judge(sql, "a") == 0
    sql.execute(NODE.format("b", "1 hour").encode())
    assert judge(sql, "a") == 1
    assert alerts(sql) == [("unhealthy_node", "b", "measure")]
    assert sql.execute("select * from realtime.lost_nodes").fetchall() == []


def test_a_lost_node_that_does_not_come_back_is_an_alert_for_a_day(sql: psycopg.Connection[Any]) -> None:
    sql.execute("update realtime.alert_rules set hold = '0'")
    sql.execute("update realtime.nodes set lease_expires_at = now() - interval '1 s' where id = 'b'")
    sql.execute("delete from realtime.nodes where id = 'b'")
    assert judge(sql, "a") == 1
    sql.execute("update realtime.lost_nodes set lost_at = lost_at - interval '25 hours'")
    assert judge(sql, "a") == 1
    assert alerts(sql) == [("unhealthy_node", "b", "subject")]


def test_a_node_that_stopped_is_not_unhealthy(sql: psycopg.Connection[Any]) -> None:
    sql.execute("update realtime.alert_rules set hold = '0'")
    sql.execute("update realtime.nodes set schema_version = null where id = 'b'")
    assert judge(sql, "a") == 0
    sql.execute("delete from realtime.nodes where id = 'b'")
    assert judge(sql, "a") == 0
    assert alerts(sql) == []


def test_only_the_first_of_the_running_nodes_takes_the_measures_of_all(sql: psycopg.Connection[Any]) -> None:
    sql.execute(NODE.format("c", "-1 s").encode())
    sql.execute("update realtime.alert_rules set hold = '0' where name = 'unhealthy_node'")
    assert judge(sql, "b") == 0
    assert judge(sql, "a") == 1
    sql.execute("update realtime.nodes set lease_expires_at = now() + interval '1 hour' where id = 'c'")
    sql.execute("update realtime.nodes set lease_expires_at = now() - interval '1 s' where id = 'a'")
    assert judge(sql, "b") == 2, "c is well, and a is not"
    assert alerts(sql) == [("unhealthy_node", "c", "measure"), ("unhealthy_node", "a", None)]


def test_a_slot_that_is_missing_or_holds_too_much_is_an_alert(sql: psycopg.Connection[Any]) -> None:
    sql.execute(
        "insert into realtime.slots (name, node, ephemeral, created_at) "
        "values ('alerts_missing', 'b', false, now() - interval '1 day')"
    )
    assert judge(sql, "a") == 1
    assert alerts(sql) == [("slot_lost", "alerts_missing", None)]
    name = "alerts_there"
    sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))
    try:
        sql.execute("update realtime.slots set name = %s", (name,))
        sql.execute("update realtime.alert_rules set threshold = 0, clear_at = 0, hold = '0' where name = 'slot_lag'")
        sql.execute("select pg_logical_emit_message(false, 'x', repeat('x', 100000))")
        assert judge(sql, "a") == 2, "one is cleared, since that slot is gone, and one is raised"
        assert alerts(sql)[1:] == [("slot_lag", name, None)]
    finally:
        sql.execute("select pg_drop_replication_slot(%s)", (name,))
        sql.execute("delete from realtime.slots")


def test_a_slot_that_is_not_made_yet_is_not_lost(sql: psycopg.Connection[Any]) -> None:
    with sql.transaction():
        sql.execute("insert into realtime.slots (name, node, ephemeral) values ('alerts_new', 'b', false)")
        sql.execute("update realtime.nodes set started_at = now() where id = 'b'")
    assert judge(sql, "a") == 0, "b starts, and makes its slot"
    for node in ("a", "b"):
        sql.execute("insert into realtime.node_stats values (%s, '1', 'ok', null, '0/1', 0, 0, 0, 0, 5, 5)", (node,))
    assert judge(sql, "a") == 1, "b runs, and had one"
    assert alerts(sql) == [("slot_lost", "alerts_new", None)]
    sql.execute("delete from realtime.node_stats where node_id = 'b'")
    sql.execute("update realtime.nodes set started_at = now() where id = 'b'")
    assert judge(sql, "a") == 0, "b starts again, and its slot is still not there"
    assert alerts(sql) == [("slot_lost", "alerts_new", None)]


async def test_two_nodes_that_judge_at_once_raise_an_alert_once(database: str, sql: psycopg.Connection[Any]) -> None:
    sql.execute("update realtime.alert_rules set hold = '0' where name = 'unhealthy_node'")
    sql.execute("update realtime.nodes set lease_expires_at = now() - interval '1 s' where id = 'b'")

    def twenty() -> None:
        with connect(database) as other:
            for _ in range(20):
                judge(other, "a", connection_share=0.9)

    await asyncio.gather(*[asyncio.to_thread(twenty) for _ in range(4)])
    assert sorted(alerts(sql)) == [("many_connections", "a", None), ("unhealthy_node", "b", None)]
    assert sql.execute("select count(*) from realtime.alert_notices").fetchone() == (2,)
    messages = sql.execute(
        "select event, payload ->> 'rule' from realtime.messages where channel = 'admin:alerts'"
    ).fetchall()
    assert sorted(messages) == [("alert.raised", "many_connections"), ("alert.raised", "unhealthy_node")]


def test_an_alert_is_not_lost_where_it_cannot_be_broadcast(sql: psycopg.Connection[Any]) -> None:
    sql.execute("select realtime.create_channel('admin:alerts')")
    sql.execute("select realtime.close_channel('admin:alerts')")
    assert judge(sql, "b", connection_share=0.9) == 1
    assert alerts(sql) == [("many_connections", "b", None)]


def test_the_rule_about_errors_gets_its_new_description_unless_that_was_changed(sql: psycopg.Connection[Any]) -> None:
    migration = (MIGRATIONS / "0023_alerts_of_nodes.sql").read_bytes()
    old = "realtime_errors_total by code shows which; RT_001 points at the database, RT_003 at rules, RT_006 at limits."
    found = "select description from realtime.alert_rules where name = 'many_errors'"
    new = sql.execute(found.encode()).fetchone()
    assert new != (old,)
    for before, after in ((old, new), ("Call Ada.", ("Call Ada.",))):
        sql.execute("update realtime.alert_rules set description = %s where name = 'many_errors'", (before,))
        sql.execute(migration)
        assert sql.execute(found.encode()).fetchone() == after


def test_what_any_node_can_measure_is_measured_by_one_that_writes_figures_not_by_a_relay(
    sql: psycopg.Connection[Any],
) -> None:
    sql.execute(
        "insert into realtime.node_stats (node_id, version, state, position, channels, subscriptions, queries, "
        "query_subscriptions, messages, reads) values ('b', '1', 'degraded', '0/1', 0, 0, 0, 0, 0, 0)"
    )
    sql.execute("update realtime.alert_rules set hold = '0' where name = 'unhealthy_node'")
    assert judge(sql, "a") == 0
    assert judge(sql, "b") == 1
    assert alerts(sql) == [("unhealthy_node", "b", None)]
