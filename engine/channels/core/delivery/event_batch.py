"""Events of one channel that follow each other, as one object: a subscriber who gets all of them is called once.

What a transaction brings is cut into blocks, so the cost of a subscriber is per transaction rather than per event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from engine.channels.core.delivery.events import MessageEvent, PlainEvent

__all__ = ["EventBlock", "message_blocks", "presence_blocks"]

Event = TypeVar("Event", MessageEvent, PlainEvent)

_EVENTS: Final = 128
_BYTES: Final = 64 * 1024  # of payload; so a block is little more than the largest message


class EventBlock(Generic[Event]):
    """``addressed``: some of the events are not for all subscribers."""

    __slots__ = ("addressed", "channel", "events", "size")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.events: list[Event] = []
        self.addressed = False
        self.size = 0

    def takes(self, channel: str, size: int) -> bool:
        """Whether an event of ``channel`` with ``size`` bytes belongs here too."""
        return channel == self.channel and len(self.events) < _EVENTS and self.size + size <= _BYTES


def message_blocks(events: Iterable[MessageEvent]) -> Iterator[EventBlock[MessageEvent]]:
    """Messages in their order, cut where the channel changes or a block is large."""
    block: EventBlock[MessageEvent] | None = None
    for event in events:
        size = len(event.row.payload)
        if block is None or not block.takes(event.channel, size):
            if block is not None:
                yield block
            block = EventBlock(event.channel)
        block.events.append(event)
        block.size += size
        block.addressed = block.addressed or event.row.audience is not None
    if block is not None:
        yield block


def presence_blocks(events: Iterable[PlainEvent]) -> Iterator[EventBlock[PlainEvent]]:
    """The same for changes of who is present."""
    block: EventBlock[PlainEvent] | None = None
    for event in events:
        channel = event.body["channel"]
        if block is None or not block.takes(channel, 0):
            if block is not None:
                yield block
            block = EventBlock(channel)
        block.events.append(event)
    if block is not None:
        yield block
