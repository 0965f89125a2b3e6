"""Nodes that take the messages of the channels that they look at show exactly what others do."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from itertools import count, pairwise
from random import Random

import pytest
import pytest_asyncio

from engine.channels.core.messages.model import UnavailableError, parse_position
from engine.feed.table_interest import CHANNEL_TOPICS, channel_topic
from engine.lsn import parse_lsn
from server.cli.serving.local_nats import LocalNats
from tests.integration.cluster.conftest import ChannelSubscriber, Cluster, ClusterNode, cluster_of
from tests.integration.cluster.test_topics import caught_up
from tests.support.nodes.live_node import held
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, read, until


@pytest_asyncio.fixture
async def waiting(dsn: str, nats: LocalNats) -> AsyncIterator[Cluster]:
    """A cluster over a server on which commits may wait for a standby; channels are let go at once."""
    async with cluster_of(dsn, nats, cool_down=0.0) as made:
        yield made


def others(channel: str) -> list[str]:
    """A channel of each topic but that of ``channel``."""
    found: dict[int, str] = {}
    for number in count():
        found.setdefault(channel_topic(f"other:{number}"), f"other:{number}")
        if len(found) == len(CHANNEL_TOPICS):
            return [name for topic, name in found.items() if topic != channel_topic(channel)]
    raise AssertionError


def send(channel: str, data: int | str) -> str:
    """What publishes ``data`` as a text."""
    return f"insert into realtime.messages (channel, event, payload) values ('{channel}', 'sent', to_jsonb('{data}'::text))"


def write(cluster: Cluster, *messages: tuple[str, int | str]) -> None:
    with connect(cluster.dsn) as sql:
        for channel, data in messages:
            sql.execute(send(channel, data).encode())


async def has(subscriber: ChannelSubscriber, count: int) -> None:
    """Wait for so many messages."""
    await subscriber.until(lambda: len(subscriber.data) >= count)


async def ends(subscriber: ChannelSubscriber, data: str) -> None:
    """Wait for the message with ``data``, as the last one."""
    await subscriber.until(lambda: subscriber.data[-1:] == [data])


async def test_node_receives_the_channels_that_it_has_subscribers_of(cluster: Cluster) -> None:
    await cluster.relay()
    one, every = await cluster.node(), await cluster.node(every_message=True)
    room = await one.listen("room")
    before = one.feed.meter.bytes, every.feed.meter.bytes
    write(cluster, *[(channel, "x" * 1000) for channel in others("room")], ("room", "end"))
    await room.until(lambda: room.data == ["end"])
    for node in (one, every):
        await caught_up(node)
    assert every.feed.meter.bytes - before[1] > 127_000
    assert one.feed.meter.bytes - before[0] < 30_000
    assert one.channels.core.messages == 1
    assert every.channels.core.messages == 128
    assert (one.stream.interruptions, every.stream.interruptions) == (0, 0)


async def test_transaction_of_several_channels_reaches_every_node(cluster: Cluster) -> None:
    await cluster.relay()
    one, two = await cluster.node(), await cluster.node()
    channel = others("room")[0]
    room, other = await one.listen("room"), await two.listen(channel)
    with connect(cluster.dsn) as sql, sql.transaction():
        sql.execute(send(channel, "a").encode())
        sql.execute(send("room", "b").encode())
    await room.until(lambda: room.data == ["b"])
    await other.until(lambda: other.data == ["a"])
    assert parse_position(room.positions[0]).lsn == parse_position(other.positions[0]).lsn


async def test_what_is_published_where_nothing_subscribes_is_acknowledged_with_its_position(cluster: Cluster) -> None:
    await cluster.relay()
    one, two = await cluster.node(), await cluster.node()
    names = others("room")[:5]
    listeners = [await two.listen(name) for name in names]
    acks = await asyncio.gather(*[one.publish(name, number) for name in names for number in range(3)])
    for listener, mine in zip(listeners, (acks[at : at + 3] for at in range(0, 15, 3)), strict=True):
        await has(listener, 3)
        assert listener.data == [0, 1, 2]
        assert listener.positions == [ack.position for ack in mine]
    order = [parse_position(ack.position or "") for ack in acks]
    assert order == sorted(order), "the order of the calls is that of the messages"
    assert {channel_topic(name) for name in names} <= one.stream.interest.taken
    one.channels._followed.forget_before(float("inf"))
    assert not one.stream.interest.held


async def test_messages_before_the_first_subscription_are_its_history(waiting: Cluster) -> None:
    await waiting.relay()
    node, watching = await waiting.node(), await waiting.node()
    seen = await watching.listen("room")
    write(waiting, ("room", 0))
    async with held(waiting.dsn, send("room", 1)) as release:
        await seen.until(lambda: seen.data == ["0", "1"])
        await caught_up(node)  # it is past the transactions, and has not got them
        assert node.channels.core.messages == 0
        room = await node.listen("room", history=10)
        since = await node.listen("room", since=seen.positions[0])
        write(waiting, ("room", 2))
        await room.until(lambda: len(room.data) == 3)
        await since.until(lambda: len(since.data) == 2)
        await release()
    await seen.until(lambda: len(seen.data) == 3)
    assert (room.data, room.positions) == (seen.data, seen.positions)
    assert since.positions == seen.positions[1:]


async def test_position_of_an_idle_node_is_no_bound_for_the_past(waiting: Cluster) -> None:
    """Messages that are older than what every snapshot shows, and newer than the last transaction that the node took."""
    await waiting.relay()
    node = await waiting.node()
    member = await node.member()  # its row is a transaction that the node takes
    write(waiting, *[("room", number) for number in range(3)])
    query = "select count(*) from realtime.commits where channel = 'room'"
    await until(lambda: read(waiting.dsn, query) == [(3,)])
    [(flushed,)] = read(waiting.dsn, "select pg_current_wal_flush_lsn()::text")
    await until(lambda: node.feed._needed() >= parse_lsn(flushed))
    await caught_up(node)
    room = await node.listen("room", member, history=10)
    await room.until(lambda: room.data == ["0", "1", "2"])


async def test_rest_waits_for_the_recording_of_channels_that_are_not_followed(cluster: Cluster) -> None:
    await cluster.relay()
    node = await cluster.node()
    for number in range(5):
        write(cluster, ("room", number))
        async with asyncio.timeout(GIVE_UP_AFTER):
            await node.channels.recorded()
        [(recorded,)] = read(cluster.dsn, "select count(*) from realtime.commits where channel = 'room'")
        assert recorded == number + 1
    assert node.channels.core.messages == 0


async def test_channel_is_let_go_and_taken_again_while_messages_flow(waiting: Cluster) -> None:
    await waiting.relay()
    node, watching = await waiting.node(), await waiting.node()
    seen = await watching.listen("room")
    last, got = None, []
    for number in range(0, 60, 6):
        write(waiting, *[("room", each) for each in range(number, number + 3)])
        room = await (node.listen("room", since=last) if last else node.listen("room", history=100))
        write(waiting, *[("room", each) for each in range(number + 3, number + 5)])
        await ends(room, str(number + 4))
        room.cancel()
        got += room.messages
        last = room.positions[-1]
        write(waiting, ("room", number + 5))
        await until(lambda: not node.stream.interest.taken)
    await seen.until(lambda: len(seen.data) == 60)
    assert [each["position"] for each in got] == seen.positions[:59]
    assert node.stream.interruptions == 0


class Readers:
    """Subscribers of random channels at random nodes, which leave and come back with the position that they have."""

    def __init__(self, nodes: list[ClusterNode], channels: list[str], seed: int) -> None:
        self.random = Random(seed)
        self.nodes = nodes
        self.channels = channels
        self.got: dict[tuple[int, str], list[str]] = {}
        self._open: dict[tuple[int, str], ChannelSubscriber] = {}
        self._since: dict[tuple[int, str], str] = {}

    async def come(self, reader: int, channel: str) -> None:
        """The reader of this number subscribes, at any node; again where it is refused, as clients do: a stream may be late
        while another relay takes over.
        """
        key = reader, channel
        node = self.random.choice(self.nodes)
        since = self._since.get(key)
        async with asyncio.timeout(GIVE_UP_AFTER):
            while key not in self._open:
                with contextlib.suppress(UnavailableError):
                    self._open[key] = await (
                        node.listen(channel, since=since) if since else node.listen(channel, history=1000)
                    )

    def go(self, key: tuple[int, str]) -> None:
        """A reader leaves."""
        subscriber = self._open.pop(key)
        subscriber.cancel()
        self.got.setdefault(key, []).extend(subscriber.positions)
        if subscriber.positions:
            self._since[key] = subscriber.positions[-1]

    async def step(self) -> None:
        """One comes or goes."""
        key = self.random.randrange(3), self.random.choice(self.channels)
        if key in self._open:
            self.go(key)
        else:
            await self.come(*key)

    async def _read_all(self, key: tuple[int, str], count: int) -> None:
        reader, before = self._open[key], len(self.got.get(key, []))
        await has(reader, count - before)

    async def finish(self, positions: dict[str, list[str]]) -> None:
        """Everyone comes back and reads up to the end; ``positions``: of each channel."""
        for key in [(reader, channel) for reader in range(3) for channel in self.channels]:
            if key not in self._open:
                await self.come(*key)
            await self._read_all(key, len(positions[key[1]]))
            self.go(key)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_readers_that_move_between_nodes_miss_nothing_and_get_nothing_twice(waiting: Cluster, seed: int) -> None:
    """With commits that no snapshot shows, messages of several channels, and relays that are killed."""
    for _ in range(2):
        await waiting.relay()
    nodes = [await waiting.node() for _ in range(2)]
    channels = others("room")[:4]
    readers = Readers(nodes, channels, seed)
    witness = await waiting.node(every_message=True)
    seen = {channel: await witness.listen(channel) for channel in channels}
    written = dict.fromkeys(channels, 0)
    for number in range(6):
        late = readers.random.choice(channels)
        async with held(waiting.dsn, send(late, f"late {number}")) as release:
            for _ in range(10):
                with connect(waiting.dsn) as sql, sql.transaction():
                    for channel in readers.random.sample(channels, readers.random.choice((1, 1, 1, 2))):
                        sql.execute(send(channel, number).encode())
                        written[channel] += 1
                await readers.step()
            if number in (2, 4):
                (await waiting.leading()).process.send_signal(signal.SIGKILL)
                await waiting.relay()
            await release()
        written[late] += 1
    for channel, subscriber in seen.items():
        await has(subscriber, written[channel])
    await readers.finish({channel: subscriber.positions for channel, subscriber in seen.items()})
    for (_, channel), positions in readers.got.items():
        assert positions == seen[channel].positions
        assert all(one < two for one, two in pairwise(map(parse_position, positions)))
    assert [node.stream.interruptions for node in nodes] == [0, 0]


async def test_node_that_knows_no_topics_of_channels_takes_everything(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.cluster.feed.TOPICS", 1)  # as in the version before
    await cluster.relay()
    node = await cluster.node()
    room = await node.listen("room")
    write(cluster, ("room", 1), *[(channel, 2) for channel in others("room")])
    await node.publish("elsewhere", 3)
    await room.until(lambda: room.data == ["1"])
    assert node.channels.core.messages == 129
    assert node.stream.interruptions == 0
