"""The channels whose messages this node needs, for a feed that can leave out those of others.

A subscription needs its channel's messages from before its first read of the past on, and a message that is published here
needs to come back. Both *hold* the topic of the channel (:mod:`engine.feed.table_interest`); the latter until some time
after the last one. With a feed that brings the messages of all channels nothing is held, and nothing waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from engine.channels.core.delivery.subscription import Subscription
from engine.channels.core.messages.model import Answer, Publication
from engine.channels.core.state_machine import ChannelCore
from engine.channels.db.refusals import in_time
from engine.feed.table_interest import channel_topic
from engine.stream.driver import StreamDriver

__all__ = ["FollowedChannels"]

_LOOK: Final = 5.0  # seconds between two looks for topics that nothing is published to


class FollowedChannels:
    """See the module. ``timeout``: seconds in which a published message has its answer."""

    def __init__(self, stream: StreamDriver, core: ChannelCore, timeout: float) -> None:
        self._stream = stream
        self._interest = stream.interest
        self._core = core
        self._kept = timeout + _LOOK
        self._held: Counter[int] = Counter()
        self._subscribed: dict[Subscription, int] = {}
        self._published: dict[int, float] = {}  # topics, and when something was published to them last
        self._order = asyncio.Lock()
        self._waiting = 0  # callers that have or want it

    @property
    def all(self) -> bool:
        """Whether the messages of every channel are brought."""
        return not self._interest.selective

    # -- subscriptions ---------------------------------------------------------------------------------------------

    async def follow(self, subscription: Subscription) -> None:
        """Wait until the messages of its channel come. Raises ``UnavailableError``. :meth:`release` follows in any case."""
        if self.all or subscription in self._subscribed:
            return
        topic = self._subscribed[subscription] = channel_topic(subscription.channel)
        self._hold(topic)
        await self._reach(topic)

    def release(self, subscription: Subscription) -> None:
        """``subscription`` has ended."""
        topic = self._subscribed.pop(subscription, None)
        if topic is not None:
            self._let_go(topic)

    # -- publishing ------------------------------------------------------------------------------------------------

    def ready(self, messages: Sequence[tuple[Publication, Answer]]) -> Sequence[tuple[Publication, Answer]]:
        """Those of ``messages``, from the first on, for which :meth:`publishing` need not be called."""
        return messages if self.all else list(takewhile(lambda each: self._is_ready(each[0].channel), messages))

    def _is_ready(self, channel: str) -> bool:
        topic = channel_topic(channel)
        if topic not in self._published or not self._stream.follows({topic}):
            return False
        self._published[topic] = self._now()
        return True

    async def publishing(self, channel: str) -> None:
        """A message is published to ``channel``: wait until it will come back. Returns in the order of the calls. Raises
        ``UnavailableError``.
        """
        if self.all:
            return
        topic = channel_topic(channel)
        if topic not in self._published:
            self._hold(topic)
        self._published[topic] = self._now()
        if self._waiting or not self._stream.follows({topic}):
            self._waiting += 1
            try:
                async with in_time(), self._order:
                    await self._reach(topic)
            finally:
                self._waiting -= 1

    async def forget(self) -> None:
        """Let go, for ever, what nothing was published to for some time."""
        while not self.all:
            await asyncio.sleep(_LOOK)
            self.forget_before(self._now() - self._kept)

    def forget_before(self, since: float) -> None:
        """Let go what nothing was published to since then, in seconds of the event loop's clock."""
        for topic in [topic for topic, last in self._published.items() if last < since]:
            del self._published[topic]
            self._let_go(topic)

    # -- topics ----------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _hold(self, topic: int) -> None:
        self._held[topic] += 1
        if self._held[topic] == 1:
            self._interest.hold(("channels", topic), {topic: self._interest.messages})

    def _let_go(self, topic: int) -> None:
        self._held[topic] -= 1
        if not self._held[topic]:
            del self._held[topic]
            self._interest.release(("channels", topic))

    async def _reach(self, topic: int) -> None:
        async with in_time():
            await self._stream.follow({topic})
        # What others committed before is in the tables, or came late; what comes from here on is later.
        self._core.reach(self._stream.passed - 1)
