"""The stream driver and the live queries over a feed, put together as a node does it."""

from __future__ import annotations

from typing import ClassVar

from engine.live.service import LiveQueries, LiveSettings, make_reader
from engine.stream.change_feed import ChangeFeed
from engine.stream.driver import StreamDriver
from engine.stream.gathering import Gathering
from engine.transaction import Transaction

__all__ = ["AllThatWait", "StreamAndLive"]


class AllThatWait(Gathering):
    """Gathers whatever waits. ``together``: how many transactions were applied at once, of those that were not alone."""

    together: ClassVar[list[int]] = []

    def gather(self, first: Transaction, feed: ChangeFeed) -> list[Transaction]:
        found = super().gather(first, feed)
        if len(found) > 1:
            self.together.append(len(found))
        return found


class StreamAndLive:
    """``stream`` with its first consumer ``live``, which reads rows from ``dsn`` (of a pooler if ``pooled``). Add others
    before :meth:`start`. ``gathering``: as of the driver.
    """

    def __init__(
        self,
        dsn: str,
        feed: ChangeFeed,
        settings: LiveSettings | None = None,
        *,
        trim_interval: float = 0.02,
        pooled: bool = False,
        gathering: Gathering | None = None,
    ) -> None:
        settings = settings or LiveSettings()
        self.reader = make_reader(dsn, feed, settings, pooled=pooled)
        self.stream = StreamDriver(feed, self.reader, trim_interval, gathering=gathering or Gathering())
        self.live = LiveQueries(self.stream, self.reader, settings)

    async def start(self) -> None:
        await self.reader.open()
        await self.live.start()
        self.stream.start()

    async def stop(self) -> None:
        await self.stream.stop()
        await self.live.stop()
        await self.reader.close()

    @property
    def failure(self) -> BaseException | None:
        return self.stream.failure or self.live.failure
