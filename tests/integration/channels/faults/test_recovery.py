"""What a discontinuity of the stream does to a recovery that is under way, and to subscriptions that began before it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from engine.channels import subscriptions
from engine.channels.core.messages.model import UnavailableError, parse_position
from engine.channels.db.store import Store
from engine.channels.history import recovery
from engine.channels.service import Channels, ChannelSettings
from engine.feed.feed import Feed
from engine.feed.settings import FeedSettings
from engine.lsn import format_lsn
from engine.transaction import Discontinuity
from tests.support.nodes.channel_node import ChannelNode, channel_node
from tests.support.nodes.stream_and_live import StreamAndLive
from tests.support.postgres.sql import GIVE_UP_AFTER, run, until


async def test_a_discontinuity_cancels_the_recovery_of_the_start_and_newcomers_wait_for_the_next(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    begun, ended = [asyncio.Event(), asyncio.Event()], [asyncio.Event(), asyncio.Event()]
    outcomes: list[str] = []
    tables = Store.tables

    async def held(store: Store, *names: str) -> Any:
        number = min(sum(each.is_set() for each in begun), 1)
        begun[number].set()
        try:
            await gates[number].wait()
            read = await tables(store, *names)
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            raise
        else:
            outcomes.append("read")
            return read
        finally:
            ended[number].set()

    monkeypatch.setattr(Store, "tables", held)
    settings = FeedSettings(slot_name=f"s_{uuid.uuid4().hex[:16]}", ephemeral=True)
    async with Feed(database, settings) as feed, asyncio.timeout(GIVE_UP_AFTER):
        await feed.streaming()
        following = StreamAndLive(database, feed)
        channels = Channels(database, following.stream, feed.lease, ChannelSettings(node_id=settings.node))
        one = ChannelNode(database, feed, following, channels)
        try:
            await following.start()
            starting = asyncio.create_task(channels.start())
            await begun[0].wait()
            channels.discontinuity(Discontinuity("a test"), following.stream.position)
            await begun[1].wait()
            gates[0].set()
            await ended[0].wait()
            newcomer = asyncio.create_task(one.listen("room"))
            assert outcomes == ["cancelled"]
            assert not starting.done()
            gates[1].set()
            await starting
            listener = await newcomer
            ack = await one.publish("room", 1)
            await listener.until(lambda: listener.positions == [ack.position])
        finally:
            await channels.stop()
            await following.stop()


async def test_what_is_read_again_after_a_hole_is_not_for_those_who_came_later(database: str) -> None:
    async with channel_node(database) as one, asyncio.timeout(GIVE_UP_AFTER):
        first, *newcomers = [await one.listen("room"), await one.member(), await one.member()]
        for text in ("early", "held", "last"):
            run(database, "select realtime.broadcast('room', 'sent', to_jsonb(%s::text))", text)
        await first.until(lambda: first.data == ["early", "held", "last"])
        end = first.positions[2].rpartition("/")[0]
        at_the_end = [await one.listen("room", newcomers[0]), await one.listen("room", newcomers[1], since=end)]
        assert end == format_lsn(one.channels.core.position)
        run(database, "select realtime.broadcast('elsewhere', 'sent', '1')")
        await one.caught_up()
        late, resumed = await one.listen("room"), await one.listen("room", since=first.positions[1])
        assert resumed.data == ["last"]
        whole = parse_position(first.positions[0]).lsn
        one.channels.discontinuity(Discontinuity("a test", whole=whole), one.stream.position)
        await one.publish("room", "next")
        await late.until(lambda: "next" in late.data)
        assert (first.data, late.data, resumed.data) == (
            ["early", "held", "last", "next"],
            ["next"],
            ["last", "next"],
        )
        assert [each.data for each in at_the_end] == [["next"], ["next"]]


async def test_who_resumes_before_a_hole_is_noticed_gets_what_the_past_has_lacked(database: str) -> None:
    """The stream lacks a message that is not recorded yet: neither it nor a read of the past brings it."""
    async with channel_node(database, record_interval=GIVE_UP_AFTER) as one, asyncio.timeout(GIVE_UP_AFTER):
        first = await one.listen("room")
        for text in ("early", "lost"):
            await until(lambda: not one.channels.core.unrecorded.pending)
            run(database, "select realtime.broadcast('room', 'sent', to_jsonb(%s::text))", text)
            await first.until(lambda: text in first.data)
        assert first.data == ["early", "lost"]
        run(database, "select realtime.broadcast('other room', 'sent', '\"lost\"')")
        await one.caught_up()
        early, lost = (parse_position(position) for position in first.positions)
        held = one.channels.core.unrecorded.pending
        one.channels.core.unrecorded.keep(early.lsn)
        resumed = await one.listen("room", since=first.positions[0])
        shown = await one.listen("room", history=5)
        whole = await one.listen("room", since=format_lsn(lost.lsn))
        assert (resumed.data, shown.data, whole.data) == ([], ["early"], [])
        empty, later = await one.listen("other room", history=5), await one.listen("other room")
        await one.channels.recorder.write([each for each in held if each.lsn >= lost.lsn], careful=True)
        one.channels.discontinuity(Discontinuity("a test", whole=early.lsn), one.stream.position)
        await one.publish("room", "next")
        await resumed.until(lambda: "next" in resumed.data)
        assert (resumed.data, shown.data, whole.data) == (["lost", "next"], ["early", "lost", "next"], ["next"])
        await empty.until(lambda: bool(empty.data))
        assert (empty.data, later.data) == (["lost"], [])


def bound_waits(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    for each in (recovery, subscriptions):
        monkeypatch.setattr(each, "WAITS", seconds)


async def test_subscriptions_do_not_wait_for_ever_for_the_stream_or_a_recovery(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while no relay leads."""
    gate, tables = asyncio.Event(), Store.tables

    async def held(store: Store, *names: str) -> Any:
        await gate.wait()
        return await tables(store, *names)

    async with channel_node(database) as one, asyncio.timeout(GIVE_UP_AFTER):
        await one.listen("room")
        bound_waits(monkeypatch, 0.2)
        async with one.stream.apply_lock:
            run(database, "select realtime.broadcast('room', 'sent', '1')")
            with pytest.raises(UnavailableError, match="does not follow the database now"):
                await one.listen("room", history=1)
            with pytest.raises(UnavailableError, match="does not follow the database now"):
                await one.listen("room", since="FF/0")
        monkeypatch.setattr(Store, "tables", held)
        one.channels.discontinuity(Discontinuity("a test"), one.stream.position)
        for history in (0, 1):
            with pytest.raises(UnavailableError, match="does not follow the database now"):
                await one.listen("room", history=history)
        bound_waits(monkeypatch, GIVE_UP_AFTER)
        gate.set()
        assert (await one.listen("room", history=1)).data == [1]


