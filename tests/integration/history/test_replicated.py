"""Logical replication of the channels' tables from another cluster: messages come, positions are those of this cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import read, run, until

TABLES = (
    "realtime.messages, realtime.message_ids, realtime.commits, realtime.expired, realtime.epochs, realtime.settings, "
    "realtime.nodes, realtime.slots, realtime.connections, realtime.presence, realtime.channels, realtime.last_seen"
)


@pytest.fixture
def clusters(pg18: LocalPostgres, pg15: LocalPostgres) -> Iterator[tuple[str, str]]:
    """A database on each of two clusters, the second subscribed to all tables of channels of the first."""
    with database_on(pg15) as source, database_on(pg18) as target:
        run(source, f"create publication copies for table {TABLES}")
        yield source, target
        run(target, "drop subscription copies")


async def test_replicated_messages_are_in_the_order_in_which_they_came_whatever_the_other_cluster_knows(
    clusters: tuple[str, str],
) -> None:
    source, target = clusters
    async with channel_node(source) as old:
        await old.listen("room", user="ann", presence={})
        for number in range(3):
            await old.publish("room", number, id=f"i{number}")
        await old.channels.recorded()
        run(target, f"create subscription copies connection '{source}' publication copies")
        ready = "select from pg_subscription_rel having bool_and(srsubstate = 'r')"
        await until(lambda: read(target, ready))
        async with channel_node(target) as new:
            live = await new.listen("room")
            for number in range(3, 6):
                await old.publish("room", number)
            await old.channels.recorded()
            await live.until(lambda: len(live.messages) == 3)
            run(source, "select realtime.broadcast('room', 'sent', '6')")
            await live.until(lambda: len(live.messages) == 4)
            await new.publish("room", 7)
            await new.channels.recorded()
            history = read(target, "select position, payload from realtime.history('room')")
            assert [payload for _, payload in history] == list(range(8))
            assert [position for position, _ in history][3:] == live.positions
            again = await new.listen("room", since=live.positions[0], epoch=new.channels.epoch)
            assert again.data == [4, 5, 6, 7]
            assert (await new.publish("room", "again", id="i1")).id == "i1"
            assert new.channels.presence("room")["users"] == []
            assert read(target, "select count(*) from realtime.nodes") == [(1,)]
            assert read(target, "select count(*) from realtime.slots") == [(1,)]
            assert read(target, "select epoch from realtime.settings") == [(new.channels.epoch,)]
