"""What a pool reports of its use."""

from __future__ import annotations

import asyncio

from engine.metrics.pools import PoolUsage
from engine.postgres.connections.pool import Pool
from tests.support.servers.processes import GIVE_UP_AFTER


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


async def _use(pool: Pool) -> None:
    async with pool.connection():
        pass