async def test_a_user_and_a_new_room_do_not_wait_for_ever_for_the_stream(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's preferences are those of the stream, and so are the rooms; the connection's row is behind its position."""
    refused = "does not follow the database now"
    async with channel_node(database) as one, asyncio.timeout(GIVE_UP_AFTER):
        run(database, "update realtime.channel_defaults set dynamic = false")
        run(database, "select realtime.create_channel('room')")
        await one.caught_up()
        bound_waits(monkeypatch, 0.2)
        async with one.stream.apply_lock:
            ann = await one.member("ann")
            with pytest.raises(UnavailableError, match=refused):
                await one.listen("room", ann)
            run(database, "select realtime.create_channel('new')")
            with pytest.raises(UnavailableError, match=refused):
                await one.listen("new")
            with pytest.raises(UnavailableError, match=refused):
                await one.publish("new", 1)
        bound_waits(monkeypatch, GIVE_UP_AFTER)
        listener = await one.listen("room", ann)
        await one.publish("room", 1)
        await listener.until(lambda: listener.data == [1])
        await one.publish("new", 1)


async def test_a_position_of_another_server_is_not_waited_for(database: str) -> None:
    """As of a former primary to which a connection still leads: the stream of the new one may never get there."""
    async with channel_node(database) as one, asyncio.timeout(GIVE_UP_AFTER):
        memory = one.feed._memory
        timeline = memory.timeline
        assert timeline is not None
        memory.timeline = timeline + 1
        with pytest.raises(UnavailableError, match="connections reach two servers"):
            await one.channels.store.flushed()
        memory.timeline = timeline
        assert await one.channels.store.flushed()
