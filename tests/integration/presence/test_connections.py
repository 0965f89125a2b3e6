"""A connection whose row goes is disconnected, and no other; the clients of a node that was removed are to come back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.channels.core.messages.model import (
    ChannelClosedError,
    ChannelEvent,
    DisconnectedError,
    KickedError,
    Member,
    NodeRemovedError,
)
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber, channel_node
from tests.support.nodes.live_node import drop_slot, terminate
from tests.support.postgres.sql import open_transaction, read, run, until


class Ended(ChannelSubscriber):
    """Remembers why it was ended."""

    why: type[Exception] | None = None

    def deliver(self, event: ChannelEvent) -> None:
        if event.error is not None:
            self.why = type(event.error)
        super().deliver(event)

    async def end(self) -> type[Exception] | None:
        await self.until(lambda: self.why)
        return self.why


async def come(one: ChannelNode, id: str, user: str | None = None) -> Ended:
    listener = Ended(one, Member(id, user))
    await one.channels.connect(listener.member, listener.deliver)
    return listener


async def stays_until_removed(one: ChannelNode, user: Ended) -> None:
    await one.caught_up()
    assert user.why is None
    run(one.dsn, "delete from realtime.connections")
    assert await user.end() is DisconnectedError


@contextmanager
def deaf(one: ChannelNode) -> Iterator[None]:
    """The node receives nothing of what commits meanwhile before the end."""
    with open_transaction(one.dsn) as lock:
        lock.execute("select from realtime.nodes where id = %s for no key update", [one.feed.settings.node])
        slot = one.feed.settings.slot_name
        while read(one.dsn, "select active from pg_replication_slots where slot_name = %s", slot) != [(False,)]:
            terminate(one.dsn, "realtime feed%")
        yield


async def test_clients_of_a_node_whose_row_was_removed_are_to_come_back_and_can(source: Source) -> None:
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as other,
    ):
        ann, bob = await come(one, "ann", "ann"), await come(other, "bob", "bob")
        await one.listen("room", ann, presence={})
        await other.listen("room", bob, presence={})
        run(source.dsn, "delete from realtime.nodes where id = %s", one.feed.settings.node)
        assert await ann.end() is NodeRemovedError
        await bob.until(lambda: bob.of("presence:leave"))
        again = await come(one, "again", "ann")
        await one.listen("room", again, presence={})
        await bob.until(lambda: bob.of("presence:join"))
        await other.caught_up()
        assert bob.why is None
        assert read(source.dsn, "select count(*) from realtime.nodes") == [(2,)]


async def test_clients_of_a_node_that_was_removed_with_its_slot_are_to_come_back(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ann = await come(one, "ann", "ann")
        await one.listen("room", ann, presence={})
        with open_transaction(source.dsn) as others:
            others.execute("delete from realtime.nodes")  # the node waits for that before it makes a new slot
            drop_slot(source.dsn, one.feed.settings.slot_name)
            others.commit()
        assert await ann.end() is NodeRemovedError
        again = await come(one, "again", "ann")
        run(source.dsn, "delete from realtime.connections")
        assert await again.end() is DisconnectedError


async def test_a_connection_ended_while_the_slot_was_lost_is_not_to_come_back(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ann, bob = await come(one, "ann"), await come(one, "bob")
        with deaf(one):
            run(source.dsn, "delete from realtime.connections where id = 'ann'")
            drop_slot(source.dsn, one.feed.settings.slot_name)
        assert await ann.end() is DisconnectedError
        run(source.dsn, "truncate realtime.connections cascade")
        assert await bob.end() is DisconnectedError


async def test_a_connection_whose_row_is_deleted_before_its_insert_returned_is_ended(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with channel_node(database) as one:
        store, received = one.channels.store, asyncio.Event()
        write = store.connect

        async def write_and_linger(member: Member) -> None:
            await write(member)
            await received.wait()

        monkeypatch.setattr(store, "connect", lambda member: asyncio.ensure_future(write_and_linger(member)))
        for statement in ("delete from realtime.connections", "truncate realtime.connections cascade"):
            received.clear()
            ann = Ended(one, Member(f"ann {statement}"))
            coming = one.channels.connect(ann.member, ann.deliver)
            await until(lambda: read(database, "select from realtime.connections"))
            run(database, statement)
            assert await ann.end() is DisconnectedError
            received.set()
            await coming


async def test_truncating_connections_ends_those_in_it_and_none_that_came_later(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ann = await come(one, "ann")
        with deaf(one):
            run(source.dsn, "truncate realtime.connections cascade")
            bob = await come(one, "bob")
        assert await ann.end() is DisconnectedError
        await stays_until_removed(one, bob)


async def test_removing_the_node_ends_its_connections_and_none_that_came_later(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ann = await come(one, "ann")
        with open_transaction(source.dsn) as lock:
            lock.execute("delete from realtime.nodes")
            coming = asyncio.create_task(come(one, "bob"))
            await until(lambda: read(source.dsn, "select from pg_locks where not granted"))
            lock.commit()
        bob = await coming
        assert await ann.end() is NodeRemovedError
        await stays_until_removed(one, bob)


async def test_a_member_that_came_and_was_removed_while_the_slot_was_lost_is_answered(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        run(source.dsn, "insert into realtime.channels (name) values ('stays'), ('closes')")
        ann = await come(one, "ann")
        await one.caught_up()
        with deaf(one):
            stays = asyncio.create_task(one.listen("stays", ann, presence={}))
            closes = asyncio.create_task(one.listen("closes", ann, presence={}))
            await until(lambda: read(source.dsn, "select count(*) from realtime.presence") == [(2,)])
            run(source.dsn, "delete from realtime.presence where channel = 'stays'")
            run(source.dsn, "select realtime.close_channel('closes')")
            drop_slot(source.dsn, one.feed.settings.slot_name)
        with pytest.raises(KickedError):
            await stays
        with pytest.raises(ChannelClosedError):
            await closes
        assert ann.why is None
        again = await one.listen("stays", ann, presence={})
        assert again.presence is not None
        assert again.presence["count"] == 1
