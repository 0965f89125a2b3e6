"""Nodes that take the transactions of the tables that their clients look at show exactly what others do."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from random import Random

import psycopg
import pytest
import pytest_asyncio
from msgspec.structs import replace
from nats.js.api import StreamConfig

from engine.cluster.identity import identity_of
from engine.cluster.messages import Sent
from engine.cluster.nats_stream import NatsStream
from engine.cluster.publisher import Publisher
from engine.live.settings import LiveSettings
from engine.lsn import parse_lsn
from engine.postgres.reconnecting import Database
from server.cli.serving.local_nats import LocalNats
from tests.integration.cluster.conftest import Cluster, ClusterNode, cluster_of, ids
from tests.integration.cluster.made_up_terms import publisher, publishing
from tests.support.nodes.live_node import Follower, held
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, read, run, run_each, until

AT_ONCE = LiveSettings(reread_interval=0.0, idle_ttl=0.0)
"""A query is forgotten with its last subscriber."""


def other(name: str, dsn: str) -> Query:
    """All rows of a table that is made and exposed for it."""
    run_each(dsn, f"create table {name} (id int primary key, s text)", f"select realtime.expose('{name}')")
    return Query(name, {"orderBy": [["id", "asc"]]}, f"select id from {name} order by id")


@pytest_asyncio.fixture
async def waiting(dsn: str, nats: LocalNats) -> AsyncIterator[Cluster]:
    """A cluster over a server on which commits may wait for a standby; tables are let go at once."""
    async with cluster_of(dsn, nats, cool_down=0.0) as made:
        yield made


async def caught_up(node: ClusterNode) -> None:
    """Wait until the node shows everything that was committed."""
    [(position,)] = read(node.dsn, "select pg_current_wal_flush_lsn()::text")
    async with asyncio.timeout(GIVE_UP_AFTER):
        await node.live.caught_up(parse_lsn(position))


async def test_node_receives_the_tables_that_it_looks_at(cluster: Cluster) -> None:
    big = other("big", cluster.dsn)
    await cluster.relay()
    one, both = await cluster.node(), await cluster.node()
    rows, large = await one.follow(), await both.follow(big)
    seen = await both.follow()
    before = one.feed.meter.bytes, both.feed.meter.bytes
    run_each(cluster.dsn, *[f"insert into big values ({n}, repeat('x', 10000))" for n in range(20)])
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    await seen.until(lambda: ids(seen) == [1])
    await large.until(lambda: len(ids(large)) == 20)
    for node in (one, both):
        await caught_up(node)
    assert both.feed.meter.bytes - before[1] > 200_000
    assert one.feed.meter.bytes - before[0] < 100_000
    assert (one.stream.interruptions, both.stream.interruptions) == (0, 0)


async def test_transaction_of_several_tables_and_a_message_reach_every_node(cluster: Cluster) -> None:
    second = other("second", cluster.dsn)
    await cluster.relay()
    one, two = await cluster.node(), await cluster.node()
    rows, more, room = await one.follow(), await two.follow(second), await one.listen("room")
    with connect(cluster.dsn) as sql, sql.transaction():
        sql.execute("insert into t values (1, 'x')")
        sql.execute("insert into second values (1, 'x')")
    await two.publish("room", "hello")
    await rows.until(lambda: ids(rows) == [1])
    await more.until(lambda: ids(more) == [1])
    await room.until(lambda: room.data == ["hello"])


async def test_first_subscription_to_a_table_gets_what_is_committed_and_not_visible_yet(waiting: Cluster) -> None:
    await waiting.relay()
    node = await waiting.node(AT_ONCE)
    watching = await waiting.node()
    seen = await watching.follow()
    async with held(waiting.dsn, "insert into t values (1, 'x')") as release:
        await seen.until(lambda: ids(seen) == [1])
        await caught_up(node)  # it is past the transaction, and has not got it
        rows = await node.follow()
        assert ids(rows) == [1], "the transactions behind the slot's position are fetched"
        waiting.insert(2)
        await rows.until(lambda: ids(rows) == [1, 2])
        await release()
    await caught_up(node)
    assert (ids(rows), rows.resets, node.stream.interruptions) == ([1, 2], 1, 0)


async def test_table_is_let_go_and_taken_again(waiting: Cluster) -> None:
    await waiting.relay()
    node = await waiting.node(AT_ONCE)
    for number in range(1, 6):
        rows = await node.follow()
        waiting.insert(2 * number)
        await until(lambda: ids(rows)[-1:] == [2 * number])
        rows.leave()
        await until(lambda: not node.stream.interest.taken)
        waiting.insert(2 * number + 1)
    rows = await node.follow()
    assert ids(rows) == [*range(2, 12)]
    assert node.stream.interruptions == 0


async def test_window_is_caught_up_once_the_stream_has_passed_its_snapshot(cluster: Cluster) -> None:
    second = other("second", cluster.dsn)
    await cluster.relay()
    node = await cluster.node()
    await node.follow()
    before = set(node.live._dispatcher._catching_up)
    run(cluster.dsn, "insert into second values (1)")
    await caught_up(node)
    await node.follow(second)
    assert not before & node.live._dispatcher._catching_up.keys(), "no transaction of its table is needed"


async def test_two_tables_at_once_do_not_wait_for_a_sign_of_life(waiting: Cluster) -> None:
    queries = [other(f"o{n}", waiting.dsn) for n in range(8)]
    await waiting.relay()
    node = await waiting.node(AT_ONCE)
    lists = await asyncio.gather(*[node.follow(query) for query in queries])
    run_each(waiting.dsn, *[f"insert into {query.collection} values (1)" for query in queries])
    await until(lambda: all(ids(each) == [1] for each in lists))


class History:
    """Random writers of one table and of several, and subscriptions that come and go."""

    def __init__(self, dsn: str, nodes: list[ClusterNode], queries: list[Query], seed: int) -> None:
        self.random = Random(seed)
        self.lists: list[Follower] = []
        self._dsn = dsn
        self._nodes = nodes
        self._queries = queries
        self._number = 0

    async def step(self) -> None:
        """One of them."""
        action = self.random.random()
        if action < 0.35:
            self.lists.append(await self.random.choice(self._nodes).follow(self.random.choice(self._queries)))
        elif action < 0.55 and self.lists:
            self.lists.pop(self.random.randrange(len(self.lists))).leave()
        else:
            self._write()

    def _write(self) -> None:
        self._number += 1
        with psycopg.connect(self._dsn) as sql:
            for query in self.random.sample(self._queries, self.random.choice((1, 1, 1, 2))):
                sql.execute(f"insert into {query.collection} values ({self._number})".encode())
                if self.random.random() < 0.3:
                    gone = self.random.randrange(1, self._number + 1)
                    sql.execute(f"delete from {query.collection} where id = {gone}".encode())


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_nodes_with_changing_subscriptions_show_what_the_database_has(waiting: Cluster, seed: int) -> None:
    """With commits that no snapshot shows, and relays that are killed."""
    queries = [other(f"o{n}", waiting.dsn) for n in range(4)]
    for _ in range(2):
        await waiting.relay()
    nodes = [await waiting.node(AT_ONCE) for _ in range(2)]
    history = History(waiting.dsn, nodes, queries, seed)
    for number in range(8):
        table = history.random.choice(queries).collection
        async with held(waiting.dsn, f"insert into {table} values ({1_000_000 + number})") as release:
            for _ in range(12):
                await history.step()
            if number in (2, 5):
                (await waiting.leading()).process.send_signal(signal.SIGKILL)
                await waiting.relay()
            await release()
        for node in nodes:
            await caught_up(node)
        for each in history.lists:
            assert ids(each) == [id_ for (id_,) in read(waiting.dsn, each.query.truth)]
    assert all(each.resets == 1 for each in history.lists)
    assert [node.stream.interruptions for node in nodes] == [0, 0]


async def test_lost_transaction_of_a_table_is_noticed(cluster: Cluster) -> None:
    await cluster.relay()
    node, other_node = await cluster.node(buffer_bytes=1), await cluster.node()
    rows, seen = await node.follow(), await other_node.follow()
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    async with node.stream.apply_lock:  # it takes no more than has been asked for: 512 messages
        cluster.insert(*range(2, 802))
        await seen.until(lambda: len(ids(seen)) == 801)
        async with cluster.stream() as stream:
            state = await stream.state()
            assert state is not None
            lost = state.last - 20
            while not await is_of_table(cluster, stream, lost):
                lost -= 1
            await stream._jetstream.delete_msg(cluster.settings.stream, lost)
    await rows.until(lambda: ids(rows) == [*range(1, 802)])
    assert (node.stream.interruptions, other_node.stream.interruptions) == (1, 0)


async def is_of_table(cluster: Cluster, stream: NatsStream, sequence: int) -> bool:
    """Whether a message of the stream is about one table."""
    found = await stream._jetstream.get_msg(cluster.settings.stream, seq=sequence)
    assert found.subject is not None
    return cluster.settings.topic(found.subject) != 0


async def test_relay_of_a_version_without_topics_makes_nodes_take_everything(cluster: Cluster) -> None:
    first = await cluster.relay()
    node = await cluster.node()
    rows = await node.follow()
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    await first.end(signal.SIGKILL)
    async with Database(cluster.dsn, "a test") as database:
        ours = await identity_of(database)
    server = node.feed.server
    assert server is not None
    term = of_earlier_version(publisher(cluster.settings, server, ours))
    async with publishing(term, node.feed.received, server):
        await until(lambda: node.stream.interruptions == 1)
    await cluster.relay()
    cluster.insert(2)
    await rows.until(lambda: ids(rows) == [1, 2])
    assert node.stream.interest.taken, "it takes the tables that it looks at again"
    assert node.stream.interruptions == 1, (
        "what a stream without topics has brought is a beginning for one that has them"
    )


def of_earlier_version(term: Publisher) -> Publisher:
    """A relay whose signs of life and events have no topics."""
    pulse, add = term._pulse(), term.queue.add
    assert pulse is not None

    def added(subject: str, sent: Sent, topic: int = 0) -> None:
        add(subject, replace(sent, prior=-1, index=None), topic)

    term._pulse = lambda: replace(pulse, topics=0)
    term.queue.add = added  # type: ignore[method-assign]
    return term


async def test_stream_of_a_version_without_topics_is_gone_on_with(cluster: Cluster) -> None:
    async with cluster.stream() as stream:
        subjects = [cluster.settings.events, cluster.settings.pulses]
        await stream._jetstream.add_stream(StreamConfig(name=cluster.settings.stream, subjects=subjects))
    await cluster.relay()
    node = await cluster.node()
    rows = await node.follow()
    cluster.insert(1)
    await rows.until(lambda: ids(rows) == [1])
    run(cluster.dsn, "delete from t")
    await rows.until(lambda: ids(rows) == [])
