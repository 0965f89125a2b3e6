"""A NATS server that cannot write to its disk any more, or may not: what the relay reports, and how it goes on."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

from server.cli.serving.local_nats import LocalNats
from tests.integration.cluster.conftest import Cluster, cluster_of, ids
from tests.support.ports import free_port
from tests.support.postgres.sql import GIVE_UP_AFTER, run
from tests.support.servers.processes import ServerProcess

_MEGABYTE = 1 << 20


async def test_a_full_disk_is_named_and_a_restart_of_nats_with_room_is_enough(cluster: Cluster) -> None:
    """NATS answers nothing for the message that it could not store, and refuses those behind it."""
    relay = await cluster.relay()
    node = await cluster.node()
    rows = await node.follow()
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    assert cluster.nats.process is not None
    resource.prlimit(cluster.nats.process.pid, resource.RLIMIT_FSIZE, (_MEGABYTE, resource.RLIM_INFINITY))
    run(cluster.dsn, "insert into t select n, repeat(md5(n::text), 60) from generate_series(2, 1000) n")
    await until_problem(relay, "NATS could not store a message")
    cluster.nats.kill()
    cluster.nats.start()
    await relay.healthy()
    await rows.until(lambda: len(ids(rows)) == 1000)
    assert node.stream.interruptions == 0


async def test_a_stream_that_is_larger_than_nats_allows_is_refused_with_the_setting(
    database: str, tmp_path: Path
) -> None:
    store = f'jetstream {{ store_dir: "{tmp_path / "nats" / "store"}", max_file_store: 64MB }}'
    nats = LocalNats(tmp_path / "nats", free_port(), store)
    nats.start()
    try:
        async with cluster_of(database, nats) as cluster:
            refused = await cluster.relay(503)
            await until_problem(refused, "nats_max_bytes is more than is left of max_file_store")
            await refused.end()
            await cluster.relay(nats_max_bytes=32 * _MEGABYTE)
    finally:
        nats.kill()


async def until_problem(relay: ServerProcess, text: str) -> None:
    """Wait until the relay's health names it."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while not any(text in each for each in (await relay.healthy(503))["problems"]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
