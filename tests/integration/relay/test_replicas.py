"""A stream that is to be kept by more NATS servers than are there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engine.cluster import nats_stream
from engine.cluster.identity import DatabaseIdentity
from engine.cluster.nats_stream import NatsFailedError, connected
from engine.cluster.settings import ClusterSettings
from server.app.settings import Settings
from server.cli.doctor.nats_checks import nats_findings
from server.cli.serving.local_nats import LocalNats
from tests.support.ports import free_port
from tests.support.postgres.sql import GIVE_UP_AFTER

SERVERS = 3


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[LocalNats]]:
    """Two that are a cluster, and one that joins them; none runs yet."""
    routes = [free_port() for _ in range(SERVERS)]
    known = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes[:2])
    made = [
        LocalNats(
            tmp_path / f"n{number}",
            free_port(),
            f'server_name: "n{number}"\ncluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{known}] }}',
        )
        for number, port in enumerate(routes)
    ]
    yield made
    for each in made:
        each.kill()


async def insist(settings: ClusterSettings) -> int:
    """Make the stream, once JetStream works; returns how many servers have it."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            try:
                async with connected(settings, "a test") as stream:
                    return (await stream.state() or await stream.make()).replicas
            except NatsFailedError:  # the servers have not found each other yet
                await asyncio.sleep(0.1)


@pytest.mark.long
async def test_stream_is_made_without_a_server_that_is_away_which_has_it_when_it_comes(
    servers: list[LocalNats], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ClusterSettings(urls=tuple(each.url for each in servers[:2]), slot="s", replicas=SERVERS)
    await asyncio.gather(*(asyncio.to_thread(each.start) for each in servers[:2]))
    assert await insist(settings) == 2
    with capture_logs() as logs:
        async with connected(settings, "a test") as stream:
            await stream.complete()
            assert stream.lacks_replicas
            assert [(each["event"], each["replicas"], each["wanted"]) for each in logs] == [
                ("stream_lacks_replicas", 2, 3)
            ]
            await stream.try_replicas(stream._counted_at + 1)
            assert len(logs) == 1, "not at once again"
    await asyncio.to_thread(servers[2].start)
    monkeypatch.setattr(nats_stream, "_REPLICAS", 0.0)
    assert await completed(settings) == SERVERS


async def completed(settings: ClusterSettings) -> int:
    """How many servers have the stream once none is missing."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            try:
                async with connected(settings, "a test") as stream:
                    await stream.complete()
                    while stream.lacks_replicas:
                        await stream.try_replicas(stream._counted_at)
                        await asyncio.sleep(0.1)
                    state = await stream.state()
                    assert state is not None
                    return state.replicas
            except NatsFailedError:
                await asyncio.sleep(0.1)


async def test_one_server_alone_is_no_cluster_that_lacks_others(tmp_path: Path) -> None:
    nats = LocalNats(tmp_path / "nats", free_port())
    await asyncio.to_thread(nats.start)
    try:
        settings = ClusterSettings(urls=(nats.url,), slot="s")
        assert await insist(settings) == 1
        async with connected(replace(settings, replicas=SERVERS), "a test") as stream:
            await stream.complete()
            assert stream.lacks_replicas
        asked, ours = (
            Settings(nats_url=settings.urls, slot_name="s", nats_replicas=SERVERS),
            DatabaseIdentity("1", 1, "app"),
        )
        *_, last = await asyncio.to_thread(lambda: list(nats_findings(asked, ours)))
        assert (last.level, "1 of 3 NATS servers" in last.text) == ("warn", True)
        async with connected(replace(settings, slot="other", replicas=SERVERS), "a test") as stream:
            with pytest.raises(NatsFailedError, match="non-clustered"):
                await stream.make()
    finally:
        await asyncio.to_thread(nats.kill)
