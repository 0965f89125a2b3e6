"""Nodes in another region: they read a mirror of the stream, in NATS servers of their own that are joined as a leaf node."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

import engine.cluster.mirror
from engine.cluster.identity import identity_of
from engine.cluster.mirror import Mirror
from engine.cluster.nats_stream import NatsFailedError, connected
from engine.postgres.reconnecting import Database
from server.app.settings import Settings
from server.cli.doctor.nats_checks import nats_findings
from tests.integration.cluster.conftest import Cluster, ClusterNode, ids
from tests.support.nodes.channel_node import ChannelSubscriber
from tests.support.nodes.live_node import Follower
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, run
from tests.support.servers.region_servers import RegionServers, Side, regions

pytestmark = pytest.mark.long


@pytest_asyncio.fixture
async def servers(cluster: Cluster, tmp_path: Path) -> AsyncIterator[RegionServers]:
    """A relay publishes at the primary region."""
    async with regions(tmp_path, cluster.slot) as made:
        await cluster.relay(**made.primary.settings("relay"))
        await cluster.leading()
        yield made
        await cluster.close()


async def node_at(cluster: Cluster, side: Side) -> ClusterNode:
    cluster.settings = side.reach("node")
    return await cluster.node()


async def following(cluster: Cluster, side: Side) -> tuple[ClusterNode, Follower, ChannelSubscriber]:
    """A node with a subscriber of each kind, which have row 1 and the message 1."""
    node = await node_at(cluster, side)
    rows, room = await node.follow(), await node.listen("room")
    cluster.insert(1)
    await node.publish("room", 1)
    await rows.until(lambda: ids(rows) == [1])
    await room.until(lambda: room.data == [1])
    return node, rows, room


def shows(rows: Follower, expected: list[int]) -> bool:
    return ids(rows) == expected


def has(room: ChannelSubscriber, messages: int) -> bool:
    return len(room.data) == messages


async def never() -> None:
    raise AssertionError("the mirror is behind")


async def last_of(side: Side, part: str = "node") -> int:
    """The number of the stream's last message."""
    async with connected(side.reach(part), "a test") as stream:
        state = await stream.state()
        assert state is not None
        return state.last


async def test_each_commit_crosses_once_whatever_the_number_of_nodes_and_subscribers(
    cluster: Cluster, servers: RegionServers
) -> None:
    nodes = [await node_at(cluster, servers.region) for _ in range(3)]
    home = await node_at(cluster, servers.primary)
    lists = [await node.follow() for node in (*nodes, *nodes, home)]
    rooms = [await node.listen("room") for node in (*nodes, *nodes, home)]
    before, first = servers.primary.crossed(), await last_of(servers.primary)
    cluster.insert(*range(1, 201))
    for number in range(20):
        await nodes[number % 3].publish("room", number)
    for each in lists:
        await each.until(partial(shows, each, list(range(1, 201))))
        assert each.resets == 1
    for room in rooms:
        await room.until(partial(has, room, 20))
    assert sorted(rooms[0].data) == list(range(20))
    assert all(room.data == rooms[0].data for room in rooms), "one order"
    after, last = servers.primary.crossed(), await last_of(servers.primary)
    assert last - first >= 220
    assert after.sent - before.sent <= last - first + 20, "and some signs of life of NATS"
    assert after.received - before.received <= 20


async def test_nothing_is_lost_or_doubled_over_a_cut(cluster: Cluster, servers: RegionServers) -> None:
    node, rows, room = await following(cluster, servers.region)
    servers.cut()
    waiting = asyncio.create_task(node.insist("room", 2))
    home = await node_at(cluster, servers.primary)
    cluster.insert(2, 3)
    there = await home.follow()
    await there.until(lambda: ids(there) == [1, 2, 3])
    assert (ids(rows), room.data, waiting.done()) == ([1], [1], False)
    servers.join()
    await waiting
    cluster.insert(4)
    await node.publish("room", 3)
    await rows.until(lambda: ids(rows) == [1, 2, 3, 4])
    await room.until(lambda: room.data == [1, 2, 3])
    assert (rows.resets, node.stream.interruptions) == (1, 0)


async def test_a_wiped_region_is_filled_again(cluster: Cluster, servers: RegionServers) -> None:
    node, rows, room = await following(cluster, servers.region)
    cluster.insert(*range(2, 200))
    await rows.until(lambda: len(ids(rows)) == 199)
    servers.region.kill()
    servers.region.wipe()
    cluster.insert(200)
    servers.region.start()
    await node.insist("room", 2)
    await rows.until(lambda: len(ids(rows)) == 200)
    await room.until(lambda: room.data == [1, 2])
    assert (rows.resets, node.stream.interruptions) == (1, 0)


