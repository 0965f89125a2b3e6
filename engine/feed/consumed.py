"""What the consumer of a feed holds of it: state, positions and events, wherever these come from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from engine.errors import FeedError
from engine.feed.buffer import EventBuffer
from engine.feed.positions import Lag, Positions
from engine.feed.table_interest import TableInterest
from engine.lsn import Lsn
from engine.transaction import FeedEvent, Transaction

__all__ = ["ConsumedFeed", "FeedState", "FeedStatus"]

FeedStatus = Literal["starting", "streaming", "reconnecting", "stopped"]


@dataclass(frozen=True, slots=True)
class FeedState:
    """``reason``: why the feed is not streaming, in words; None if there is no known problem."""

    status: FeedStatus
    reason: str | None = None


class ConsumedFeed:
    """A base of feeds, which make ``_changed`` and ``_buffer`` when they are opened, and set ``_changed`` after each change
    of ``state``.
    """

    reports_recorded = False
    """See :class:`engine.stream.change_feed.ChangeFeed`."""

    _changed: asyncio.Event
    _buffer: EventBuffer

    def __init__(self) -> None:
        self.state = FeedState("starting")
        self.interest = TableInterest()
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        self._positions = Positions()

    @property
    def received(self) -> Lsn:
        """Everything that committed before this position has been received."""
        return self._positions.received

    @property
    def confirmed(self) -> Lsn:
        """The position that the consumer has confirmed, which the slot may advance to."""
        return self._positions.confirmed

    @property
    def lag(self) -> Lag:
        """How far the consumer is behind what has been received."""
        return self._positions.lag()

    def request_recording(self) -> None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""

    def commit_of(self, xid: int) -> Lsn | None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        return None

    def request_progress(self) -> None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""

    async def streaming(self) -> None:
        """Wait until the feed streams. Raises ``FeedError`` if it cannot start, or is closed."""
        while self.state.status != "streaming":
            if self.state.status == "stopped":
                raise FeedError(self.state.reason or "the feed is closed")
            self._changed.clear()
            await self._changed.wait()

    @property
    def waiting(self) -> int:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        return len(self._buffer)

    def take(self, wanted: Callable[[Transaction], bool]) -> Transaction | None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        transaction = self._buffer.get_transaction(wanted)
        if transaction is not None:
            self._positions.hand_out(transaction)
        return transaction

    def __aiter__(self) -> AsyncIterator[FeedEvent]:
        return self

    async def __anext__(self) -> FeedEvent:
        event = await self._buffer.get()
        if event is None:
            raise StopAsyncIteration
        self._positions.hand_out(event)
        return event
