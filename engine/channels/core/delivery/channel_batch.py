"""Events of one channel that follow each other, as one object: a subscriber who gets all of them is called once.

What a transaction brings is cut into batches, so the cost of a subscriber is per transaction rather than per event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from engine.channels.core.delivery.events import MessageEvent, PlainEvent

__all__ = ["ChannelBatch", "message_batches", "presence_batches"]

Event = TypeVar("Event", MessageEvent, PlainEvent)

_EVENTS: Final = 128
_BYTES: Final = 64 * 1024  # of payload; so a batch is little more than the largest message


class ChannelBatch(Generic[Event]):
    """``addressed``: some of the events are not for all subscribers."""

    __slots__ = ("_annotated", "addressed", "channel", "events", "size")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.events: list[Event] = []
        self.addressed = False
        self.size = 0
        self._annotated: ChannelBatch[MessageEvent] | None = None

    def takes(self, channel: str, size: int) -> bool:
        """Whether an event of ``channel`` with ``size`` bytes belongs here too."""
        return channel == self.channel and len(self.events) < _EVENTS and self.size + size <= _BYTES

    @staticmethod
    def annotated(batch: ChannelBatch[MessageEvent]) -> ChannelBatch[MessageEvent]:
        """Messages of one transaction with its annotation, one object for all who ask; ``batch`` if there is none."""
        if batch._annotated is None:
            if all(event.meta is None for event in batch.events):
                return batch
            batch._annotated = ChannelBatch(batch.channel)
            batch._annotated.events = [event.annotated for event in batch.events]
        return batch._annotated


def message_batches(events: Iterable[MessageEvent]) -> Iterator[ChannelBatch[MessageEvent]]:
    """Messages in their order, cut where the channel changes or a batch is large."""
    batch: ChannelBatch[MessageEvent] | None = None
    for event in events:
        row = event.row
        size = len(row.payload)
        if batch is None or not batch.takes(event.channel, size):
            if batch is not None:
                yield batch
            batch = ChannelBatch(event.channel)
        batch.events.append(event)
        batch.size += size
        if row.audience is not None:
            batch.addressed = True
    if batch is not None:
        yield batch


def presence_batches(events: Iterable[PlainEvent]) -> Iterator[ChannelBatch[PlainEvent]]:
    """The same for changes of who is present."""
    batch: ChannelBatch[PlainEvent] | None = None
    for event in events:
        channel = event.body["channel"]
        if batch is None or not batch.takes(channel, 0):
            if batch is not None:
                yield batch
            batch = ChannelBatch(channel)
        batch.events.append(event)
    if batch is not None:
        yield batch
