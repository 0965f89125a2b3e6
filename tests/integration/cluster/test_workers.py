"""Workers of one machine as one node of a cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.faultproxy.actors import Actor, PythonActor
from tests.integration.cluster.conftest import Cluster
from tests.integration.cluster.test_recording import NOTED, writers
from tests.integration.workers.conftest import workers_over
from tests.support.clients.list_client import TABLE
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run, run_each, until

NODES = "select distinct node_id from realtime.connections"


async def arrived(actors: list[Actor], count: int, docs: list[int]) -> None:
    """Wait until each client has so many messages, and the rows with these ids."""
    for actor in actors:
        async with asyncio.timeout(GIVE_UP_AFTER):
            while len(actor.received) < count or [doc["id"] for doc in actor.docs] != docs:
                actor.changed.clear()
                await actor.changed.wait()


@pytest.mark.long
async def test_clients_of_all_workers_get_everything_once_also_when_one_is_killed(cluster: Cluster) -> None:
    run_each(cluster.dsn, TABLE, *NOTED)
    await cluster.relay()
    await cluster.leading()
    config = {"workers": 2, "nats_url": cluster.nats.url, "slot_name": cluster.slot, "drain_time": 1}
    async with workers_over(cluster.dsn, **config) as workers, AsyncExitStack() as stack:
        actors: list[Actor] = []
        while len(actors) < 4 or len(read(cluster.dsn, NODES)) < 2:  # the kernel chooses the worker
            actor: Actor = PythonActor(f"a{len(actors)}", workers.server.url, ("websocket",))
            await actor.start()
            stack.push_async_callback(actor.stop)
            actors.append(actor)
        for each in actors:
            await each.send(1)
        run(cluster.dsn, "insert into messages (id, room, likes) values (1, 'a', 1)")
        await arrived(actors, len(actors), [1])
        slots = "select 1 from pg_replication_slots where database = current_database()"
        assert len(read(cluster.dsn, slots)) == 1, "the relay's"
        assert writers(cluster) == {
            f"realtime channels {cluster.slot}"
        }  # where a stream breaks, workers record as well

        os.kill(workers.pids[2], signal.SIGKILL)
        for each in actors:
            await each.send(2)
        run(cluster.dsn, "insert into messages (id, room, likes) values (2, 'a', 2)")
        await arrived(actors, 2 * len(actors), [2, 1])
        await workers.event("worker_ready", 3)
        for each in actors:
            await each.send(3)
        run(cluster.dsn, "insert into messages (id, room, likes) values (3, 'a', 3)")
        await arrived(actors, 3 * len(actors), [3, 2, 1])
        await until(lambda: all(len(actor.acked) == 3 for actor in actors))
        for each in actors:
            assert each.received == actors[0].received
            assert not each.gaps
        assert len(set(actors[0].received)) == 3 * len(actors)
        assert max(actor.connections for actor in actors) == 2, "those of the worker that was killed"

        os.kill((await workers.event("relay_ready"))["pid"], signal.SIGKILL)
        await workers.event("relay_ready", 2)
        await actors[0].send(4)
        await arrived(actors, 3 * len(actors) + 1, [3, 2, 1])
        async with httpx.AsyncClient(base_url=workers.server.url, timeout=GIVE_UP_AFTER) as http:
            assert (await http.get("/health")).json()["cluster"]["lagMessages"] == 0
            text = (await http.get("/metrics")).text
        assert 'realtime_stream_lag_seconds{worker="relay"} 0.0' in text
        assert 'realtime_stream_lag_seconds{worker="1"}' not in text
        assert await workers.server.end() == 0
