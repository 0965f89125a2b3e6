"""The leading relay records where messages committed, and no node does, unless it alone may know."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Collection

import pytest
from nats.aio.msg import Msg

from engine.channels.core.messages.model import parse_position
from engine.channels.service import Channels
from engine.cluster.identity import identity_of
from engine.cluster.messages import pulse_of
from engine.cluster.publisher import Publisher
from engine.feed.settings import FeedSettings
from engine.lsn import Lsn
from engine.postgres.reconnecting import Database
from engine.stream.driver import StreamDriver
from engine.tasks import end
from server.analytics.settings import AnalyticsSettings
from server.cluster.relay_term import RelayTerm
from tests.integration.cluster.conftest import Cluster, ClusterNode
from tests.integration.cluster.made_up_terms import content, publisher, publishing
from tests.support.postgres.sql import GIVE_UP_AFTER, open_transaction, read, run, run_each, until
from tests.support.servers.processes import ServerProcess

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


async def end_relay(cluster: Cluster, relay: ServerProcess) -> None:
    """Kill it, with its session that waits to record."""
    await relay.end(signal.SIGKILL)
    sessions = "pg_stat_activity where application_name = %s"
    run(cluster.dsn, f"select pg_terminate_backend(pid, 10000) from {sessions}", f"realtime channels {cluster.slot}")


async def signs_of_life(cluster: Cluster, count: int = 1, before: Collection[int] = ()) -> list[tuple[int, Lsn]]:
    """The term and what it calls recorded, of those that are not among the terms ``before``; waits for ``count``."""
    async with cluster.stream() as stream, asyncio.timeout(GIVE_UP_AFTER):
        while True:
            sent = [each for is_pulse, each in await content(stream) if is_pulse and each.leader not in before]
            if len(sent) >= count:
                return [(each.leader, pulse_of(each).recorded) for each in sent]
            await asyncio.sleep(0.05)


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
        await end_relay(cluster, relay)
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


async def test_position_that_only_the_stream_has_is_kept_where_relay_slot_and_node_are_lost(cluster: Cluster) -> None:
    relay = await cluster.relay()
    await cluster.leading()
    async with cluster.passing_node() as node:
        room = await node.listen("room")
        first = (await node.publish("room", "recorded")).position
        async with asyncio.timeout(GIVE_UP_AFTER):
            await node.channels.recorded()
        with open_transaction(cluster.dsn, "lock table realtime.commits in exclusive mode"):
            delivered = (await node.publish("room", "delivered")).position
            await room.until(lambda: room.data == ["recorded", "delivered"])
            await end_relay(cluster, relay)
    terms = {leader for leader, _ in await signs_of_life(cluster)}
    cluster.nats.kill()
    slot = "from pg_replication_slots where slot_name = %s"
    await until(lambda: not read(cluster.dsn, f"select 1 {slot} and active", cluster.slot))
    run(cluster.dsn, f"select pg_drop_replication_slot(slot_name) {slot}", cluster.slot)
    run(cluster.dsn, "select realtime.broadcast('room', 'message', '\"between\"')")
    with open_transaction(cluster.dsn, "lock table realtime.commits in exclusive mode"):
        await cluster.relay()
        cluster.nats.start()
        await cluster.leading()
        of_next = await signs_of_life(cluster, 3, terms)
    assert delivered is not None
    assert max(recorded for _, recorded in of_next) <= parse_position(delivered).lsn, (
        "what is not recorded yet was called recorded"
    )
    late = await cluster.node()
    past = await late.listen("room", history=3)
    await past.until(lambda: past.data == ["recorded", "delivered", "between"])
    positions = [position for (position,) in read(cluster.dsn, "select position from realtime.history('room')")]
    assert positions[:2] == [first, delivered]
    resumed = await late.listen("room", since=delivered)
    await resumed.until(lambda: resumed.data == ["between"])


async def test_a_relay_makes_up_no_position_before_nats_has_stored_a_message_of_its_term(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the relay before it may publish, and nodes receive where that has committed."""
    async with Database(cluster.dsn, "a test") as database:
        ours = await identity_of(database)
    stored, begins = asyncio.Event(), asyncio.Event()
    acknowledged: list[int] = []
    take, start, drive = Publisher._take, Channels.start, StreamDriver.start

    async def take_later(self: Publisher, message: Msg) -> None:
        await stored.wait()
        await take(self, message)

    async def note(self: Channels) -> None:
        acknowledged.append(term.publisher.queue.acknowledged)
        await start(self)

    def begin(self: StreamDriver) -> None:
        drive(self)
        begins.set()

    monkeypatch.setattr(Publisher, "_take", take_later)
    monkeypatch.setattr(Channels, "start", note)
    monkeypatch.setattr(StreamDriver, "start", begin)

    async def leads() -> None:
        pass

    settings = FeedSettings(slot_name=cluster.slot, node_id="relay")
    term = RelayTerm(cluster.dsn, settings, cluster.settings, "relay", ours, leads, AnalyticsSettings(analytics=False))
    leading = asyncio.create_task(term.run())
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await begins.wait()
        stored.set()
        await until(lambda: term.channels is not None)
        assert acknowledged
        assert acknowledged[0] > 0
    finally:
        await end([leading])
