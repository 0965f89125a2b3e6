"""Workers and their relay that are killed, and workers that are restarted one after the other, while clients go on."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import psycopg
import pytest
from bunbase import Channel, Realtime

from tests.integration.workers.conftest import WORKERS, workers_over
from tests.support.postgres.sql import read
from tests.support.servers.processes import GIVE_UP_AFTER

CLIENTS = 6


async def publish(dsn: str, over: asyncio.Event) -> int:
    """Broadcast numbers from SQL until it has ended; returns how many."""
    count = 0
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        while not over.is_set():
            await connection.execute("select realtime.broadcast('news', 'number', to_jsonb(%s::int))", (count,))
            count += 1
            await asyncio.sleep(0.01)
    return count


async def numbers(channel: Channel, received: list[int]) -> None:
    """Collect what the channel brings, without end."""
    async for message in channel.messages():
        assert isinstance(message.data, int)
        received.append(message.data)


@pytest.mark.long
async def test_clients_miss_nothing_and_get_nothing_twice_while_workers_are_killed_and_restarted(database: str) -> None:
    async with workers_over(database, drain_time=1) as workers, AsyncExitStack() as stack:
        first = workers.pids
        owned = "select slot_name from pg_replication_slots where database = current_database()"
        assert read(database, owned) == [(workers.slot,)], "one for all workers"

        received: list[list[int]] = [[] for _ in range(CLIENTS)]
        over = asyncio.Event()
        async with asyncio.timeout(2 * GIVE_UP_AFTER), asyncio.TaskGroup() as group:
            reading = []
            for numbered in received:
                client = await stack.enter_async_context(Realtime(workers.server.url, reconnect_delay=0.05))
                channel = await client.channel("news").subscribe()
                reading.append(group.create_task(numbers(channel, numbered)))
            publishing = group.create_task(publish(database, over))
            while not all(received):  # noqa: ASYNC110 - clients of other tasks are waited for
                await asyncio.sleep(0.05)
            nodes = read(database, "select distinct node_id from realtime.connections")
            assert {node for (node,) in nodes} <= {f"{workers.slot}_{number}" for number in first}

            os.kill(first[2], signal.SIGKILL)
            ended = await workers.event("worker_ended")
            assert (ended["number"], ended["how"]) == (2, "signal 9 (SIGKILL)")
            await workers.event("worker_ready", WORKERS + 1)
            second = workers.pids
            assert {number for number in first if first[number] != second[number]} == {2}

            os.kill((await workers.event("relay_ready"))["pid"], signal.SIGKILL)
            await workers.event("relay_ready", 2)

            workers.server.process.send_signal(signal.SIGHUP)
            await workers.event("workers_restarted")
            third = workers.pids
            assert not set(third.values()) & set(second.values())
            restarted = [event["number"] for event in workers.events("worker_ready")[-WORKERS:]]
            assert restarted == [1, 2, 3], "one after the other"

            over.set()
            count = await publishing
            while any(each[-1] < count - 1 for each in received):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            for task in reading:
                task.cancel()
        assert received == [list(range(count))] * CLIENTS
        assert await workers.server.end() == 0
