"""What waits for a connection that does not take it fast enough: higher priority overtakes lower of other channels.

Invariant: what is about one channel keeps its order. So a channel moves forward as a whole, as far as its highest message
lets it. A client's own answers and the events of live queries are about anything: nothing overtakes them, in either
direction.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Outbox"]


class Outbox:
    """Frames by channel (None: not to be overtaken) and priority. ``size`` in bytes."""

    __slots__ = ("_frames", "_lowest", "_unsorted", "size")

    def __init__(self) -> None:
        self.size = 0
        self._frames: deque[tuple[str | None, int, bytes]] = deque()
        self._lowest = 0  # of those that wait
        self._unsorted = False

    def __bool__(self) -> bool:
        return bool(self._frames)

    def add(self, channel: str | None, priority: int, frame: bytes) -> None:
        """One more frame waits."""
        if not self._frames:
            self._lowest = priority
        self._unsorted = self._unsorted or priority > self._lowest
        self._lowest = min(self._lowest, priority)
        self._frames.append((channel, priority, frame))
        self.size += len(frame)

    def take(self, most: int) -> list[bytes]:
        """The next frames, at least one if there are any, not many more bytes than ``most``."""
        if self._unsorted:
            self._sort()
        taken: list[bytes] = []
        size = 0
        while self._frames and size < most:
            frame = self._frames.popleft()[2]
            taken.append(frame)
            size += len(frame)
        self.size -= size
        return taken

    def clear(self) -> None:
        """Nobody will take it."""
        self._frames.clear()
        self.size = 0

    def _sort(self) -> None:
        self._unsorted = False
        frames, self._frames = self._frames, deque()
        run: list[tuple[str | None, int, bytes]] = []
        for item in frames:
            if item[0] is None:
                self._frames.extend(_by_priority(run))
                self._frames.append(item)
                run = []
            else:
                run.append(item)
        self._frames.extend(_by_priority(run))


def _by_priority(run: list[tuple[str | None, int, bytes]]) -> list[tuple[str | None, int, bytes]]:
    highest: dict[str | None, int] = {}
    for channel, priority, _ in run:
        highest[channel] = max(highest.get(channel, priority), priority)
    return sorted(run, key=lambda item: -highest[item[0]])
