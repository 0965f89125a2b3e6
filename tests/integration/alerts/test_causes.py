"""Each default rule on two nodes: its cause raises the alert, the end of the cause clears it, with one notice of each."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from engine.tasks import end
from tests.integration.alerts.served import alerts, content, is_cleared, is_open, settings
from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import Message, SocketClient, TransportClient, transport_client
from tests.support.ports import free_port
from tests.support.postgres.sql import read, run_each, until
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, start
from tests.support.servers.webhook import WebhookServer, webhook_server
from tests.support.values.tokens import token

MANY = 30
PLANNED = MANY // 2
KEPT = 2_000_000
"""Bytes of WAL; the rules about it are set to half of that, a test that writes gigabytes would be of no use."""
RULES = (
    "update realtime.alert_rules set hold = '0'",
    f"update realtime.alert_rules set threshold = {KEPT // 2}, clear_at = {KEPT // 4} where measure like 'slot%bytes'",
    """insert into realtime.rules (channel, rules)
       values ('admin:alerts', '{"subscribe": "has(auth.claims.role) && auth.claims.role == ''admin''"}'),
              ('*', '{"subscribe": true, "publish": true, "presence": true}')""",
    "select realtime.expose('realtime.alerts')",
)
FULL_DISK = (
    "create function full_disk() returns trigger language plpgsql as "
    "$$ begin raise exception 'No space left on device' using errcode = 'disk_full'; end $$",
    "create trigger full_disk before insert on realtime.messages for each row when (new.channel = 'chat:1') "
    "execute function full_disk()",
)
ALERTS: dict[str, Any] = {"channel": "db:collection:alerts", "id": "q", "query": {"orderBy": [["id"]]}}
EMPTY_DISK = ("drop trigger full_disk on realtime.messages", "drop function full_disk()")


class Nodes:
    """Two nodes of one database, each with the webhook: ``first`` and ``second`` are the names of node and slot."""

    def __init__(self, dsn: str, hook: WebhookServer) -> None:
        self.dsn = dsn
        self._settings = settings(hook) | {"planned_connections": PLANNED, "heartbeat_interval": 0.2}
        self.first, self.second = sorted((slot_name(), slot_name()))
        self.running: dict[str, ServerProcess] = {}

    async def start(self, name: str) -> ServerProcess:
        config = {"slot_name": name, **self._settings}
        self.running[name] = await start(
            "serve", "--dsn", self.dsn, port=free_port(), config=config, module="tests.support.programs.short_windows"
        )
        await self.running[name].healthy()
        return self.running[name]

    async def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        await self.running.pop(name).end(how)

    async def raised(self, rule: str, subject: str) -> None:
        """Wait until the alert was raised; it may be cleared by now."""
        await until(lambda: (rule, subject) in [each[:2] for each in alerts(self.dsn)])

    async def cleared(self, rule: str, subject: str, *again: str) -> None:
        def cleared_now() -> bool:
            run_each(self.dsn, *again)
            return is_cleared(self.dsn, rule, subject)

        await until(cleared_now)


@asynccontextmanager
async def two_nodes(dsn: str, hook: WebhookServer) -> AsyncIterator[Nodes]:
    nodes = Nodes(dsn, hook)
    try:
        for name in (nodes.first, nodes.second):
            await nodes.start(name)
        yield nodes
    finally:
        for name in list(nodes.running):
            await nodes.end(name)
        slots = (
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
        )
        run_each(dsn, slots)


@pytest.mark.long
async def test_each_cause_raises_its_alert_and_its_end_clears_it_with_one_notice_of_two_nodes(database: str) -> None:
    run_each(database, *RULES)
    async with asyncio.timeout(8 * GIVE_UP_AFTER), webhook_server() as hook:
        hook.answer_with({})
        async with two_nodes(database, hook) as nodes:
            watched = nodes.running[nodes.first]
            assert alerts(database) == [], "two nodes that start are no cause"
            async with administrator(watched) as received:
                await connections_come_and_break(nodes, watched)
                await the_disk_is_full(nodes, watched)
                await the_stream_stands_still(nodes)
                for rule in ("many_connections", "many_disconnects", "many_errors", "slow_delivery"):
                    await nodes.cleared(rule, nodes.first)
                await a_node_is_killed(nodes)
                await a_slot_is_left_alone(nodes)
                await a_slot_is_lost(nodes)
                await until(lambda: not any(is_open for *_, is_open in alerts(database)))
                raised = [each[:2] for each in alerts(database)]
                rules = read(database, "select name from realtime.alert_rules")
                assert {rule for rule, _ in raised} == {name for (name,) in rules}
                expected = sorted((f"alert.{change}", *each) for each in raised for change in ("raised", "cleared"))
                await until(lambda: len(hook.requests) >= len(expected))
                sent = [content(request) for request in hook.requests]
                assert (
                    sorted((each["type"], each["data"]["rule"], each["data"]["subject"]) for each in sent) == expected
                )
                assert len({request.headers["webhook-id"] for request in hook.requests}) == len(expected)
                await until(lambda: len(events(received)) >= len(expected))
                assert sorted(events(received)) == expected
                ids = {str(id) for (id,) in read(database, "select id from realtime.alerts")}
                await until(lambda: listed(received) == ids)


@asynccontextmanager
async def administrator(server: ServerProcess) -> AsyncIterator[list[Message]]:
    """What an administrator receives of alerts, as messages and as a live query; others have no part in it."""
    async with transport_client(server.url, "websocket", token=token(sub="bob")) as bob:
        assert (await bob.join("admin:alerts"))["code"] == "RT_003"
        forged = {"channel": "admin:alerts", "event": "alert.raised", "data": {"rule": "slot_lag"}}
        assert (await bob.ask(type="message", ref="1", **forged))["code"] == "RT_003"
    received: list[Message] = []

    async def follow(client: TransportClient) -> None:
        while True:
            received.append(await client.next())

    async with transport_client(server.url, "websocket", token=token(sub="ada", role="admin")) as ada:
        for wanted in ({"channel": "chat:1"}, {"channel": "admin:alerts"}, ALERTS):
            assert (await ada.join(**wanted))["type"] == "subscribed"
        following = asyncio.create_task(follow(ada))
        try:
            yield received
        finally:
            await end([following])


def events(received: Sequence[Message]) -> list[tuple[str, str, str]]:
    """Event, rule and subject of each message of the channel."""
    return [
        (each["event"], each["data"]["rule"], each["data"]["subject"])
        for each in received
        if each["type"] == "message" and each["channel"] == "admin:alerts"
    ]


def listed(received: Sequence[Message]) -> set[str]:
    """The ids of the alerts that the live query has sent."""
    return {change["doc"]["id"] for each in received if each["type"] == "snapshot" for change in each["changes"]}


async def connections_come_and_break(nodes: Nodes, watched: ServerProcess) -> None:
    """More than 80 % of what the node can have; then all of them break."""
    async with AsyncExitStack() as stack:
        many = [
            await stack.enter_async_context(
                transport_client(watched.url, "websocket", token=token(sub=f"user-{number}"))
            )
            for number in range(MANY)
        ]
        await nodes.raised("many_connections", nodes.first)
        for each in many:
            assert isinstance(each, SocketClient)
            each.socket.transport.abort()
    await nodes.raised("many_disconnects", nodes.first)


async def the_disk_is_full(nodes: Nodes, watched: ServerProcess) -> None:
    """The database takes no messages, and clients are answered with errors of the server."""
    run_each(nodes.dsn, *FULL_DISK)
    async with (
        transport_client(watched.url, "websocket", token=token(sub="bob")) as bob,
        asyncio.timeout(GIVE_UP_AFTER),
    ):
        while not is_open(nodes.dsn, "many_errors", nodes.first):
            answer = await bob.ask(type="message", channel="chat:1", event="sent", data={}, ref="1")
            assert answer["code"] == "RT_001", answer
    run_each(nodes.dsn, *EMPTY_DISK)


async def the_stream_stands_still(nodes: Nodes) -> None:
    """PostgreSQL's process that streams to the node stops for more than a second, again and again."""
    of_slot = "select active_pid from pg_replication_slots where slot_name = %s"
    async with asyncio.timeout(GIVE_UP_AFTER):
        while not is_open(nodes.dsn, "slow_delivery", nodes.first):
            [(walsender,)] = read(nodes.dsn, of_slot, nodes.first)
            os.kill(walsender, signal.SIGSTOP)
            try:
                run_each(nodes.dsn, "select realtime.broadcast('chat:1', 'sent', '1')")
                await asyncio.sleep(1.2)
            finally:
                os.kill(walsender, signal.SIGCONT)


