"""The frames that wait to be written to a connection: higher priority overtakes lower of other channels.

Invariant: the frames of one channel keep their order. So a channel moves forward as a whole, as far as the priority of its
highest message allows. Answers to requests and events of live queries belong to no channel: no frame overtakes them, and
they overtake none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from server.wire.frame import Frame

__all__ = ["SendQueue"]


class SendQueue:
    """Frames by channel and priority. ``size`` in bytes."""

    __slots__ = ("_frames", "_lowest", "_unsorted", "size")

    def __init__(self) -> None:
        self.size = 0
        self._frames: deque[Frame] = deque()
        self._lowest = 0  # priority of those that wait
        self._unsorted = False

    def __bool__(self) -> bool:
        return bool(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        """The queued frames, in no order."""
        return iter(self._frames)

    def add(self, frame: Frame) -> None:
        """One more frame waits."""
        priority = frame.priority
        if priority != self._lowest:
            if not self._frames:
                self._lowest = priority
            elif priority > self._lowest:
                self._unsorted = True
            else:
                self._lowest = priority
        self._frames.append(frame)
        self.size += len(frame.data)

    def take(self, most: int, *, at_least: int = 1) -> list[Frame]:
        """The next frames: not more than ``most`` bytes, but ``at_least`` this many frames if there are any."""
        if self._unsorted:
            self._sort()
        if self.size <= most:
            taken, self._frames, self.size = list(self._frames), deque(), 0
            return taken
        taken, total = [], 0
        while self._frames and (len(taken) < at_least or total + len(self._frames[0].data) <= most):
            frame = self._frames.popleft()
            taken.append(frame)
            total += len(frame.data)
        self.size -= total
        return taken

    def clear(self) -> None:
        """Drop the queued frames."""
        self._frames.clear()
        self.size = 0

    def _sort(self) -> None:
        self._unsorted = False
        frames, self._frames = self._frames, deque()
        run: list[Frame] = []
        for frame in frames:
            if frame.channel is None:
                self._frames.extend(_by_priority(run))
                self._frames.append(frame)
                run = []
            else:
                run.append(frame)
        self._frames.extend(_by_priority(run))


def _by_priority(run: list[Frame]) -> list[Frame]:
    highest: dict[str | None, int] = {}
    for frame in run:
        highest[frame.channel] = max(highest.get(frame.channel, frame.priority), frame.priority)
    return sorted(run, key=lambda frame: -highest[frame.channel])
