"""The leading relay records where messages committed, and no node does, unless it alone may know."""

from __future__ import annotations

import asyncio
import signal

from engine.cluster.identity import identity_of
from engine.postgres.reconnecting import Database
from tests.integration.cluster.conftest import Cluster, ClusterNode
from tests.integration.cluster.made_up_terms import publisher, publishing
from tests.support.postgres.sql import GIVE_UP_AFTER, open_transaction, read, run, run_each, until

NOTED = (
    "create table public.writers (name text)",
    "create function public.note_writer() returns trigger language plpgsql as $$ "
    "begin insert into public.writers values (current_setting('application_name')); return null; end $$",
    "create trigger note_writer after insert on realtime.commits for each statement execute function note_writer()",
)
"""Each statement that records is noted, also one that finds everything there."""


def writers(cluster: Cluster) -> set[str]:
    """The sessions that have recorded."""
    return {name for (name,) in read(cluster.dsn, "select distinct name from public.writers")}


async def has_past(cluster: Cluster, node: ClusterNode, texts: list[str], first: str | None) -> None:
    """The node's REST API, its history and what follows the position ``first`` have these messages."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        await node.channels.recorded()
    assert read(cluster.dsn, "select payload #>> '{}' from realtime.history('room')") == [(text,) for text in texts]
    late = await node.listen("room", history=len(texts))
    resumed = await node.listen("room", since=first)
    await late.until(lambda: late.data == texts)
    await resumed.until(lambda: resumed.data == texts[1:])


async def test_nodes_record_nothing_and_have_the_whole_past_while_relays_take_turns(cluster: Cluster) -> None:
    run_each(cluster.dsn, *NOTED)
    await cluster.relay()
    first = await cluster.leading()
    await cluster.relay()
    one, two = await cluster.node(), await cluster.node()
    room = await two.listen("room")
    position = (await one.publish("room", "a")).position
    await two.publish("room", "b")
    for node in (one, two):
        await has_past(cluster, node, ["a", "b"], position)
    first.process.send_signal(signal.SIGKILL)
    await one.publish("room", "c")
    for node in (one, two):
        await has_past(cluster, node, ["a", "b", "c"], position)
    await room.until(lambda: room.data == ["a", "b", "c"])
    assert writers(cluster) == {f"realtime channels {cluster.slot}"}
    await until(lambda: not len(one.channels.core.unrecorded))
    assert (one.stream.interruptions, two.stream.interruptions) == (0, 0)


async def test_what_a_relay_has_published_and_not_recorded_keeps_its_position_where_the_stream_breaks(
    cluster: Cluster,
) -> None:
    relay = await cluster.relay()
    await cluster.leading()
    node = await cluster.node()
    room = await node.listen("room")
    with open_transaction(cluster.dsn, "lock table realtime.commits in exclusive mode"):
        position = (await node.publish("room", "text")).position
        await room.until(lambda: room.data == ["text"])
        await relay.end(signal.SIGKILL)
        sessions = "pg_stat_activity where application_name = %s"
        run(
            cluster.dsn, f"select pg_terminate_backend(pid, 10000) from {sessions}", f"realtime channels {cluster.slot}"
        )
    recorded = "select position from realtime.history('room')"
    assert node.channels.status()["unrecorded"] == 1
    assert read(cluster.dsn, recorded) == []
    async with Database(cluster.dsn, "a test") as database:
        ours = await identity_of(database)
    server = node.feed.server
    assert server is not None
    term = publisher(cluster.settings, server, ours)
    async with publishing(term, node.feed.received + 1_000_000, server):  # of a slot that was made after the message
        await until(lambda: read(cluster.dsn, recorded) == [(position,)])
        assert node.stream.interruptions == 1
