"""A database, a NATS server, relays in processes of their own, and nodes in this process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from engine.channels.core.messages.model import UnavailableError
from engine.channels.service import Channels, ChannelSettings
from engine.cluster.feed import ClusterFeed
from engine.cluster.nats_stream import NatsStream, connected
from engine.cluster.settings import ClusterSettings
from engine.feed.settings import FeedSettings
from engine.feed.table_interest import CHANNEL_TOPICS
from engine.identity.principal import Principal
from engine.live.settings import LiveSettings
from server.cli.serving.local_nats import LocalNats
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber
from tests.support.nodes.live_node import Follower
from tests.support.nodes.stream_and_live import StreamAndLive
from tests.support.oracle.queries import Query
from tests.support.ports import free_port
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, read, run, until
from tests.support.servers.processes import ServerProcess, start

ALL = Query("t", {"orderBy": [["id", "asc"]]}, "")
LIVE = LiveSettings(reread_interval=0.0)


class ClusterNode(ChannelNode):
    """A node with live queries and channels, whose stream comes from NATS."""

    feed: ClusterFeed  # type: ignore[assignment]

    async def follow(self, query: Query = ALL) -> Follower:
        """A subscription, by default to all rows of t."""
        follower = Follower(query)
        async with asyncio.timeout(GIVE_UP_AFTER):
            follower.subscription = await self.live.subscribe(
                Principal(), query.collection, query.spec, follower.deliver
            )
        follower.subscription.begin()
        return follower

    async def insist(self, channel: str, data: Any) -> None:
        """Publish as a client does that gets no answer: again, under the same id."""
        identifier = str(uuid.uuid4())
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                with contextlib.suppress(UnavailableError):
                    await self.publish(channel, data, id=identifier)
                    return


def ids(follower: Follower) -> list[int]:
    """The ids of the rows that the client holds."""
    assert follower.error is None, follower.error
    assert not follower.failures, follower.failures[0]
    return [int(each) for each in follower.ids]


class Cluster:
    """One slot, relays and nodes."""

    def __init__(self, dsn: str, nats: LocalNats, slot: str | None = None, **cluster: Any) -> None:
        self.dsn = dsn
        self.nats = nats
        self.slot = slot or f"s_{uuid.uuid4().hex[:12]}"
        self.settings = ClusterSettings(urls=(nats.url,), slot=self.slot, **cluster)
        self._stack = AsyncExitStack()
        self.relays: list[ServerProcess] = []

    async def relay(self, health: int = 200, **config: Any) -> ServerProcess:
        """A relay more, as a process; it need not lead. ``health``: the status of its ``/health`` that is waited for."""
        port = free_port()
        settings = {"log_format": "json", "nats_url": self.nats.url, "slot_name": self.slot, "relay_lease": 3, **config}
        process = await start("relay", "--dsn", self.dsn, port=port, config=settings)
        self._stack.push_async_callback(_end, process)
        self.relays.append(process)
        await process.healthy(health)
        return process

    async def leading(self) -> ServerProcess:
        """The relay that leads, once one does and has begun."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                for each in self.relays:
                    if each.process.returncode is None:
                        with contextlib.suppress(httpx.TransportError):  # it is stopped, or ending
                            code, body = await each.health()
                            if code == 200 and body["role"] == "leader" and body["feed"]["state"] == "streaming":
                                return each
                await asyncio.sleep(0.05)

    async def node(self, live: LiveSettings = LIVE, **options: Any) -> ClusterNode:
        """A node in this process; see :meth:`passing_node`."""
        return await self._stack.enter_async_context(self.passing_node(live, **options))

    @asynccontextmanager
    async def passing_node(
        self,
        live: LiveSettings = LIVE,
        *,
        every_message: bool = False,
        trim_interval: float = 0.05,
        selective: bool = True,
        **feed: Any,
    ) -> AsyncIterator[ClusterNode]:
        """A node in this process that ends with the block. ``trim_interval``: see ``ChannelSettings``; ``selective``: it
        takes what it looks at.
        """
        settings = FeedSettings(slot_name=self.slot, node_id=f"n_{uuid.uuid4().hex[:12]}", **feed)
        made = ClusterFeed(self.dsn, settings, self.settings, selective=selective)
        if every_message:
            made.interest.hold("every message", dict.fromkeys(CHANNEL_TOPICS, 0))
        async with made as source:
            async with asyncio.timeout(GIVE_UP_AFTER):
                await source.streaming()
            following = StreamAndLive(self.dsn, source, live, trim_interval=0.05)
            channels = Channels(
                self.dsn,
                following.stream,
                source.lease,
                ChannelSettings(node_id=settings.node, trim_interval=trim_interval),
            )
            try:
                await following.start()
                async with asyncio.timeout(GIVE_UP_AFTER):
                    await channels.start()
                yield ClusterNode(self.dsn, source, following, channels)  # type: ignore[arg-type]
                assert following.failure is None, following.failure
                assert channels.failure is None, channels.failure
            finally:
                await channels.stop()
                await following.stop()

    def insert(self, *numbers: int) -> None:
        """A transaction for each row."""
        with connect(self.dsn) as sql:
            for number in numbers:
                sql.execute("insert into t values (%s, 'x')", [number])

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[NatsStream]:
        """The stream in NATS."""
        async with connected(self.settings, "a test") as stream:
            yield stream

    async def close(self) -> None:
        await self._stack.aclose()


async def _end(process: ServerProcess) -> None:
    if process.process.returncode is None:
        process.process.send_signal(signal.SIGCONT)
    await process.end(signal.SIGKILL)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[LocalNats]:
    """A server of the test's own."""
    server = LocalNats(tmp_path / "nats", free_port())
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def cluster_of(dsn: str, nats: LocalNats, **settings: Any) -> AsyncIterator[Cluster]:
    """The cluster of a database, in which it makes the exposed table t; no relay and no node yet."""
    run(dsn, "create table t (id int primary key, s text)")
    run(dsn, "select realtime.expose('t')")
    made = Cluster(dsn, nats, **settings)
    try:
        yield made
    finally:
        await made.close()
        query = "from pg_replication_slots where slot_name = %s and database = current_database()"
        run(dsn, f"select pg_terminate_backend(active_pid, 10000) {query} and active_pid is not null", made.slot)
        await until(lambda: not read(dsn, f"select 1 {query} and active", made.slot))
        run(dsn, f"select pg_drop_replication_slot(slot_name) {query}", made.slot)


@pytest_asyncio.fixture
async def cluster(database: str, nats: LocalNats) -> AsyncIterator[Cluster]:
    """A database with the exposed table t; no relay and no node yet."""
    async with cluster_of(database, nats) as made:
        yield made


__all__ = ["ALL", "ChannelSubscriber", "Cluster", "ClusterNode", "cluster_of", "ids"]
