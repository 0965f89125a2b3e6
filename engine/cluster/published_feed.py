"""A feed whose events are published on the way to its consumers, and whose slot waits until NATS has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from engine.cluster.messages import OVERHEAD
from engine.cluster.publisher import Publisher
from engine.feed.feed import Feed, ServerIdentity
from engine.feed.table_interest import TableInterest
from engine.lsn import Lsn
from engine.relay.codec import parts_of
from engine.relay.messages import Break, Part, Passed, ToWorker
from engine.relay.topic import UNTOUCHED, topics_of
from engine.transaction import FeedEvent, Progress, Transaction

__all__ = ["PublishedFeed"]

_PART = (256 << 10) - OVERHEAD  # bytes of payload of a message


class PublishedFeed:
    """A change feed (:class:`engine.stream.change_feed.ChangeFeed`) over ``feed``, which must stream, of a ``publisher``
    that has begun.

    The slot is confirmed up to the smaller of what the consumers have confirmed and what NATS has acknowledged.
    """

    def __init__(self, feed: Feed, publisher: Publisher) -> None:
        self._feed = feed
        self._publisher = publisher
        self._wanted: Lsn = 0
        self._commits = {} if publisher.adopted is None else dict(publisher.adopted.commits)
        self.interest = TableInterest()
        """See :class:`engine.stream.change_feed.ChangeFeed`."""

    @property
    def leads_recording(self) -> bool:
        """See :class:`engine.stream.change_feed.ChangeFeed`: the relay records for all nodes."""
        return True

    reports_recorded = False
    """See :class:`engine.stream.change_feed.ChangeFeed`."""

    waiting = 0
    """See :class:`engine.stream.change_feed.ChangeFeed`: each event is published before its consumers have it."""

    def take(self, wanted: Callable[[Transaction], bool]) -> Transaction | None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        return None

    def request_recording(self) -> None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""

    def request_progress(self) -> None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""

    def commit_of(self, xid: int) -> Lsn | None:
        """See :class:`engine.stream.change_feed.ChangeFeed`."""
        return self._commits.get(xid & 0xFFFFFFFF)

    def started(self) -> None:
        """The consumers have recorded what an earlier relay left."""
        self._commits.clear()

    @property
    def received(self) -> Lsn:
        """See :class:`engine.feed.feed.Feed`."""
        return self._feed.received

    @property
    def confirmed(self) -> Lsn:
        """See :class:`engine.feed.feed.Feed`."""
        return self._feed.confirmed

    def confirm(self, position: Lsn) -> None:
        """The consumers need nothing before ``position`` any more."""
        self._wanted = position
        self.acknowledged()

    def acknowledged(self) -> None:
        """NATS has acknowledged more."""
        self._feed.confirm(min(self._wanted, self._publisher.reached))

    def saw(self, position: Lsn, timeline: int) -> None:
        """See :meth:`engine.feed.feed.Feed.saw`."""
        self._feed.saw(position, timeline)

    def doubt(self) -> None:
        """See :meth:`engine.feed.feed.Feed.doubt`."""
        self._feed.doubt()

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """See :meth:`engine.feed.feed.Feed.on_reconnect`."""
        self._feed.on_reconnect(callback)

    def __aiter__(self) -> AsyncIterator[FeedEvent]:
        return self

    async def __anext__(self) -> FeedEvent:
        event = await self._feed.__anext__()
        if isinstance(event, Transaction | Progress):
            end = event.end if isinstance(event, Transaction) else event.position
            if end > self._publisher.position:  # else the stream had it when this relay took over
                await self._publish(event, end)
            return event
        if event.other_history:
            self._commits.clear()
        if event.missing:
            self._wanted = 0
            self._publisher.start_over(self._feed.confirmed)
        else:
            at, server = self._publisher.position, self._server
            what = event.reason, event.missing, event.other_history, event.safe
            await self._publisher.publish(Break(at, at, self._publisher.generation, *what, server), at)
        return event

    async def _publish(self, event: Transaction | Progress, end: Lsn) -> None:
        first, topics = True, UNTOUCHED
        if isinstance(event, Transaction):
            topics = topics_of(self._feed.plugin or "", event)
        for message, last in self._messages(event):
            await self._publisher.publish(message, end, topics, first=first, last=last)
            first = False

    def _messages(self, event: Transaction | Progress) -> Iterator[tuple[ToWorker, bool]]:
        previous = self._publisher.position
        if isinstance(event, Progress):
            yield Passed(previous, event.position), True
            return
        for frames in parts_of(self._feed.plugin or "", event, _PART):
            yield Part(previous, frames), not frames.more

    @property
    def _server(self) -> ServerIdentity:
        server = self._feed.server
        assert server is not None, "the feed has streamed"
        return server
