"""Pools of connections after an outage."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from engine.postgres.connections.pool import Pool
from engine.postgres.reconnecting import Database
from server.cli.local_postgres import LocalPostgres
from tests.support.nodes.live_node import terminate
from tests.support.postgres.sql import GIVE_UP_AFTER, run_each, until


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
    await answering(pool)
    await asyncio.to_thread(own18.stop)
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            while len(pauses) < 6:  # clients come and go meanwhile
                assert not await answers(pool)
                await asyncio.sleep(0.05)
    finally:
        await asyncio.to_thread(own18.start)
    await answering(pool)
    await pool.close()
    assert max(pauses) <= 3.0


async def test_one_dead_connection_has_the_others_checked(dsn: str) -> None:
    pool = Pool(dsn, "realtime test", size=4, timeout=GIVE_UP_AFTER)
    await pool.open()
    async with asyncio.timeout(GIVE_UP_AFTER):
        async with AsyncExitStack() as used:
            for _ in range(4):
                await used.enter_async_context(pool.connection())
        assert terminate(dsn, "realtime test") == 4
        assert sorted([await answers(pool) for _ in range(4)]) == [False, True, True, True]
    await pool.close()


async def test_a_pool_waits_for_a_server_that_has_no_connection_to_give(dsn: str) -> None:
    """The role may have one connection, which another session has at first."""
    run_each(dsn, f"create role {(role := f'r_{uuid.uuid4().hex[:8]}')} login connection limit 1")
    limited = dsn.replace("postgres@", f"{role}@")
    pool = Pool(limited, "realtime test", size=4, timeout=GIVE_UP_AFTER)
    try:
        with psycopg.connect(limited):
            await pool.open()
            await until(lambda: pool.problem)
            waiting = [asyncio.create_task(busy(pool)) for _ in range(8)]
        async with asyncio.timeout(GIVE_UP_AFTER):
            assert all(await asyncio.gather(*waiting))
        assert pool.problem is None
    finally:
        await pool.close()
        run_each(dsn, f"drop role {role}")


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_use_that_ends_while_it_enters_a_pipeline_leaves_no_connection_without_answers(
    dsn: str, how: str
) -> None:
    """psycopg gives other tasks a turn once it is in pipeline mode, if it has been busy for some milliseconds."""
    pool = Pool(dsn, "realtime test", size=1, timeout=GIVE_UP_AFTER)
    await pool.open()

    async def use() -> None:
        async with pool.connection() as connection:
            await connection.execute("select 1")
            time.sleep(0.02)  # noqa: ASYNC251 - a loop under load
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            try:
                async with connection.pipeline():
                    await connection.execute("select 2")
            except asyncio.CancelledError:
                if how == "cancelled":
                    raise
                task.uncancel()
                raise TimeoutError from None

    with pytest.raises((asyncio.CancelledError, TimeoutError)):
        await asyncio.create_task(use())
    async with asyncio.timeout(GIVE_UP_AFTER), pool.connection() as connection:
        cursor = await connection.execute("select 3")
        assert cursor.pgresult is not None, "the statement has its result when it returns"
    await pool.close()


async def test_a_cancellation_while_a_connection_is_handed_over_is_not_lost(dsn: str) -> None:
    """Whatever turn of the event loop it comes in: a subscription of a client that has left would be opened."""
    pool = Pool(dsn, "realtime test", size=1, timeout=GIVE_UP_AFTER)
    await pool.open()
    used: list[int] = []

    async def use(turns: int) -> None:
        async with pool.connection():
            used.append(turns)

    for turns in range(20):
        async with pool.connection():
            waiting = asyncio.create_task(use(turns))
            for _ in range(10):  # until it waits for the only connection
                await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        begun = turns in used
        waiting.cancel()
        await asyncio.wait([waiting], timeout=GIVE_UP_AFTER)
        assert waiting.done()
        assert begun or turns not in used, f"used although it was cancelled, after {turns} turns"
    async with asyncio.timeout(GIVE_UP_AFTER), pool.connection() as connection:
        await connection.execute("select 1")
    await pool.close()


async def busy(pool: Pool) -> bool:
    """A use that another one at the same time needs another connection for."""
    async with pool.connection() as connection:
        await connection.execute("select pg_sleep(0.1)")
        return True


async def answers(pool: Pool) -> bool:
    try:
        async with pool.connection() as connection:
            await connection.execute("select 1")
    except (PoolTimeout, psycopg.OperationalError):
        return False
    return True


async def answering(pool: Pool) -> None:
    """Wait until the pool answers within its own timeout."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while not await answers(pool):  # noqa: ASYNC110 - a server starts
            await asyncio.sleep(0.05)


async def test_tasks_that_need_the_one_connection_at_the_same_time_share_it(dsn: str) -> None:
    async with Database(dsn, "realtime test") as database:
        one, other = await asyncio.gather(database.connection(), database.connection())
        assert one is other
        await one.close()
        one, other = await asyncio.gather(database.connection(), database.connection())
        assert one is other
