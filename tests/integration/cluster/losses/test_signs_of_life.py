"""While a large transaction is published, nodes that do not take its table get signs of life, and can begin topics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from engine.cluster.feed import ClusterFeed
from engine.cluster.identity import identity_of
from engine.cluster.publisher import Publisher
from engine.feed.decoders.frames import frames_of
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.feed.settings import FeedSettings
from engine.postgres.reconnecting import Database
from engine.relay.messages import Part
from engine.relay.topic import Topics
from engine.transaction import Transaction
from server.cli.serving.local_nats import LocalNats
from tests.integration.cluster.conftest import Cluster, cluster_of
from tests.integration.cluster.made_up_terms import publisher, publishing, server
from tests.support.postgres.sql import GIVE_UP_AFTER, until
from tests.support.values.message_stream import MESSAGES, insert, relation, transaction

ROWS = 6
START = 500


def large(previous: int, position: int, rows: int = ROWS) -> Iterator[tuple[Part, bool]]:
    """A transaction of MESSAGES in several parts, and whether each is the last."""
    decoder = PgOutputDecoder()
    for payload in transaction(1, [relation(), *(insert(number, "a") for number in range(rows))]):
        found = decoder.feed(payload)
    assert found is not None
    for frames in frames_of(replace(found, position=position - 1, end=position), 1):
        yield Part(previous, frames), not frames.more


class Play:
    """A term that publishes by hand, and feeds of nodes."""

    def __init__(self, cluster: Cluster, term: Publisher) -> None:
        self.cluster = cluster
        self.term = term

    @asynccontextmanager
    async def feed(self, *tables: int):  # type: ignore[no-untyped-def]
        """Of a node that looks at these tables."""
        settings = FeedSettings(slot_name=self.cluster.slot, node_id=f"n_{len(tables)}")
        made = ClusterFeed(self.cluster.dsn, settings, self.cluster.settings, selective=True)
        made.interest.hold("test", dict.fromkeys(tables, MESSAGES.oid))
        async with made as feed:
            async with asyncio.timeout(GIVE_UP_AFTER):
                await feed.streaming()
            yield feed

    async def publish(self, part: Part, position: int, *, first: bool, last: bool) -> None:
        await self.term.publish(part, position, Topics(MESSAGES.oid), first=first, last=last)


async def next_transaction(feed: ClusterFeed) -> Transaction:
    async with asyncio.timeout(GIVE_UP_AFTER):
        async for event in feed:
            if isinstance(event, Transaction):
                return event
    raise AssertionError


@pytest.fixture
async def play(database: str, nats: LocalNats):  # type: ignore[no-untyped-def]
    async with cluster_of(database, nats, beat=0.1, silence=1.0) as cluster:
        async with Database(cluster.dsn, "a test") as found:
            ours = await identity_of(found)
        where = server(flushed=10_000)._replace(system=ours.system)
        async with publishing(publisher(cluster.settings, where, ours), START, where) as term:
            yield Play(cluster, term)


async def test_nodes_get_signs_of_life_between_the_parts_of_a_transaction(play: Play) -> None:
    async with play.feed() as other, play.feed(MESSAGES.oid) as taking:
        states: list[str] = []
        other.on_state(lambda state: states.append(state.status))
        for number, (part, last) in enumerate(large(START, 1000)):
            await play.publish(part, 1000, first=not number, last=last)
            await asyncio.sleep(0.4)
        assert states == []
        found = await next_transaction(taking)
        assert (found.end, len(list(found.changes))) == (1000, ROWS)
        assert (taking.breaks, other.breaks) == ({}, {})


async def test_a_table_is_added_while_a_transaction_of_it_is_published(play: Play) -> None:
    async with play.feed() as adding:
        events = asyncio.create_task(next_transaction(adding))
        parts = list(large(START, 1000))
        for number, (part, last) in enumerate(parts):
            await play.publish(part, 1000, first=not number, last=last)
            if number == len(parts) // 2:
                adding.interest.hold("test", {MESSAGES.oid: MESSAGES.oid})
                adding.interest.wake()
            await asyncio.sleep(0.3)
        found = await events
        assert (found.end, len(list(found.changes))) == (1000, ROWS)
        await until(lambda: MESSAGES.oid in adding.interest.taken)
        assert adding.breaks == {}


async def test_another_table_is_added_while_a_transaction_is_published(play: Play) -> None:
    """What was published of it before a sign of life that nothing of it had proven comes as well."""
    other = MESSAGES.oid + 1
    async with play.feed() as adding:
        events = asyncio.create_task(next_transaction(adding))
        [(small, _)] = large(START, START + 100, 1)
        await play.term.publish(small, START + 100, Topics(other))
        parts = list(large(START + 100, 1000))
        for number, (part, last) in enumerate(parts):
            await play.publish(part, 1000, first=not number, last=last)
            if number == len(parts) // 2:
                before = adding.meter.messages
                await until(lambda: adding.meter.messages > before + 1)
                adding.interest.hold("test", {other: other})
                adding.interest.wake()
                found = await events
        assert (found.end, adding.interest.taken) == (START + 100, {other})
        assert adding.breaks == {}


async def test_a_node_comes_back_while_a_transaction_is_published(play: Play) -> None:
    async with play.feed(MESSAGES.oid) as taking:
        events = asyncio.create_task(next_transaction(taking))
        for number, (part, last) in enumerate(large(START, 1000)):
            await play.publish(part, 1000, first=not number, last=last)
            await asyncio.sleep(0.3)
            if number in (1, 3) and taking._nats is not None:
                await taking._nats.client.close()
        found = await events
        assert (found.end, len(list(found.changes))) == (1000, ROWS)
        assert taking.breaks == {}
