"""Each alert of served nodes: raised by its cause, cleared when that is gone, and one notice of each."""

from __future__ import annotations

import asyncio
import hmac
import json
import signal
import time
from base64 import b64decode, b64encode
from typing import Any

from engine.errors import ErrorCode
from engine.metrics.registry import Registry
from engine.postgres.statements.named_queries import query
from server.alerts.measures import WINDOW, Measures
from server.alerts.watch import AlertWatch
from server.observe.capacity import Capacity
from server.observe.meters import Meters
from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import transport_client
from tests.support.ports import free_port
from tests.support.postgres.sql import connect, run_each, until
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving, start
from tests.support.servers.webhook import WebhookRequest, WebhookServer, webhook_server
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

CAUSED = ("many_disconnects", "many_errors", "slow_delivery")
KEY = b64encode(b"k" * 32).decode()
QUICK = "update realtime.alert_rules set hold = '0'"
RULE = """
insert into realtime.rules (channel, rules)
values ('admin:alerts', '{"subscribe": "has(auth.claims.role) && auth.claims.role == ''admin''"}'),
       ('*', '{"subscribe": true, "publish": true, "presence": true}')
"""


def settings(hook: WebhookServer) -> dict[str, object]:
    return {
        "auth_issuers": [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}],
        "alert_interval": 1,
        "alert_webhook": {"url": hook.url, "secret": f"whsec_{KEY}", "timeout": 30},
        "lease": 3,
        "max_connection_rate": 10_000,
    }


def alerts(dsn: str) -> list[tuple[Any, ...]]:
    """Rule, subject and whether it is open, in order."""
    with connect(dsn) as sql:
        return sql.execute("select rule, subject, cleared_at is null from realtime.alerts order by id").fetchall()


def is_open(dsn: str, rule: str, subject: str) -> bool:
    return (rule, subject, True) in alerts(dsn)


def is_cleared(dsn: str, rule: str, subject: str) -> bool:
    found = alerts(dsn)
    return (rule, subject, False) in found and (rule, subject, True) not in found


def content(request: WebhookRequest) -> dict[str, Any]:
    """The body of a request, if its signature is right (Standard Webhooks)."""
    id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    signed = b".".join((id.encode(), at.encode(), request.body))
    signature = b64encode(hmac.digest(b64decode(KEY), signed, "sha256")).decode()
    assert request.headers["webhook-signature"] == f"v1,{signature}"
    assert abs(time.time() - int(at)) < 3600
    found: dict[str, Any] = json.loads(request.body)
    return found


async def test_causes_raise_alerts_and_their_end_clears_them_with_one_notice_each(database: str) -> None:
    run_each(database, QUICK, RULE, "select realtime.expose('realtime.alerts')")
    first, second = sorted((slot_name(), slot_name()))
    async with asyncio.timeout(6 * GIVE_UP_AFTER), webhook_server() as hook:
        hook.answer_with({})
        ports = free_port(), free_port()
        async with (
            serving(database, ports[0], slot_name=first, ephemeral=True, **settings(hook)) as one,
            transport_client(one.url, "websocket", token=token(sub="ada", role="admin")) as ada,
        ):
            assert (await ada.join("admin:alerts"))["type"] == "subscribed"
            assert (await ada.join("db:collection:alerts", id="q", query={"orderBy": [["id"]]}))["type"] == "subscribed"
            async with transport_client(one.url, "websocket", token=token(sub="bob")) as bob:
                assert (await bob.join("admin:alerts"))["code"] == "RT_003"
                forged = {"channel": "admin:alerts", "event": "alert.raised", "data": {"rule": "slot_lag"}}
                assert (await bob.ask(type="message", ref="1", **forged))["code"] == "RT_003"

            # Connections beyond their share of what the node can have.
            run_each(
                database,
                "update realtime.alert_rules set threshold = 0, clear_at = 0 where name = 'many_connections'",
            )
            await until(lambda: is_open(database, "many_connections", first))
            run_each(
                database,
                "update realtime.alert_rules set threshold = 0.8, clear_at = 0.8 where name = 'many_connections'",
            )
            await until(lambda: is_cleared(database, "many_connections", first))

            # A node that is killed, and comes back.
            other = await _started(database, ports[1], second, hook)
            other.process.send_signal(signal.SIGKILL)
            await other.end()
            await until(lambda: is_open(database, "unhealthy_node", second))
            other = await _started(database, ports[1], second, hook)
            await until(lambda: is_cleared(database, "unhealthy_node", second))

            # A slot that is lost while its node is stopped.
            await other.end()
            run_each(database, f"select pg_drop_replication_slot('{second}')")
            await until(lambda: is_open(database, "slot_lost", second))
            other = await _started(database, ports[1], second, hook)
            await until(lambda: is_cleared(database, "slot_lost", second))
            await other.end()

            # A slot that holds WAL, and one that lags.
            run_each(
                database,
                "update realtime.alert_rules set threshold = 0, clear_at = 0 where name in ('wal_retained', 'slot_lag')",
                "select pg_logical_emit_message(false, 'x', repeat('x', 1000000))",
            )
            await until(lambda: is_open(database, "wal_retained", second) and is_open(database, "slot_lag", second))
            run_each(
                database,
                "update realtime.alert_rules set threshold = 1e12, clear_at = 1e12 where measure like 'slot%bytes'",
            )
            await until(
                lambda: is_cleared(database, "wal_retained", second) and is_cleared(database, "slot_lag", second)
            )

            expected = [
                (f"alert.{change}", rule, subject)
                for rule, subject, _ in alerts(database)
                for change in ("raised", "cleared")
            ]
            await until(lambda: len(hook.requests) >= len(expected))
            sent = [content(request) for request in hook.requests]
            assert sorted((each["type"], each["data"]["rule"], each["data"]["subject"]) for each in sent) == sorted(
                expected
            )
            assert len({request.headers["webhook-id"] for request in hook.requests}) == len(expected)
            events: list[tuple[str, str, str]] = []
            while len(events) < len(expected):
                message = await ada.receive("message")
                events.append((message["event"], message["data"]["rule"], message["data"]["subject"]))
            assert sorted(events) == sorted(expected)
        run_each(database, f"select pg_drop_replication_slot('{second}')")


