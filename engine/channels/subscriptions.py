"""Subscriptions of this node's clients to channels: opened with their history, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.model import (
    ChannelOptions,
    Member,
    OlderMessages,
    Position,
    Receiver,
    UnknownChannelError,
    format_position,
    parse_position,
)
from engine.channels.core.state_machine import ChannelCore
from engine.channels.db.refusals import WAITS, in_time, refusals
from engine.channels.db.schema_watch import SchemaWatch
from engine.channels.db.store import Store
from engine.channels.followed_channels import FollowedChannels
from engine.channels.history.older import OlderPages
from engine.channels.history.recovery import Recovery
from engine.channels.presence.client_lifecycle import ClientLifecycle
from engine.errors import InvalidQueryError
from engine.postgres.fair_lane import FairLane
from engine.stream.driver import StreamDriver

__all__ = ["Subscriptions"]

_AT_ONCE: Final = 256  # subscriptions that are being opened
_EACH: Final = (
    16  # of one user: what is behind them (rows of presence, the past) comes in the order in which it is asked for
)
_PROMPT: Final = 0.5  # seconds in which one is opened while the stream advances


class Subscriptions:
    """See the module."""

    def __init__(  # noqa: PLR0913
        self,
        core: ChannelCore,
        stream: StreamDriver,
        store: Store,
        schema: SchemaWatch,
        recovery: Recovery,
        clients: ClientLifecycle,
        older: OlderPages,
        followed: FollowedChannels,
    ) -> None:
        self._core = core
        self._stream = stream
        self._store = store
        self._schema = schema
        self._recovery = recovery
        self._clients = clients
        self._older = older
        self._followed = followed
        self._lane = FairLane(_AT_ONCE, _EACH, spare=_AT_ONCE // 2)

    async def check(self, channel: str) -> None:
        """Refuse an unknown or closed channel; but it may have been made a moment ago, or the rooms are being read.

        Raises ``RealtimeError``.
        """
        try:
            self._core.rooms.check(channel)
        except UnknownChannelError:
            with refusals("a channel of this name", self._schema):
                await self.current()
            self._core.rooms.check(channel)

    async def current(self) -> None:
        """Wait until rooms and rules are those that are committed now. Raises ``UnavailableError``, also if the stream does
        not get there in time.
        """
        async with in_time(WAITS):
            await self._stream.reached(await self._store.committed())
            await self._recovery.loaded()

    async def open(self, channel: str, options: ChannelOptions, member: Member, receiver: Receiver) -> Subscription:
        """As :meth:`engine.channels.service.Channels.subscribe`."""
        since = _position(options.since)
        subscription = Subscription(channel, options, member, receiver, self)
        try:
            async with in_time(WAITS) as limit, self._place(member):
                await self.check(channel)
                with refusals("a channel of this name", self._schema):
                    await self._followed.follow(subscription)
                    await self._clients.admit(subscription)
                    await self._recovery.ready(since, options.history)
                    limit.reschedule(None)  # a past is read in its turn, however long it is
                    await self._recovery.begin(subscription, since, options.history)
                self._core.rooms.check(channel)  # it may have been closed meanwhile
        except BaseException:
            self._core.hub.remove(subscription)
            self._clients.leave(subscription)
            self._followed.release(subscription)
            raise
        return subscription

    @asynccontextmanager
    async def _place(self, member: Member) -> AsyncIterator[None]:
        """Wait for a place. A subscription that is in it for long waits for the stream: it gives the place to others, and
        what it waits from then on is not counted as its user's time. It still is one of those that a user may open at once.
        """
        async with self._lane.place(() if member.counted_as is None else (member.counted_as,)) as place:
            late = asyncio.get_running_loop().call_later(_PROMPT, place.free)
            try:
                yield
            finally:
                late.cancel()

    # What a subscription asks of its channels: see ``ChannelSource``.

    @property
    def position(self) -> str:
        """The position of the stream."""
        return format_position(self._core.position)

    def presence(self, channel: str) -> bytes:
        """Who is present in ``channel``: ``{"users":[…],"count":n}``."""
        return self._core.presence.json(channel)

    async def older(self, subscription: Subscription, before: Position | None, limit: int) -> OlderMessages:
        """Messages of its past for ``subscription``; see :meth:`OlderPages.read`."""
        with refusals("a channel of this name", self._schema):
            return await self._older.read(subscription, before, limit)

    def release(self, subscription: Subscription) -> None:
        """``subscription`` has ended."""
        self._followed.release(subscription)
        if self._core.hub.remove(subscription):
            self._clients.leave(subscription)


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    try:
        return parse_position(text)
    except ValueError as error:
        raise InvalidQueryError(f"'since' is not a position: {text!r}") from error
