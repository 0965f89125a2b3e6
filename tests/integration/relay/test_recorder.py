"""Of the workers that share a slot one records where messages committed; without it the others do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine.channels.core.settings import ChannelSettings
from engine.channels.db.store import Store
from engine.channels.history import recorder
from engine.channels.service import Channels
from engine.live.settings import LiveSettings
from engine.relay.feed import RelayFeed
from tests.integration.relay.conftest import Machine
from tests.support.nodes.channel_node import ChannelNode
from tests.support.nodes.stream_and_live import StreamAndLive
from tests.support.postgres.sql import GIVE_UP_AFTER, read, until


@asynccontextmanager
async def worker(machine: Machine, name: str) -> AsyncIterator[tuple[ChannelNode, RelayFeed]]:
    """A worker with channels."""
    dsn = machine.source.dsn
    async with machine.feed(name) as feed:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await feed.streaming()
        generated = machine.settings.decoder == "pgoutput"
        following = StreamAndLive(dsn, feed, LiveSettings(stream_generated=generated), trim_interval=0.05)
        settings = ChannelSettings(node_id=feed.settings.node, trim_interval=0.05)
        channels = Channels(dsn, following.stream, feed.lease, settings)
        try:
            await following.start()
            async with asyncio.timeout(GIVE_UP_AFTER):
                await channels.start()
            yield ChannelNode(dsn, feed, following, channels), feed  # type: ignore[arg-type]
        finally:
            await channels.stop()
            await following.stop()


async def test_one_worker_records_and_after_its_end_another_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[str] = []
    keep = Store.keep

    async def noted(store: Store, name: str, **parameters: object) -> list[dict[str, object]]:
        if name == "engine_record_commits":
            recorded.append(store._node)
        return await keep(store, name, **parameters)

    monkeypatch.setattr(Store, "keep", noted)
    monkeypatch.setattr(recorder, "FOLLOW_INTERVAL", 3600.0)
    history = "select payload #>> '{}' from realtime.history('room')"
    dsn = machine.source.dsn
    async with machine.relay(), worker(machine, "two") as (two, second), worker(machine, "one") as (one, first):
        await until(lambda: second.leads_recording)
        assert not first.leads_recording
        for number in range(3):
            await one.publish("room", str(number))
        await until(lambda: read(dsn, history) == [("0",), ("1",), ("2",)])
        assert set(recorded) == {second.settings.node}
        since = (await one.publish("room", "last")).position
        late = await one.listen("room", since=since)
        await one.publish("room", "then")  # what the other one records or not is in the past of this one
        await late.until(lambda: late.data == ["then"])
        two.feed._writer.transport.abort()  # type: ignore[attr-defined]  # as at its death
        await until(lambda: first.leads_recording)
        assert not second.leads_recording
        await one.channels.recorded()  # which ends the wait of one that does not lead
        recorded.clear()
        await two.publish("room", "by the other")
        await until(lambda: ("by the other",) in read(dsn, history))
        assert set(recorded) <= {first.settings.node, second.settings.node}
        assert first.settings.node in recorded


async def test_what_the_leading_recorder_leaves_is_recorded_by_the_others(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "FOLLOW_INTERVAL", 0.01)
    keep, stuck = Store.keep, asyncio.Event()

    async def held(store: Store, name: str, **parameters: object) -> list[dict[str, object]]:
        if name == "engine_record_commits" and store._node.endswith("-two"):
            await stuck.wait()
        return await keep(store, name, **parameters)

    dsn = machine.source.dsn
    async with machine.relay(), worker(machine, "two") as (_, second), worker(machine, "one") as (one, first):
        await until(lambda: second.leads_recording)
        assert not first.leads_recording
        monkeypatch.setattr(Store, "keep", held)
        await one.publish("room", "text")
        await until(lambda: read(dsn, "select from realtime.history('room')"))
        stuck.set()
