"""What the stream in NATS has lost comes from its table, in its place, whatever has come by other topics meanwhile."""

from __future__ import annotations

from functools import partial

import pytest

from engine.cluster.nats_stream import Found, NatsStream
from engine.transaction import Discontinuity
from tests.integration.cluster.conftest import Cluster, ids
from tests.support.postgres.sql import connect, run, until

ONE = "select realtime.broadcast('room', 'sent', to_jsonb(%s::text))"
SEVERAL = f"{ONE}, realtime.broadcast('elsewhere', 'sent', '1')"


async def found_before(stream: NatsStream, sequence: int, kinds: tuple[str, ...]) -> Found:
    """The last message of the stream before ``sequence`` on a subject that has one of ``kinds``."""
    while True:
        sequence -= 1
        found = await stream.find(sequence)
        if found is not None and any(kind in found.subject for kind in kinds):
            return found


async def lose(cluster: Cluster, stream: NatsStream, *, at_once: bool) -> bool:
    """Remove the last message of a channel but one; with ``at_once`` only if no sign of life is between the two."""
    state = await stream.state()
    assert state is not None
    last = await found_before(stream, state.last + 1, (".channel.", ".events"))
    lost = await found_before(stream, last.sequence, (".channel.", ".events"))
    if at_once and lost.sequence + 1 != last.sequence:
        return False
    assert await stream._jetstream.delete_msg(cluster.settings.stream, lost.sequence)
    return True


async def test_a_lost_message_that_other_topics_have_passed_comes_from_its_table(cluster: Cluster) -> None:
    await cluster.relay()
    node, other_node = await cluster.node(buffer_bytes=1), await cluster.node()
    rows, room, seen = await node.follow(), await node.listen("room"), await other_node.listen("room")
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    async with node.stream.apply_lock:  # it takes no more than has been asked for: 512 messages
        cluster.insert(*range(2, 802))
        run(cluster.dsn, ONE, "lost")
        cluster.insert(*range(802, 812))
        run(cluster.dsn, ONE, "next")
        await seen.until(lambda: seen.data == ["lost", "next"])
        async with cluster.stream() as stream:
            assert await lose(cluster, stream, at_once=False)
    await room.until(lambda: "next" in room.data)
    assert (room.data, room.positions) == (seen.data, seen.positions)
    await rows.until(lambda: ids(rows) == [*range(1, 812)])
    assert node.stream.interruptions == 1
    assert other_node.stream.interruptions == 0


@pytest.mark.parametrize("statements", [(ONE, SEVERAL), (SEVERAL, ONE)], ids=["of one", "of several"])
async def test_a_lost_message_is_not_passed_over_by_one_that_comes_over_the_channels_other_topic(
    cluster: Cluster, statements: tuple[str, str]
) -> None:
    await cluster.relay()
    node, other_node = await cluster.node(buffer_bytes=1), await cluster.node()
    rows, room, seen = await node.follow(), await node.listen("room"), await other_node.listen("room")
    sent: list[str] = []
    async with node.stream.apply_lock:
        cluster.insert(*range(802))
        with connect(cluster.dsn) as sql:
            while True:
                for statement in statements:
                    sent.append(str(len(sent)))
                    sql.execute(statement.encode(), [sent[-1]])
                await seen.until(lambda: seen.data == sent)
                async with cluster.stream() as stream:
                    if await lose(cluster, stream, at_once=True):
                        break
    await room.until(lambda: sent[-1] in room.data)
    await rows.until(lambda: len(ids(rows)) == 802)
    assert (room.data, room.positions) == (seen.data, seen.positions)
    assert node.stream.interruptions == 1
    assert other_node.stream.interruptions == 0