async def _started(dsn: str, port: int, slot: str, hook: WebhookServer) -> ServerProcess:
    server = await start("serve", "--dsn", dsn, port=port, config={"slot_name": slot, **settings(hook)})
    await server.healthy()
    return server


async def test_what_clients_meet_with_is_raised_and_cleared_when_it_is_longer_ago_than_the_window(
    database: str,
) -> None:
    """Errors, slow deliveries and broken connections of a real node, in a clock that the test sets."""
    run_each(database, QUICK)
    now = 1_000.0
    registry = Registry()
    meters = Meters(registry)
    Capacity(registry, planned=1_000)

    async def write(name: str, **parameters: object) -> list[dict[str, Any]]:
        with connect(database) as sql:
            sql.execute(query(name).encode(), parameters)
        return []

    run_each(
        database,
        "insert into realtime.nodes (id, host, pid, started_at, lease_expires_at, schema_version) "
        "values ('n', 'h', 1, now(), now() + '1 hour', 1)",
    )
    watch = AlertWatch("n", Measures(registry), write, 1.0, clock=lambda: now)
    await watch.judge()
    meter = meters.of("websocket")
    for _ in range(30):
        meter.received(10)
        meters.error("websocket", ErrorCode.CONNECTION_FAILED)
        meter.opened()
        meter.closed(1006, 1.0)
    meters.latencies.of("websocket").observe(3_000_000, 30)
    now += 10
    await watch.judge()
    assert sorted(alerts(database)) == [(rule, "n", True) for rule in CAUSED]
    now += WINDOW
    await watch.judge()
    now += 10
    await watch.judge()
    assert sorted(alerts(database)) == [(rule, "n", False) for rule in CAUSED]


async def test_a_notice_that_is_not_accepted_is_sent_again_with_the_same_id(database: str) -> None:
    run_each(
        database, QUICK, "update realtime.alert_rules set threshold = 0, clear_at = 0 where name = 'many_connections'"
    )
    async with asyncio.timeout(4 * GIVE_UP_AFTER), webhook_server() as hook:
        hook.answer_with({}, 500)
        name = slot_name()
        async with (
            serving(database, free_port(), slot_name=name, ephemeral=True, **settings(hook)) as server,
            transport_client(server.url, "websocket", token=token(sub="ada")),
        ):
            await until(lambda: hook.requests)
            await until(lambda: "status 500" in str(notices(database)))
            hook.answer_with({})
            run_each(database, "update realtime.alert_notices set next_attempt_at = now()")
            await until(lambda: [each[2] for each in notices(database)] == [True])
            assert notices(database)[0][:2] == ("alert.raised", None)
            await server.end()
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    assert "alert_not_delivered" in "".join(server.lines)
    assert KEY not in "".join(server.lines)


def notices(dsn: str) -> list[tuple[Any, ...]]:
    with connect(dsn) as sql:
        return sql.execute("select event, error, delivered_at is not null from realtime.alert_notices").fetchall()
