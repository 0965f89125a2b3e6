"""What a pool reports of its use."""

from __future__ import annotations

import asyncio

import httpx
from prometheus_client.parser import text_string_to_metric_families

from engine.metrics.pools import PoolUsage
from engine.postgres.connections.pool import Pool
from engine.postgres.read_lanes import Lanes
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, serving


async def test_a_pool_reports_who_has_a_connection_and_who_waits_for_one(database: str) -> None:
    pool = Pool(database, "test", size=1, idle=1, timeout=GIVE_UP_AFTER)
    await pool.open()
    try:
        async with pool.connection():
            assert pool.usage == PoolUsage(used=1, idle=0, waiting=0)
            waiting = asyncio.create_task(_use(pool))
            async with asyncio.timeout(GIVE_UP_AFTER):
                while not pool.usage.waiting:  # noqa: ASYNC110 - the pool has no event for it
                    await asyncio.sleep(0)
            assert pool.usage == PoolUsage(used=1, idle=0, waiting=1)
        await waiting
        async with asyncio.timeout(GIVE_UP_AFTER):
            while pool.usage != PoolUsage(used=0, idle=1, waiting=0):  # noqa: ASYNC110 - given back by a task of the pool
                await asyncio.sleep(0)
    finally:
        await pool.close()


async def test_a_lane_reports_which_reads_run_and_which_wait_for_a_place() -> None:
    lanes, release = Lanes(2, each=1), asyncio.Event()
    reads = [asyncio.create_task(_read(lanes, user, release)) for user in ("ada", "ada", "bob")]
    async with asyncio.timeout(GIVE_UP_AFTER):
        while lanes.usage != {"quick": (1, 2), "slow": (0, 0)}:  # noqa: ASYNC110 - it takes turns of the loop
            await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*reads)
    assert lanes.usage == {"quick": (0, 0), "slow": (0, 0)}


async def test_the_metrics_of_a_node_have_its_pools_and_lanes(database: str) -> None:
    async with (
        serving(database, free_port()) as server,
        httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http,
    ):
        await http.get("/realtime/nodes")
        found = parsed((await http.get("/metrics")).text)
    pools = {(labels["pool"], labels["state"]) for labels in found["realtime_pool_connections"]}
    assert pools == {(pool, state) for pool in ("live", "channels", "history", "rest") for state in ("used", "idle")}
    lanes = {(labels["lane"], labels["state"]) for labels in found["realtime_lane_reads"]}
    assert lanes == {(lane, state) for lane in ("quick", "slow") for state in ("running", "waiting")}


def parsed(text: str) -> dict[str, list[dict[str, str]]]:
    """The labels of each series, by metric."""
    return {each.name: [sample.labels for sample in each.samples] for each in text_string_to_metric_families(text)}


async def _read(lanes: Lanes, user: str, release: asyncio.Event) -> None:
    async with lanes.enter(set(), holders=(user,)):
        await release.wait()


async def _use(pool: Pool) -> None:
    async with pool.connection():
        pass