async def test_a_kick_that_was_lost_is_carried_out_after_the_hole_and_not_for_those_who_come_later(
    cluster: Cluster,
) -> None:
    await cluster.relay()
    node, other_node = await cluster.node(buffer_bytes=1), await cluster.node()
    room, seen = await node.listen("room", user="ada"), await other_node.listen("room", user="ada")
    stays = await node.listen("room", user="bob")
    rows = await node.follow()
    async with node.stream.apply_lock:
        cluster.insert(*range(802))
        run(cluster.dsn, "select realtime.kick('room', 'ada', 'spam')")
        await seen.until(lambda: bool(seen.of("error")))
        async with cluster.stream() as stream:
            state = await stream.state()
            assert state is not None
            kick = await found_before(stream, state.last + 1, (".events",))
            assert await stream._jetstream.delete_msg(cluster.settings.stream, kick.sequence)
        run(cluster.dsn, ONE, "behind")
    await stays.until(lambda: stays.data == ["behind"])
    await rows.until(lambda: len(ids(rows)) == 802)
    assert room.events == [{"type": "gap", "channel": "*"}, *seen.events]
    back = await node.listen("room", user="ada")
    node.channels.discontinuity(Discontinuity("a test"), node.stream.position)
    run(cluster.dsn, ONE, "later")
    await back.until(lambda: back.data == ["later"])
    assert stays.data == ["behind", "later"]


async def test_what_a_node_had_taken_before_a_hole_is_not_done_again(cluster: Cluster) -> None:
    await cluster.relay()
    node, other_node = await cluster.node(buffer_bytes=1), await cluster.node()
    room, seen = await node.listen("room", presence={}), await other_node.listen("room", presence={})
    rows = await node.follow()
    with connect(cluster.dsn) as sql, sql.transaction():
        sql.execute("lock table realtime.commits in share mode")  # the slot stays before the first message
        run(cluster.dsn, ONE, "first")
        run(cluster.dsn, "select realtime.broadcast_all('called', '1')")
        bob = await other_node.listen("room", user="bob", presence={})
        await other_node.channels.set_presence("room", bob.member, {"state": {"typing": True}})
        bob.cancel()
        for each in (room, seen):
            await each.until(partial(each.of, "presence:leave"))
        async with node.stream.apply_lock:
            cluster.insert(*range(802))
            run(cluster.dsn, ONE, "lost")
            run(cluster.dsn, ONE, "next")
            await seen.until(lambda: "next" in seen.data)
            async with cluster.stream() as stream:
                assert await lose(cluster, stream, at_once=False)
        await until(lambda: node.feed.breaks["hole"] == 1)
    await room.until(lambda: "next" in room.data)
    await rows.until(lambda: len(ids(rows)) == 802)
    assert room.data == ["first", 1, "lost", "next"]
    changes = [event for event in room.events if event["type"].startswith("presence:")]
    kinds = [event["type"] for event in changes if event["user"]["id"] == "bob"]
    assert kinds == ["presence:join", "presence:update", "presence:leave"]
    events = [event for event in room.events if event["type"] != "gap"]
    assert events[-len(seen.events) :] == seen.events, "room has seen the other one come"


async def test_connections_learn_where_messages_to_them_were_lost(cluster: Cluster) -> None:
    await cluster.relay()
    node, other_node = await cluster.node(buffer_bytes=1), await cluster.node()
    rows, client, other = await node.follow(), await node.member(), await other_node.member()
    async with node.stream.apply_lock:
        cluster.insert(*range(802))
        for number in (1, 2):
            run(cluster.dsn, "select realtime.broadcast_all('called', to_jsonb(%s::int))", number)
        await other.until(lambda: other.data == [1, 2])
        async with cluster.stream() as stream:
            state = await stream.state()
            assert state is not None
            last = await found_before(stream, state.last + 1, (".events",))
            lost = await found_before(stream, last.sequence, (".events",))
            assert await stream._jetstream.delete_msg(cluster.settings.stream, lost.sequence)
    await rows.until(lambda: len(ids(rows)) == 802)
    await client.until(lambda: bool(client.of("gap")))
    run(cluster.dsn, "select realtime.broadcast_all('called', '3')")
    for each in (client, other):
        await each.until(partial(lambda each: 3 in each.data, each))
    assert 1 not in client.data
    kinds = [event["type"] for event in client.events]
    assert kinds == ["gap", *["message"] * len(client.data)]
    assert (other.data, other.of("gap")) == ([1, 2, 3], [])