async def test_mirror_of_a_stream_that_was_wiped_is_made_again(cluster: Cluster, servers: RegionServers) -> None:
    node, rows, room = await following(cluster, servers.region)
    cluster.insert(*range(2, 50))  # the new stream takes long to have as many messages
    await rows.until(lambda: len(ids(rows)) == 49)
    servers.primary.kill()
    servers.primary.wipe()
    cluster.insert(50)
    servers.primary.start()
    await node.publish("room", 2)
    await rows.until(lambda: len(ids(rows)) == 50)
    await room.until(lambda: room.data == [1, 2])
    assert (rows.resets, node.stream.interruptions) == (1, 0)
    assert await last_of(servers.region) < 49


async def test_stream_begun_anew_is_a_lost_slot_in_all_regions(cluster: Cluster, servers: RegionServers) -> None:
    node, rows, room = await following(cluster, servers.region)
    await cluster.relays[0].end(signal.SIGKILL)
    servers.primary.kill()
    servers.primary.wipe()
    cluster.insert(2)
    run(cluster.dsn, "delete from t where id = 1")
    servers.primary.start()
    await cluster.relay(**servers.primary.settings("relay"))
    await node.insist("room", 2)
    await rows.until(lambda: ids(rows) == [2])
    await room.until(lambda: room.data == [1, 2])
    assert node.stream.interruptions == 1


async def test_another_relay_takes_over(cluster: Cluster, servers: RegionServers) -> None:
    node, rows, room = await following(cluster, servers.region)
    await cluster.relay(**servers.primary.settings("relay"))
    await cluster.relays[0].end(signal.SIGKILL)
    cluster.insert(2)
    await node.publish("room", 2)
    await rows.until(lambda: ids(rows) == [1, 2])
    await room.until(lambda: room.data == [1, 2])
    assert (rows.resets, node.stream.interruptions) == (1, 0)


async def test_relay_takes_over_what_the_one_before_had_not_recorded(cluster: Cluster, servers: RegionServers) -> None:
    """With the rights of a relay's user."""
    node, _, room = await following(cluster, servers.region)
    with connect(cluster.dsn) as sql, sql.transaction():
        sql.execute("lock table realtime.commits in access exclusive mode")
        run(cluster.dsn, "insert into realtime.messages (channel, event, payload) values ('room', 'sent', '2')")
        await room.until(lambda: room.data == [1, 2])
        await cluster.relays[0].end(signal.SIGKILL)
    await cluster.relay(**servers.primary.settings("relay"))
    await cluster.leading()
    await node.publish("room", 3)
    await room.until(lambda: room.data == [1, 2, 3])


async def test_doctor_looks_at_the_mirror(cluster: Cluster, servers: RegionServers) -> None:
    async with Database(cluster.dsn, "a test") as database:
        ours = await identity_of(database)

    async def found(**more: object) -> list[tuple[str, str]]:
        settings = Settings(**(servers.region.settings("node") | more))
        return [
            (each.level, each.text) for each in await asyncio.to_thread(lambda: list(nats_findings(settings, ours)))
        ]

    async with asyncio.timeout(GIVE_UP_AFTER):
        while "not joined with" in (first := (await found())[0])[1]:  # noqa: ASYNC110 - the servers have just been started
            await asyncio.sleep(0.1)
    level, text = first
    assert (level, "it is missing" in text) == ("warn", True), text
    await node_at(cluster, servers.region)
    [(level, text)] = await found()
    assert level == "ok", text
    [(level, text)] = await found(**servers.primary.settings("node"))
    assert (level, "is no mirror" in text) == ("problem", True), text
    servers.cut()
    [(level, text)] = await found()
    assert (level, "not joined with" in text) == ("problem", True), text


async def test_no_session_begins_at_a_mirror_that_is_behind(
    cluster: Cluster, servers: RegionServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, rows, _ = await following(cluster, servers.region)
    monkeypatch.setattr(engine.cluster.mirror, "_CATCHES_UP", 0.1)
    settings = servers.region.reach("node")
    async with connected(settings, "a test") as stream:
        js = stream.client.jetstream()
        made = (await js.stream_info(settings.stream)).config
        assert made.mirror is not None
        made.mirror.filter_subject = "none"  # it has no message, and the node's consumer is gone with the one before
        await js.delete_stream(settings.stream)
        await js.add_stream(made)
        with pytest.raises(NatsFailedError, match="lacks"):
            await Mirror(stream, settings).during(never, lambda: 0.0)
        cluster.insert(2)
        await js.delete_stream(settings.stream)
    await rows.until(lambda: ids(rows) == [1, 2])
    assert (rows.resets, node.stream.interruptions) == (1, 0)
