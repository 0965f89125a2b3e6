"""Nodes with channels in one process, and listeners that write down what they receive."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.model import Ack, ChannelEvent, ChannelOptions, Member, Publication
from engine.channels.service import Channels, ChannelSettings
from engine.feed.feed import Feed
from engine.feed.settings import DecoderName, FeedSettings
from engine.live.service import LiveSettings
from engine.lsn import parse_lsn
from tests.support.fakes.receivers import OneByOne
from tests.support.nodes.stream_and_live import StreamAndLive
from tests.support.nodes.waiting import WaitingSubscriber
from tests.support.postgres.sql import GIVE_UP_AFTER, read


class ChannelSubscriber(OneByOne, WaitingSubscriber):
    """A subscriber's record."""

    def __init__(self, node: ChannelNode, member: Member) -> None:
        super().__init__()
        self.node = node
        self.member = member
        self.events: list[dict[str, Any]] = []
        self.subscription: Subscription | None = None
        self.presence: dict[str, Any] | None = None
        self.position = ""

    def deliver(self, event: ChannelEvent) -> None:
        self.events.append(json.loads(event.json))
        self._received.set()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == "message"]

    @property
    def data(self) -> list[Any]:
        return [event["data"] for event in self.messages]

    @property
    def positions(self) -> list[str]:
        return [event["position"] for event in self.messages]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def cancel(self) -> None:
        assert self.subscription is not None
        self.subscription.cancel()


class ChannelNode:
    """A feed, live queries and channels."""

    def __init__(self, dsn: str, feed: Feed, following: StreamAndLive, channels: Channels) -> None:
        self.dsn = dsn
        self.feed = feed
        self.stream = following.stream
        self.live = following.live
        self.channels = channels

    async def member(self, user: str | None = None, **attributes: Any) -> ChannelSubscriber:
        """A new connection."""
        member = Member(uuid.uuid4().hex[:12], user, attributes)
        listener = ChannelSubscriber(self, member)
        await self.channels.connect(member, listener.deliver)
        return listener

    async def listen(
        self, channel: str, listener: ChannelSubscriber | None = None, user: str | None = None, **options: Any
    ) -> ChannelSubscriber:
        """A subscription that has begun."""
        listener = listener or await self.member(user)
        async with asyncio.timeout(GIVE_UP_AFTER):
            subscription = await self.channels.subscribe(channel, ChannelOptions(**options), listener.member, listener)
        listener.subscription = subscription
        shown = subscription.presence_json()
        listener.presence = None if shown is None else json.loads(shown)
        listener.position = subscription.position
        subscription.begin()
        return listener

    async def publish(
        self, channel: str, data: Any, event: str = "sent", member: Member | None = None, **more: Any
    ) -> Ack:
        async with asyncio.timeout(GIVE_UP_AFTER):
            return await self.channels.publish(
                Publication(channel, event, json.dumps(data).encode(), member or Member("nobody"), **more)
            )

    async def caught_up(self) -> None:
        """Wait until everything committed so far has been delivered."""
        position = parse_lsn(read(self.dsn, "select pg_current_wal_flush_lsn()::text")[0][0])
        async with asyncio.timeout(GIVE_UP_AFTER):
            await self.stream.reached(position)


@asynccontextmanager
async def channel_node(
    dsn: str,
    *,
    decoder: DecoderName = "pgoutput",
    slot: str | None = None,
    feed: dict[str, Any] | None = None,
    through: str | None = None,
    **more: Any,
) -> AsyncIterator[ChannelNode]:
    """A node over ``dsn``, whose channels use ``through`` if that is given; everything is gone afterwards."""
    name = slot or f"s_{uuid.uuid4().hex[:16]}"
    settings = FeedSettings(slot_name=name, decoder=decoder, **{"ephemeral": True, **(feed or {})})
    async with Feed(dsn, settings) as source:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await source.streaming()
        following = StreamAndLive(dsn, source, LiveSettings(stream_generated=decoder == "pgoutput"), trim_interval=0.05)
        channels = Channels(
            through or dsn,
            following.stream,
            source.lease,
            ChannelSettings(node_id=settings.node, **{"trim_interval": 0.05, **more}),
        )
        try:
            await following.start()
            async with asyncio.timeout(GIVE_UP_AFTER):
                await channels.start()
            yield ChannelNode(dsn, source, following, channels)
            assert following.failure is None, following.failure
            assert channels.failure is None, channels.failure
        finally:
            await channels.stop()
            await following.stop()
