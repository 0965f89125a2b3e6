"""In which order notices of alerts are due, and that each has an id of its own among all databases."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from typing import Any

import psycopg
from psycopg.rows import dict_row

from engine.postgres.statements.named_queries import query
from server.alerts.settings import AlertWebhook
from server.alerts.webhook import WebhookSender
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, open_transaction
from tests.support.servers.webhook import webhook_server

ALERT = """
with raised as (
  insert into realtime.alerts (rule, measure, subject, severity, value, threshold)
  values ('many_connections', 'connection_share', 'n', 'warning', 1, 0.8) returning id
)
insert into realtime.alert_notices (alert_id, event) select id, 'alert.raised' from raised
"""
CLEAR = """
with cleared as (
  update realtime.alerts set cleared_at = clock_timestamp(), cleared_because = 'measure'
  where cleared_at is null returning id
)
insert into realtime.alert_notices (alert_id, event) select id, 'alert.cleared' from cleared
"""
NEVER = "update realtime.alert_notices set next_attempt_at = 'infinity' where alert_id = %s and event = %s"
LATER = "update realtime.alert_notices set next_attempt_at = now() - interval '1 s'"


def claimed(sql: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    with sql.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query("alerts_claim").encode()).fetchall()


def events(sql: psycopg.Connection[Any]) -> list[tuple[int, str]]:
    """The notices that are due, one after another; none of them is due again until ``LATER``."""
    found: list[tuple[int, str]] = []
    while due := claimed(sql):
        found.append((due[0]["alert_id"], due[0]["event"]))
        sql.execute(NEVER, found[-1])
    return found


def test_that_an_alert_was_cleared_waits_until_it_is_delivered_that_it_was_raised(database: str) -> None:
    with connect(database) as sql:
        sql.execute(ALERT)
        assert events(sql) == [(1, "alert.raised")]
        sql.execute(CLEAR)
        assert events(sql) == [], "the receiver has not accepted the first notice"
        sql.execute(ALERT)
        assert events(sql) == [(2, "alert.raised")], "other alerts do not wait"
        sql.execute(LATER)
        assert sorted(events(sql)) == [(1, "alert.raised"), (2, "alert.raised")]
        sql.execute(query("alerts_delivered").encode(), {"alert": 1, "event": "alert.raised"})
        assert events(sql) == [(1, "alert.cleared")]  # alert 2 is open


def test_that_an_alert_was_cleared_waits_for_no_notice_that_was_given_up(database: str) -> None:
    with connect(database) as sql:
        sql.execute(ALERT)
        sql.execute(CLEAR)
        sql.execute("update realtime.alerts set raised_at = raised_at - interval '25 hours'")
        assert events(sql) == [(1, "alert.cleared")]


def test_what_a_lock_on_the_messages_keeps_from_being_broadcast_is_broadcast_in_its_order_behind_it(
    database: str,
) -> None:
    sent = "select event, payload ->> 'id' from realtime.messages where channel = 'admin:alerts' order by seq"
    announce = query("alerts_announce").encode()
    with connect(database) as sql:
        sql.execute("set lock_timeout = '50ms'")
        with open_transaction(database) as other:
            other.execute("lock table realtime.messages in access exclusive mode")
            sql.execute(ALERT)
            assert events(sql) == [(1, "alert.raised")], "the webhook does not wait for it"
            sql.execute(announce)
        sql.execute(CLEAR)
        assert sql.execute(sent).fetchall() == []
        for _ in range(2):  # it is broadcast once
            sql.execute(announce)
            assert sql.execute(sent).fetchall() == [("alert.raised", "1"), ("alert.cleared", "1")]
        sql.execute(ALERT)
        assert sql.execute(sent).fetchall()[2:] == [("alert.raised", "2")], "without a lock it is at once"


async def test_notices_of_two_databases_differ_in_their_ids_and_name_the_database(
    pg18: LocalPostgres, database: str
) -> None:
    """The two are copies in one cluster; and one of them gets a new epoch, as it does when it is restored elsewhere."""
    async with asyncio.timeout(GIVE_UP_AFTER), webhook_server() as hook:
        hook.answer_with({})
        key = b64encode(b"k" * 32).decode()
        sender = WebhookSender(AlertWebhook.model_validate({"url": hook.url, "secret": f"whsec_{key}"}))
        names = []
        with database_on(pg18) as copy:
            for dsn in (database, copy):
                with connect(dsn) as sql:
                    sql.execute(ALERT)
                    for epoch in ("before", "after"):
                        sql.execute("update realtime.settings set epoch = %s", (epoch,))
                        sql.execute(LATER)
                        [notice] = claimed(sql)
                        assert notice["alert_id"] == 1
                        await sender.send(notice["event"], notice["alert"], notice["source"])
                        names.append(sql.info.dbname)
        await sender.close()
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 4
    sources = [json.loads(request.body)["source"] for request in hook.requests]
    assert [source["database"] for source in sources] == names
    assert len({source["system_identifier"] for source in sources}) == 1
