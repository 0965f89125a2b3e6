"""What waits for a connection that does not take it fast enough: higher priority overtakes lower of other channels.

Invariant: what is about one channel keeps its order. So a channel moves forward as a whole, as far as its highest message
lets it. A client's own answers and the events of live queries are about anything: nothing overtakes them, in either
direction.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["SendQueue"]

T = TypeVar("T")
_Item = tuple[str | None, int, T, int]  # channel, priority, frame, size


class SendQueue(Generic[T]):
    """Frames in a transport's own form, by channel (None: not to be overtaken) and priority. ``size`` in bytes."""

    __slots__ = ("_frames", "_lowest", "_unsorted", "size")

    def __init__(self) -> None:
        self.size = 0
        self._frames: deque[_Item[T]] = deque()
        self._lowest = 0  # of those that wait
        self._unsorted = False

    def __bool__(self) -> bool:
        return bool(self._frames)

    def __iter__(self) -> Iterator[T]:
        """What waits; in no order."""
        return (frame for _, _, frame, _ in self._frames)

    def add(self, channel: str | None, priority: int, frame: T, size: int) -> None:
        """One more frame waits."""
        if not self._frames:
            self._lowest = priority
        self._unsorted = self._unsorted or priority > self._lowest
        self._lowest = min(self._lowest, priority)
        self._frames.append((channel, priority, frame, size))
        self.size += size

    def take(self, most: int, *, at_least: int = 1) -> list[T]:
        """The next frames, not more than ``most`` bytes, but so many frames anyway if there are any."""
        if self._unsorted:
            self._sort()
        taken: list[T] = []
        total = 0
        while self._frames and (len(taken) < at_least or total + self._frames[0][3] <= most):
            _, _, frame, size = self._frames.popleft()
            taken.append(frame)
            total += size
        self.size -= total
        return taken

    def clear(self) -> None:
        """Nobody will take it."""
        self._frames.clear()
        self.size = 0

    def _sort(self) -> None:
        self._unsorted = False
        frames, self._frames = self._frames, deque()
        run: list[_Item[T]] = []
        for item in frames:
            if item[0] is None:
                self._frames.extend(_by_priority(run))
                self._frames.append(item)
                run = []
            else:
                run.append(item)
        self._frames.extend(_by_priority(run))


def _by_priority(run: list[_Item[T]]) -> list[_Item[T]]:
    highest: dict[str | None, int] = {}
    for channel, priority, _, _ in run:
        highest[channel] = max(highest.get(channel, priority), priority)
    return sorted(run, key=lambda item: -highest[item[0]])
