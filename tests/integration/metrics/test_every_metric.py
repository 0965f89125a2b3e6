"""Each metric moves when what it counts happens, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from server.observe.node_metrics import NodeMetrics
from tests.integration.metrics.scrape import scrape, until
from tests.support.clients.list_client import slot_name, write
from tests.support.clients.transports import TransportClient, transport_client
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

KEY = "k" * 32
TASKS = "db:collection:task"
ELSEWHERE = {
    "realtime_read_batch_seconds": "tests/integration/live/rights/claims/test_batched_reads.py",
    "realtime_read_batch_claims": "tests/integration/live/rights/claims/test_batched_reads.py",
    "realtime_moves_total": "tests/integration/balance/test_moves.py",
    "realtime_stream_lag_messages": "tests/integration/cluster/test_cluster_metrics.py",
    "realtime_stream_lag_seconds": "tests/integration/cluster/test_cluster_metrics.py",
    "realtime_stream_received_bytes_total": "tests/integration/cluster/test_cluster_metrics.py",
    "realtime_stream_breaks_total": "tests/integration/cluster/test_cluster_metrics.py",
}
"""Metrics that need more than a client and a table, and the tests that move them."""

TABLES = "create table task (id int primary key, body text); select realtime.expose('task')"


class World:
    """A server, its database, and what was seen of it: ``moved`` are the metrics that a step has found changed."""

    def __init__(self, dsn: str, server: ServerProcess) -> None:
        self.dsn = dsn
        self.server = server
        self.slot = ""
        self.moved: set[str] = set()

    async def sees(self, name: str, above: float = 0, **labels: str) -> float:
        """Wait until a series is above a value; returns it."""
        found = await until(self.server, KEY, lambda now: now.value(name, **labels) > above)
        self.moved.add(name)
        return found.value(name, **labels)

    async def sees_no(self, name: str, **labels: str) -> None:
        """Wait until a gauge is 0 again."""
        await until(self.server, KEY, lambda now: now.value(name, **labels) == 0)

    @asynccontextmanager
    async def client(self, transport: str = "websocket") -> AsyncIterator[TransportClient]:
        async with transport_client(self.server.url, transport) as client:
            yield client


@pytest.mark.long
async def test_each_metric_moves_when_what_it_counts_happens(database: str) -> None:
    write(database, *TABLES.split("; "))
    slot = slot_name()
    issuers = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}]
    options: dict[str, Any] = {"rest_key": KEY, "auth_issuers": issuers, "heartbeat_interval": 0.2}
    async with (
        serving(database, free_port(), slot_name=slot, max_subscriptions=3, rest_pool_size=1, **options) as server,
        asyncio.timeout(4 * GIVE_UP_AFTER),
    ):
        world = World(database, server)
        await connections_and_messages(world)
        await lists(world)
        await refusals(world)
        await waiting(world)
        await queues(world)
        await stream(world, slot)
        assert world.moved == NodeMetrics().registry.families.keys() - ELSEWHERE.keys()


async def connections_and_messages(world: World) -> None:
    async with world.client() as client:
        await world.sees("realtime_connections", transport="websocket")
        await world.sees("realtime_connections_capacity")
        await world.sees("realtime_load_ratio")
        await world.sees("realtime_cpu_ratio")
        await world.sees("realtime_connections_opened_total", transport="websocket")
        joined = await client.join("chat:1")
        await world.sees("realtime_channels")
        await world.sees("realtime_channel_subscriptions", kind="chat")
        await world.sees("realtime_channel_connections", kind="chat")
        await client.ask(type="message", channel="chat:1", event="sent", data={"n": 1})
        await client.receive("message")
        for name in ("messages_received", "messages_sent", "received_bytes", "sent_bytes"):
            await world.sees(f"realtime_{name}_total", transport="websocket")
        await world.sees("realtime_delivery_latency_seconds", transport="websocket")
        for stage in ("feed", "apply", "encode", "write"):
            await world.sees("realtime_stage_latency_seconds", stage=stage)
        await world.sees("realtime_publish_batch_messages")
        await world.sees("realtime_publish_batch_seconds")
        await client.leave()
    await world.sees("realtime_connections_closed_total", transport="websocket", code="1000")
    await world.sees("realtime_connection_duration_seconds", transport="websocket")
    await world.sees_no("realtime_connections")
    await world.sees_no("realtime_channel_subscriptions", kind="chat")
    await world.sees_no("realtime_channel_connections", kind="chat")
    async with world.client() as client:
        assert (await client.join("chat:1", since=joined["position"]))["recovered"]
        await world.sees("realtime_resumptions_total", type="channel", recovered="true")
        assert await world.sees("realtime_reconnections_total", transport="websocket") == 1


async def lists(world: World) -> None:
    async with world.client() as client:
        await client.join(TASKS, id="window")
        await client.join(TASKS, id="counted", query={"sql": "select count(*) as n from task"})
        for strategy in ("incremental", "sql"):
            await world.sees("realtime_live_queries", strategy=strategy)
            await world.sees("realtime_live_subscriptions", strategy=strategy)
            await world.sees("realtime_query_read_seconds", collection="task", strategy=strategy)
        await world.sees("realtime_pool_connections", pool="live")


async def refusals(world: World) -> None:
    async with world.client() as client:
        for number in range(3):
            await client.join(f"chat:{number}")
        await client.join("chat:3")
        await world.sees("realtime_limits_hit_total", limit="max_subscriptions")
        await world.sees("realtime_errors_total", transport="websocket", code="RT_006")
        await client.send(type="unsubscribe", channel="chat:1")
        await client.receive("unsubscribed")
        assert (await client.join("private:user-bob"))["code"] == "RT_003"
        await world.sees("realtime_denied_total", action="subscribe")
    async with httpx.AsyncClient(base_url=f"{world.server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
        for wrong, reason in ((token(key="another" * 8), "signature"), (token(exp=1), "expired"), ("x", "malformed")):
            answer = await http.get("/sse", headers={"Authorization": f"Bearer {wrong}"})
            assert answer.status_code == 401
            assert await world.sees("realtime_authentication_failures_total", reason=reason) == 1
    await world.sees("realtime_errors_total", 2, transport="http", code="RT_002")


async def waiting(world: World) -> None:
    """A table is locked for a moment."""
    with psycopg.connect(world.dsn) as locking:
        locking.execute("lock table realtime.messages in access exclusive mode")
        async with world.client() as client:
            await client.send(type="message", channel="chat:1", event="sent", data={})
            await world.sees("realtime_publishing_messages")
            locking.rollback()
            await client.receive("ack")
    await world.sees_no("realtime_publishing_messages")


async def queues(world: World) -> None:
    """Reads wait for a place of their lane, and requests for the one connection of REST, while tables are locked."""
    with psycopg.connect(world.dsn) as locking:
        locking.execute("lock table task, realtime.alert_rules in access exclusive mode")
        key = {"Authorization": f"Bearer {KEY}"}
        async with (
            world.client() as client,
            httpx.AsyncClient(base_url=world.server.url, headers=key, timeout=GIVE_UP_AFTER) as http,
        ):
            for number in range(3):
                query = {"where": [["id", ">", number]]}
                await client.send(type="subscribe", channel=TASKS, id=f"after {number}", query=query)
            asking = [asyncio.create_task(http.get("/realtime/alert-rules")) for _ in range(3)]
            await world.sees("realtime_lane_reads", state="running")
            await world.sees("realtime_lane_reads", state="waiting")
            await world.sees("realtime_pool_waiting", pool="rest")
            locking.rollback()
            for _ in range(3):
                await client.receive("subscribed")
            assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
    await world.sees_no("realtime_lane_reads")
    await world.sees_no("realtime_pool_waiting")


async def stream(world: World, slot: str) -> None:
    await world.sees("realtime_feed_streaming")
    await world.sees("realtime_event_loop_lag_seconds")
    await world.sees("realtime_slot_retained_bytes")
    await world.sees("realtime_slot_state", state="reserved")
    with psycopg.connect(world.dsn, autocommit=True) as admin:
        [(version,)] = admin.execute("select current_setting('server_version')").fetchall()
        await world.sees("realtime_build_info", postgres=version)
        try:
            admin.execute("alter system set max_slot_wal_keep_size = '10GB'")
            admin.execute("select pg_reload_conf()")
            await world.sees("realtime_slot_safe_bytes")
        finally:
            admin.execute("alter system reset max_slot_wal_keep_size")
            admin.execute("select pg_reload_conf()")
    for name in ("realtime_tail_transactions", "realtime_feed_lag_seconds", "realtime_feed_lag_bytes"):
        await writing(world, name, "insert into task select coalesce(max(id), 0) + 1 from task")
    await writing(world, "realtime_slot_lag_bytes", "create temp table noise as select generate_series(1, 1000) as n")
    await world.sees_no("realtime_feed_lag_seconds")
    sessions = await world.sees("realtime_feed_sessions_total")
    end = "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s and active"
    with psycopg.connect(world.dsn, autocommit=True) as admin:
        admin.execute(end, [slot])
        await world.sees("realtime_feed_sessions_total", sessions)
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not drop(admin, slot):
                admin.execute(end, [slot])
                await asyncio.sleep(0)
    await world.sees("realtime_rereads_of_everything_total")
    await world.sees("realtime_feed_streaming")


def drop(admin: psycopg.Connection, slot: str) -> bool:
    """Whether the slot could be dropped."""
    try:
        admin.execute("select pg_drop_replication_slot(%s)", [slot])
    except (psycopg.errors.ObjectInUse, psycopg.errors.UndefinedObject):
        return False
    return True


async def writing(world: World, name: str, statement: str) -> None:
    """Wait until a gauge is above 0 while ``statement`` is run again and again."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while not (await scrape(world.server, KEY)).value(name):
            write(world.dsn, statement)
    world.moved.add(name)
