"""The frames that wait to be written to a connection: higher priority overtakes lower of other channels.

Invariant: the frames of one channel keep their order. So a channel moves forward as a whole, as far as the priority of its
highest message allows. Answers to requests and events of live queries belong to no channel: no frame overtakes them, and
they overtake none.
"""

from __future__ import annotations

from collections.abc import Iterator

from server.wire.frame import Frame

__all__ = ["SendQueue"]


class SendQueue:
    """Frames by channel and priority. ``size`` in bytes."""

    __slots__ = ("_frames", "_lowest", "_unsorted", "size")

    def __init__(self) -> None:
        self.size = 0
        self._frames: list[Frame] | None = None  # as of most connections, which then hold no empty list
        self._lowest = 0  # priority of those that wait
        self._unsorted = False

    def __bool__(self) -> bool:
        return bool(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        """The queued frames, in no order."""
        return iter(self._frames or ())

    def add(self, frame: Frame) -> None:
        """One more frame waits."""
        frames, priority = self._frames, frame.priority
        if frames is None:
            self._frames = [frame]
            self._lowest = priority
        else:
            frames.append(frame)
            if priority > self._lowest:
                self._unsorted = True
            elif priority < self._lowest:
                self._lowest = priority
        self.size += len(frame.data)

    def take(self, most: int, *, at_least: int = 1) -> list[Frame]:
        """The next frames: not more than ``most`` bytes, but ``at_least`` this many frames if there are any."""
        if self._unsorted:
            self._sort()
        frames = self._frames
        if frames is None:
            return []
        if self.size <= most:
            self._frames, self.size = None, 0
            return frames
        count, total = 0, 0
        for frame in frames:
            size = len(frame.data)
            if count >= at_least and total + size > most:
                break
            count += 1
            total += size
        self._frames = frames[count:] or None
        self.size -= total
        return frames[:count]

    def clear(self) -> None:
        """Drop the queued frames."""
        self._frames, self.size = None, 0

    def _sort(self) -> None:
        self._unsorted = False
        ordered: list[Frame] = []
        run: list[Frame] = []
        for frame in self._frames or ():
            if frame.channel is None:
                ordered += [*_by_priority(run), frame]
                run = []
            else:
                run.append(frame)
        self._frames = ordered + _by_priority(run)


def _by_priority(run: list[Frame]) -> list[Frame]:
    highest: dict[str | None, int] = {}
    for frame in run:
        highest[frame.channel] = max(highest.get(frame.channel, frame.priority), frame.priority)
    return sorted(run, key=lambda frame: -highest[frame.channel])