async def a_node_is_killed(nodes: Nodes) -> None:
    await nodes.end(nodes.second, signal.SIGKILL)
    await nodes.raised("unhealthy_node", nodes.second)
    await nodes.start(nodes.second)
    await nodes.cleared("unhealthy_node", nodes.second)


async def a_slot_is_left_alone(nodes: Nodes) -> None:
    """A node stops, and its slot keeps what is written meanwhile."""
    await nodes.end(nodes.second)
    run_each(nodes.dsn, *["select pg_logical_emit_message(false, 'x', repeat('x', 1000))"] * 10)
    written = f"select pg_logical_emit_message(false, 'x', repeat('x', {KEPT}))"
    run_each(nodes.dsn, written)
    for rule in ("slot_lag", "wal_retained"):
        await nodes.raised(rule, nodes.second)
    await nodes.start(nodes.second)
    for rule in ("slot_lag", "wal_retained"):
        await nodes.cleared(rule, nodes.second, "checkpoint")  # with which the position to restart from moves on


async def a_slot_is_lost(nodes: Nodes) -> None:
    await nodes.end(nodes.second)
    run_each(nodes.dsn, f"select pg_drop_replication_slot('{nodes.second}')")
    await nodes.raised("slot_lost", nodes.second)
    await nodes.start(nodes.second)
    await nodes.cleared("slot_lost", nodes.second)
