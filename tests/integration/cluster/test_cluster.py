"""Nodes that read one slot through NATS: what their clients get, whatever happens to the relay, NATS and the stream."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.integration.cluster.conftest import Cluster, ids
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run


async def test_two_nodes_show_the_same_rows_and_messages(cluster: Cluster) -> None:
    await cluster.relay()
    one, two = await cluster.node(), await cluster.node()
    lists = [await each.follow() for each in (one, two)]
    room = await two.listen("room")
    await one.publish("room", "hello")
    cluster.insert(1, 2)
    await lists[0].until(lambda: ids(lists[0]) == [1, 2])
    await lists[1].until(lambda: ids(lists[1]) == [1, 2])
    await room.until(lambda: room.data == ["hello"])
    assert len(read(cluster.dsn, "select 1 from pg_replication_slots where database = current_database()")) == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
async def test_another_relay_takes_over(cluster: Cluster, how: signal.Signals) -> None:
    await cluster.relay()
    first = await cluster.leading()
    await cluster.relay()
    node = await cluster.node()
    rows, room = await node.follow(), await node.listen("room")
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    first.process.send_signal(how)
    cluster.insert(2)
    await node.publish("room", "while no relay leads")
    await rows.until(lambda: ids(rows) == [1, 2])
    await room.until(lambda: room.data == ["while no relay leads"])
    if how is signal.SIGSTOP:
        first.process.send_signal(signal.SIGCONT)
    cluster.insert(3)
    await rows.until(lambda: ids(rows) == [1, 2, 3])
    assert rows.resets == 1, "the first list alone"
    assert node.stream.interruptions == 0
    assert room.data == ["while no relay leads"]
    async with asyncio.timeout(GIVE_UP_AFTER):
        # One that goes on finds out when it renews its lease; it has no event for this process.
        while (await cluster.leading()) is first:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_nats_that_has_lost_its_store_is_filled_again(cluster: Cluster) -> None:
    await cluster.relay()
    node = await cluster.node()
    rows, room = await node.follow(), await node.listen("room")
    cluster.insert(1)
    await node.publish("room", 1)
    await rows.until(lambda: ids(rows) == [1])
    cluster.nats.kill()
    cluster.nats.wipe()
    cluster.insert(2)
    cluster.nats.start()
    cluster.insert(3)
    await node.publish("room", 2)
    await rows.until(lambda: ids(rows) == [1, 2, 3])
    await room.until(lambda: room.data == [1, 2])
    assert node.stream.interruptions == 0, "the relay had what the stream lacked"


async def test_relay_and_store_lost_together_are_a_lost_slot(cluster: Cluster) -> None:
    first = await cluster.relay()
    node = await cluster.node()
    rows, room = await node.follow(), await node.listen("room")
    cluster.insert(1)
    await node.publish("room", 1)
    await rows.until(lambda: ids(rows) == [1])
    await first.end(signal.SIGKILL)
    cluster.nats.kill()
    cluster.nats.wipe()
    cluster.insert(2)
    run(cluster.dsn, "delete from t where id = 1")
    cluster.nats.start()
    await cluster.relay()
    await node.insist("room", 2)
    await rows.until(lambda: ids(rows) == [2])
    await room.until(lambda: room.data == [1, 2])
    assert node.stream.interruptions == 1


async def test_deleted_stream_is_made_again(cluster: Cluster) -> None:
    await cluster.relay()
    node = await cluster.node()
    rows = await node.follow()
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    async with cluster.stream() as stream:
        await stream._jetstream.delete_stream(cluster.settings.stream)
    cluster.insert(2, 3)
    await rows.until(lambda: ids(rows) == [1, 2, 3])


async def test_node_that_was_too_slow_reads_everything_again(cluster: Cluster) -> None:
    await cluster.relay()
    node, other = await cluster.node(buffer_bytes=1), await cluster.node()
    rows, room, seen = await node.follow(), await node.listen("room"), await other.follow()
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    async with node.stream.apply_lock:  # it takes no more than has been asked for: 512 messages
        cluster.insert(*range(2, 802))
        run(cluster.dsn, "delete from t where id = 5")
        await other.publish("room", "missed")
        await seen.until(lambda: len(ids(seen)) == 800)
        async with cluster.stream() as stream:
            await stream.purge()
    await rows.until(lambda: ids(rows) == [1, 2, 3, 4, *range(6, 802)])
    await room.until(lambda: room.data == ["missed"])
    assert (node.stream.interruptions, other.stream.interruptions) == (1, 0)


async def test_dropped_slot_is_made_again(cluster: Cluster) -> None:
    await cluster.relay()
    node = await cluster.node()
    rows, room = await node.follow(), await node.listen("room")
    cluster.insert(1)
    await node.publish("room", 1)
    await rows.until(lambda: ids(rows) == [1])
    run(
        cluster.dsn,
        "do $$ declare pid int := (select active_pid from pg_replication_slots where slot_name = '%s'); begin "
        "perform pg_terminate_backend(pid, 5000); perform pg_drop_replication_slot('%s'); "
        "insert into t values (2, 'while there was none'); end $$".replace("%s", cluster.slot),
    )
    await node.insist("room", 2)
    cluster.insert(3)
    await rows.until(lambda: ids(rows) == [1, 2, 3])
    await room.until(lambda: room.data == [1, 2])
    assert node.stream.interruptions == 1


async def test_large_rows_and_transactions_travel_in_parts(cluster: Cluster) -> None:
    await cluster.relay()
    node = await cluster.node()
    rows = await node.follow()
    run(cluster.dsn, "insert into t select 1, string_agg(md5(n::text), '') from generate_series(1, 100000) n")
    run(cluster.dsn, "insert into t select n, repeat('x', 1000) from generate_series(2, 5000) n")
    cluster.insert(5001)
    await rows.until(lambda: len(ids(rows)) == 5001)
    documents = dict(rows.list)
    assert len(documents["1"]) > 3_200_000
    assert node.stream.interruptions == 0
