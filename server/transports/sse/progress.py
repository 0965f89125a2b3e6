"""The position up to which each channel has been written into one event stream, and the ids that follow from it.

Invariants: for no channel is an id ahead of the messages written into the stream before it, and for no channel is an id
behind an earlier one. So a client that resumes with its last id misses no message and gets none up to that id again.

A plain id holds one position for every channel. A message has one if no message with a smaller position, of any channel, is
written after it. While channels are being opened or get their history there is no such position, and the id behind the
blocks holds one position per channel: the messages of one channel are never reordered. No I/O.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from engine.channels.core.messages.model import just_before, parse_position, position_text
from server.transports.sse.event_ids import StreamPosition, write_id
from server.wire.frame import Frame, Opened

__all__ = ["Key", "Progress", "WriteState"]

Key = tuple[int, int]


class WriteState(NamedTuple):
    """The messages queued for the stream, written or not: all up to ``position`` of the channels that are ``synced``.

    ``refused``: per channel, the first message for which there was no room; no later one was queued.
    """

    position: Key
    synced: Collection[str]
    refused: tuple[str, Key] | None = None


class Progress:
    """The places of one stream. ``epoch``: the epoch of its positions.

    A channel is at its own place if it has one, else at the last common place, else at the place that the client gave.
    """

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._positions: dict[str, StreamPosition | None] = {}
        self._since: dict[str, Key] = {}  # the same, to be compared with
        self._all: Key | None = None
        self._own: dict[str, Key] = {}
        self._opened: dict[str, Key] = {}  # and not looked at since, nor was everything at one place

    def resume(self, places: Mapping[str, StreamPosition | None]) -> None:
        """Set the channels of the client and its place in each; None: it has no position there yet."""
        for channel, place in places.items():
            self._positions[channel] = place
            if place is not None:
                with contextlib.suppress(ValueError):  # then the channel is not opened, and the client gets an error
                    self._since[channel] = parse_position(place.position)

    @property
    def even(self) -> bool:
        """Whether all channels are at one place."""
        return not self._own and not self._opened

    @property
    def resuming(self) -> bool:
        """Whether the client has an id, which holds a place for every channel."""
        return self._all is not None or all(self._positions.values())

    def number(
        self, blocks: Sequence[Frame], waiting: Iterable[Frame], caught_up: bool, closed: WriteState | None = None
    ) -> list[Key | None]:
        """The plain ids of ``blocks``, which are written now, before ``waiting``.

        ``caught_up``: all channels are open and have their history; else there are no plain ids. ``closed``: the messages
        queued when the stream ended, possibly in the middle of a transaction whose rest is missing.
        """
        keys: list[Key | None] = [None] * len(blocks)
        least, last = _end(closed), None
        for block in waiting:
            if block.opened is not None:
                caught_up = False  # the client does not have the answer yet whether messages are missing there
            elif block.key is not None and (least is None or block.key < least):
                least = block.key
        most = self._furthest()
        for place in range(len(blocks) - 1, -1, -1):
            key, opened = blocks[place].key, blocks[place].opened
            if opened is not None:
                self._open(opened)
                caught_up = False
            elif caught_up and key is not None and (least is None or key < least):
                least = key
                if most is None or key >= most:
                    keys[place] = key
                    last = last or key
        if last is not None:
            self._reach(last)
        return keys

    def reach(self, position: str) -> str:
        """Every channel has been written up to ``position``. Returns the id for that."""
        self._reach(parse_position(position))
        return str(StreamPosition(position, self._epoch))

    def advance(self, blocks: Iterable[Frame], waiting: Iterable[Frame], state: WriteState) -> None:
        """Look at each channel by itself: the ``blocks`` have been put in, while ``waiting`` are put in later."""
        reached_by = {channel: position for channel, position in self._opened.items() if self._place(channel) is None}
        reached_by |= {block.channel or "": block.key for block in blocks if block.key is not None}
        unopened, first = _next(waiting, state)
        for channel in self._positions:
            if channel in unopened:
                continue
            reached = reached_by.get(channel)
            if channel in first:
                reached = just_before(first[channel])
            elif channel in state.synced:
                reached = max(reached or state.position, state.position)
            if reached is not None:
                before = None if channel in self._opened else self._own.get(channel, self._all)
                self._own[channel] = max(reached, before or self._since.get(channel, reached))
        self._opened.clear()

    @property
    def id(self) -> str | None:
        """The id with the place of each channel. None: no channel has one, or the id would be too long."""
        return write_id({channel: self._place(channel) for channel in self._positions})

    def _open(self, opened: Opened) -> None:
        self._positions.setdefault(opened.channel)
        self._opened[opened.channel] = parse_position(opened.position)
        if opened.recovered is False:  # the client has the answer that messages are missing
            self._positions[opened.channel] = None
            self._since.pop(opened.channel, None)

    def _furthest(self) -> Key | None:
        """The furthest place of a channel; None: all channels are at one place, and none is before that."""
        if self._all is None:
            return max((self._since | self._own).values(), default=None)
        return max(self._own.values()) if self._own else None

    def _reach(self, position: Key) -> None:
        self._all = position
        self._own.clear()
        self._opened.clear()

    def _place(self, channel: str) -> StreamPosition | None:
        position = self._own.get(channel, self._all)
        return self._positions[channel] if position is None else StreamPosition(position_text(position), self._epoch)


def _next(waiting: Iterable[Frame], state: WriteState) -> tuple[set[str], dict[str, Key]]:
    """The channels whose opening waits to be written, and the next message of each."""
    unopened: set[str] = set()
    first: dict[str, Key] = {}
    if state.refused is not None:
        channel, key = state.refused
        first[channel] = key
    for block in waiting:
        if block.opened is not None:
            unopened.add(block.opened.channel)
        elif block.key is not None:
            channel = block.channel or ""
            first[channel] = min(first.get(channel, block.key), block.key)
    return unopened, first


def _end(closed: WriteState | None) -> Key | None:
    """No message from here on may have a plain id."""
    if closed is None:
        return None
    ends = [] if closed.refused is None else [closed.refused[1]]
    if len(closed.synced) > 1:  # a single channel is put in completely up to where it ends
        ends.append((closed.position[0] + 1, 0))
    return min(ends, default=None)
