"""Messages that no table has, held while their channel's past is read again. No I/O.

After a discontinuity subscribers wait until the past was read, which has what the stream brings meanwhile as well. Messages
of channels without history are in no past: they are held, and follow when the channel has caught up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.channels.core.delivery.events import MessageEvent

__all__ = ["HeldMessages"]

_MAX_BYTES: Final = 16 << 20
_MAX_MESSAGES: Final = 20_000
_OVERHEAD: Final = 500  # bytes of a message beside its payload


class _Held:
    """Of one channel. ``size``: in bytes; ``lost``: there was no room."""

    __slots__ = ("events", "lost", "size")

    def __init__(self) -> None:
        self.events: list[MessageEvent] = []
        self.size = 0
        self.lost = False

    def let_go(self) -> tuple[int, int]:
        """Keep none of them. Returns how many they were, and their bytes."""
        freed = len(self.events), self.size
        self.events, self.size, self.lost = [], 0, True
        return freed


class HeldMessages:
    """See the module. ``messages`` and ``size``: how many are held at most, and their bytes; beyond that the channel that
    has the most bytes loses what was held for it.
    """

    def __init__(self, messages: int = _MAX_MESSAGES, size: int = _MAX_BYTES) -> None:
        self._channels: dict[str, _Held] = {}
        self._room = [messages, size]

    def __bool__(self) -> bool:
        """Whether a channel waits."""
        return bool(self._channels)

    def begin(self, channels: Iterable[str]) -> None:
        """These wait from here on. What is held for those that waited before stays."""
        for channel in channels:
            self._channels.setdefault(channel, _Held())

    def hold(self, events: Iterable[MessageEvent]) -> None:
        """The stream has brought these."""
        for event in events:
            held = self._channels.get(event.channel)
            if held is not None and not event.row.stored:
                size = len(event.row.payload) + _OVERHEAD
                held.events.append(event)
                held.size += size
                self._free(-1, -size)
                while min(self._room) < 0:
                    self._free(*max(self._channels.values(), key=lambda each: each.size).let_go())

    def take(self, channel: str) -> tuple[list[MessageEvent], bool]:
        """The channel waits no longer. Returns what was held, in order, and whether some of it was lost."""
        held = self._channels.pop(channel, None)
        if held is None:
            return [], False
        self._free(len(held.events), held.size)
        return sorted(held.events, key=lambda event: event.key), held.lost

    def clear(self) -> None:
        """No channel waits."""
        for channel in list(self._channels):
            self.take(channel)

    def _free(self, messages: int, size: int) -> None:
        self._room[0] += messages
        self._room[1] += size
