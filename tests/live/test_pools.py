"""Pools of connections after an outage."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from engine.pool import Pool
from server.local_postgres import LocalPostgres
from tests.live.stage import PATIENCE


async def test_the_pauses_between_a_pools_attempts_do_not_grow_with_the_outage(own18: LocalPostgres, dsn: str) -> None:
    pool = Pool(dsn, "realtime test", size=4, timeout=0.2)
    pauses: list[float] = []
    schedule = pool._pool.schedule_task

    async def noted(task: Any, delay: float) -> None:
        if type(task).__name__ == "AddConnection":
            pauses.append(delay)
        await schedule(task, delay)

    pool._pool.schedule_task = noted  # type: ignore[method-assign]
    await pool.open()
    assert await answers(pool)
    await asyncio.to_thread(own18.stop)
    try:
        async with asyncio.timeout(PATIENCE):
            while len(pauses) < 6:  # clients come and go meanwhile
                assert not await answers(pool)
                await asyncio.sleep(0.05)
    finally:
        await asyncio.to_thread(own18.start)
    async with asyncio.timeout(PATIENCE):
        while not await answers(pool):  # noqa: ASYNC110 - a server starts
            await asyncio.sleep(0.05)
    await pool.close()
    assert max(pauses) <= 3.0


async def answers(pool: Pool) -> bool:
    try:
        async with pool.connection() as connection:
            await connection.execute("select 1")
    except (PoolTimeout, psycopg.OperationalError):
        return False
    return True
