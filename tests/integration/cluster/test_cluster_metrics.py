"""What relays and nodes of a cluster measure, and what their ``/health`` has."""

from __future__ import annotations

import asyncio
import signal

import pytest

from engine.metrics.registry import Registry
from server.cluster.relay_metrics import RelayMetrics
from server.observe.engine_state import EngineState
from server.observe.node_status import cluster_status
from tests.integration.cluster.conftest import Cluster, ids
from tests.integration.metrics.scrape import Scrape, scrape, until
from tests.support.postgres.sql import until as until_true
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess


async def sees(server: ServerProcess, *names: str, **labels: str) -> Scrape:
    """Wait until each of these series is above 0."""
    return await until(server, "none", lambda now: all(now.value(name, **labels) > 0 for name in names))


async def lags(cluster: Cluster, names: set[str]) -> None:
    """Stop NATS until each of these series was above 0. The relay leads no longer than its lease: where that was too short,
    NATS is stopped under the next one.
    """
    assert cluster.nats.process is not None
    missing, written = set(names), 0
    async with asyncio.timeout(3 * GIVE_UP_AFTER):
        while missing:
            leader = await cluster.leading()
            cluster.nats.process.send_signal(signal.SIGSTOP)
            try:
                written += 1
                cluster.insert(written)
                leads = True
                while missing and leads:
                    now = await scrape(leader, "none")
                    missing -= {name for name in missing if now.value(name) > 0}
                    leads = now.value("realtime_relay_leads") > 0
            finally:
                cluster.nats.process.send_signal(signal.SIGCONT)


@pytest.mark.long
async def test_each_metric_of_relays_moves_when_what_it_counts_happens(cluster: Cluster) -> None:
    first = await cluster.relay(relay_lease=2)
    await cluster.leading()
    second = await cluster.relay(relay_lease=2)
    leader = await cluster.leading()
    moved = {"leads", "lease_age_seconds", "terms_total", "streaming", "stream_sequence"}
    moved |= {"published_messages_total", "published_bytes_total"}
    await sees(leader, *(f"realtime_relay_{name}" for name in moved))
    lag = {"lag_bytes", "lag_seconds", "waiting_messages", "waiting_bytes"}
    await lags(cluster, {f"realtime_relay_{name}" for name in lag})
    leader = await cluster.leading()
    standby = second if leader is first else first
    leader.process.send_signal(signal.SIGSTOP)
    await sees(standby, "realtime_relay_deposed_total", "realtime_relay_leads")
    leader.process.send_signal(signal.SIGCONT)
    await sees(leader, "realtime_relay_terms_ended_total")
    registry = Registry()
    RelayMetrics(registry)
    seen = {f"realtime_relay_{name}" for name in moved | lag | {"deposed_total", "terms_ended_total"}}
    assert seen == registry.families.keys()


async def test_node_shows_its_relay_how_far_it_is_behind_the_stream_and_why_that_broke(cluster: Cluster) -> None:
    relay = await cluster.relay(node_name="left")
    await cluster.leading()
    node, other = await cluster.node(buffer_bytes=1), await cluster.node()
    registry = Registry()
    EngineState(registry, "").follow_feed(node.feed)
    rows, seen = await node.follow(), await other.follow()
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    await until_true(lambda: node.feed.behind.messages == 0)
    registry.measure()
    received = registry.value("realtime_stream_received_bytes_total")
    assert received > 0
    generation = (await relay.health())[1]["stream"]["generation"]
    shown = {"leader": "left", "generation": generation, "lagMessages": 0, "lagSeconds": 0.0, "breaks": {}}
    assert cluster_status(node.feed) == {"cluster": shown}
    async with node.stream.apply_lock:
        cluster.insert(*range(2, 802))
        await seen.until(lambda: len(ids(seen)) == 801)
        await until_true(
            lambda: node.feed.behind.messages > 0
        )  # also if it had taken the first when there was no other
        registry.measure()
        assert registry.value("realtime_stream_lag_messages") > 0
        assert registry.value("realtime_stream_lag_seconds") > 0
        async with cluster.stream() as stream:
            await stream.purge()
    await rows.until(lambda: len(ids(rows)) == 801)
    registry.measure()
    assert registry.value("realtime_stream_received_bytes_total") > received
    assert registry.value("realtime_stream_breaks_total", reason="left_behind") == 1
    await until_true(lambda: node.feed.behind == (0, 0.0))


async def test_leading_relay_that_does_not_reach_nats_is_degraded_and_names_the_reason_also_in_its_next_term(
    cluster: Cluster,
) -> None:
    relay = await cluster.relay()
    await cluster.leading()
    cluster.nats.kill()
    terms: set[int] = set()
    async with asyncio.timeout(3 * GIVE_UP_AFTER):
        while len(terms) < 2:
            body = await relay.healthy(503)
            assert body["status"] == "degraded"
            if body["role"] == "leader" and "stream" in body:
                assert body["problems"]
                terms.add(body["terms"])
            code, body = await relay.health()
            assert code == 503 or body["role"] == "standby"  # it is one again between two terms
    await asyncio.to_thread(cluster.nats.start)
    assert (await relay.healthy(200))["problems"] == []
