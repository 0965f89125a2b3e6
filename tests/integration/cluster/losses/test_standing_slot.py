"""While the slot stands before a hole a node waits, reads nothing, and shows why; then it reads everything once."""

from __future__ import annotations

import asyncio
import signal

import pytest

from engine.cluster.feed import ClusterFeed
from engine.feed.feed import FeedSettings
from tests.integration.cluster.conftest import Cluster, ClusterNode, ids
from tests.integration.cluster.losses.test_lost_messages import ONE, lose
from tests.support.nodes.channel_node import ChannelSubscriber
from tests.support.postgres.sql import connect, run, until

WHILE = 6.0
"""Seconds in which a node that reads again and again would have done so several times."""


async def hole(cluster: Cluster, node: ClusterNode, room: ChannelSubscriber, seen: ChannelSubscriber) -> None:
    """The stream loses a message that ``node`` has not taken, and which it meets."""
    async with node.stream.apply_lock:  # it takes no more than has been asked for: 512 messages
        cluster.insert(*range(802))
        run(cluster.dsn, ONE, "lost")
        run(cluster.dsn, ONE, "next")
        await seen.until(lambda: seen.data == ["lost", "next"])
        async with cluster.stream() as stream:
            assert await lose(cluster, stream, at_once=False)
    await until(lambda: node.feed.breaks["hole"] == 1)
    assert room.data == []


async def stands(node: ClusterNode) -> None:
    """For a while nothing is read, and the state has the reason."""
    reads = node.live.status()["reads"]
    await asyncio.sleep(WHILE)
    assert (node.stream.interruptions, node.live.status()["reads"]) == (0, reads)
    assert node.feed.state.status == "reconnecting"
    assert "once the slot has passed" in (node.feed.state.reason or "")
    assert node.feed.breaks["hole"] == 1


async def test_a_node_that_begins_where_the_stream_lacks_what_the_slot_stands_before_waits_for_the_slot(
    cluster: Cluster,
) -> None:
    """What is recorded nowhere would get another position than the one that others have delivered it with."""
    await cluster.relay()
    other_node = await cluster.node()
    seen = await other_node.listen("room")
    with connect(cluster.dsn) as sql, sql.transaction():
        sql.execute("lock table realtime.commits in share mode")
        for text in ("lost", "next"):
            run(cluster.dsn, ONE, text)
        await seen.until(lambda: seen.data == ["lost", "next"])
        async with cluster.stream() as stream:
            state = await stream.state()
            assert state is not None
            assert await stream._jetstream.purge_stream(cluster.settings.stream, keep=1)
        settings = FeedSettings(slot_name=cluster.slot, node_id="late")
        async with ClusterFeed(cluster.dsn, settings, cluster.settings) as late:
            await until(lambda: late.sessions > 0 or "once the slot has passed" in (late.state.reason or ""))
            assert (late.sessions, late.state.status) == (0, "starting")
    node = await cluster.node()
    room = await node.listen("room", history=5)
    assert (room.data, room.positions) == (seen.data, seen.positions)


@pytest.mark.parametrize("selective", [True, False], ids=["topics", "everything"])
async def test_a_node_reads_once_however_long_nothing_can_be_recorded(cluster: Cluster, selective: bool) -> None:
    await cluster.relay()
    node, other_node = await cluster.node(buffer_bytes=1, selective=selective), await cluster.node()
    rows, room, seen = await node.follow(), await node.listen("room"), await other_node.listen("room")
    with connect(cluster.dsn) as sql, sql.transaction():
        sql.execute("lock table realtime.commits in share mode")
        await hole(cluster, node, room, seen)
        await stands(node)
    await room.until(lambda: "next" in room.data)
    await rows.until(lambda: len(ids(rows)) == 802)
    assert (room.data, room.positions) == (seen.data, seen.positions)
    assert node.stream.interruptions == 1
    assert node.feed.state.status == "streaming"


async def test_a_node_reads_once_however_long_no_relay_leads(cluster: Cluster) -> None:
    leader = await cluster.relay()
    node, other_node = await cluster.node(buffer_bytes=1), await cluster.node()
    rows, room, seen = await node.follow(), await node.listen("room"), await other_node.listen("room")
    with connect(cluster.dsn) as sql, sql.transaction():
        sql.execute("lock table realtime.commits in share mode")
        await hole(cluster, node, room, seen)
        await leader.end(signal.SIGKILL)
    await stands(node)
    await cluster.relay()
    await room.until(lambda: "next" in room.data)
    await rows.until(lambda: len(ids(rows)) == 802)
    assert (room.data, room.positions) == (seen.data, seen.positions)
    assert node.stream.interruptions == 1
