"""One term of a leading relay: the slot's feed, its publication, and the recording of commits.

The relay has the consumers of a node that concern what is stored: channels, which record where messages committed, end
presence timeouts and keep the tables in order. It has no clients and no live queries. So the slot is confirmed only for what
NATS has acknowledged, ``realtime.commits`` has, and every snapshot shows.

It counts messages for the analytics, since it is the one that has those of all channels. All relays of a slot count under
one name, so that each goes on behind what the one before it has written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from engine.channels.core.settings import ChannelSettings
from engine.channels.service import Channels
from engine.cluster.identity import DatabaseIdentity
from engine.cluster.messages import TOPICS, Pulse
from engine.cluster.published_feed import PublishedFeed
from engine.cluster.publisher import Publisher
from engine.cluster.settings import ClusterSettings
from engine.errors import FeedError
from engine.feed.feed import Feed
from engine.feed.settings import FeedSettings
from engine.live.service import make_reader
from engine.live.settings import LiveSettings
from engine.lsn import Lsn
from engine.stream.driver import StreamDriver
from engine.tasks import end
from server.analytics.service import Analytics
from server.analytics.settings import AnalyticsSettings

__all__ = ["RelayTerm"]

_OTHERS = 2.0  # seconds in which nodes record what a former relay had published and not recorded


class RelayTerm:
    """See the module. ``relay``: this relay's name; ``database``: whose slot it is; ``leads``: proves that it
    leads, and raises ``FeedError`` if it does not; ``analytics``: whether messages are counted.

    ``publisher``: of this term; ``feed``: of the slot; ``channels``: None before they have begun.
    """

    def __init__(
        self,
        dsn: str,
        settings: FeedSettings,
        cluster: ClusterSettings,
        relay: str,
        database: DatabaseIdentity,
        leads: Callable[[], Awaitable[None]],
        analytics: AnalyticsSettings,
    ) -> None:
        self._dsn = dsn
        self._analytics = Analytics(analytics.model_copy(update={"country_database": None}))
        self._relay = relay
        self._database = database
        self.feed = Feed(dsn, replace(settings, shared=True, ephemeral=False))
        self.publisher = Publisher(cluster, relay, database, self._pulse, self._acknowledged, leads, self._record)
        self._published: PublishedFeed | None = None
        self.channels: Channels | None = None
        self._starting: Channels | None = None  # as ``channels``, from their making on
        self._failed: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Lead, until the task is cancelled or this relay cannot go on. Raises why: ``FeedError``, ``psycopg.Error`` …"""
        self._failed = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.feed)
            publishing = asyncio.create_task(self.publisher.run())
            stack.push_async_callback(end, [publishing])
            working = asyncio.create_task(self._work(stack))
            stack.push_async_callback(end, [working])
            await asyncio.wait({publishing, working, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            for each in (publishing, working, self._failed):
                if each.done():
                    each.result()

    async def _work(self, stack: AsyncExitStack) -> None:
        await self.feed.streaming()
        server = self.feed.server
        assert server is not None, "the feed streams"
        await self.publisher.begin(self.feed.confirmed, server)
        published = self._published = PublishedFeed(self.feed, self.publisher)
        reader = make_reader(self._dsn, published, LiveSettings(readers=1))
        stream = StreamDriver(published, reader)
        tuning = ChannelSettings(node_id=self.feed.settings.node, connections=2, others_wait=_OTHERS)
        channels = Channels(self._dsn, stream, self.feed.lease, tuning)
        channels.recorder.on_recorded(self.publisher.beat)
        self._analytics.follow(channels)
        self._starting = channels
        for service in (stream, channels):
            service.on_failure(self._fail)
        stack.push_async_callback(reader.close)
        await reader.open()
        stack.push_async_callback(stream.stop)
        stream.start()
        stack.push_async_callback(channels.stop)
        await self.publisher.queue.begun.wait()  # from here on what the stream lacks may get positions that are made up
        await channels.start()
        self._analytics.start(f"relay {self.feed.settings.node}", None, channels, stack)
        self.channels = channels
        published.started()
        self.publisher.beat()
        await asyncio.Event().wait()

    def _fail(self, failure: BaseException) -> None:
        assert self._failed is not None, "run was called"
        if not self._failed.done():
            self._failed.set_exception(FeedError(f"{type(failure).__name__}: {failure}"))

    def _acknowledged(self) -> None:
        if self._published is not None:
            self._published.acknowledged()

    def _record(self) -> None:
        if self._starting is not None:
            self._starting.recorder.record_now()
        self.publisher.beat()

    def _pulse(self) -> Pulse | None:
        feed = self.feed
        if feed.server is None or feed.plugin is None:
            return None
        state = feed.state
        return Pulse(
            self._relay,
            feed.plugin,
            feed.server,
            feed.sessions,
            state.status,
            state.reason,
            feed.confirmed,
            self._database.oid,
            self._database.name,
            self._recorded,
            TOPICS,
        )

    @property
    def _recorded(self) -> Lsn:
        """See :class:`Pulse`. While this term begins it is what the term before has reported: what that one has published
        and not recorded may be in the stream alone.
        """
        found = 0 if self.channels is None else self.channels.recorder.recorded_before
        adopted = self.publisher.adopted
        return found or (0 if adopted is None else adopted.recorded)
