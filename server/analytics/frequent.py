"""Which channels have the most messages, in bounded memory, whatever the number of channels.

The algorithm is that of Misra and Gries with the reduction by the median (Anderson et al., "A High-Performance Algorithm
for Identifying Frequent Items in Data Streams", 2017). Up to ``capacity`` channels every count is exact. Above, a count can
be too low, by at most ``2 / capacity`` of all messages, and is never too high.
"""

from __future__ import annotations

import heapq

__all__ = ["FrequentChannels"]


class FrequentChannels:
    """Counts messages of channels; keeps ``capacity`` counters at most."""

    __slots__ = ("_capacity", "_counts", "seen", "total")

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._counts: dict[str, int] = {}
        self.total = 0
        """All messages, exactly."""
        self.seen = 0
        """The most channels that had a counter at once."""

    def add(self, channel: str, count: int = 1) -> None:
        """So many messages of a channel."""
        self.total += count
        counts = self._counts
        counts[channel] = counts.get(channel, 0) + count
        if len(counts) > self._capacity:
            self._reduce()

    def _reduce(self) -> None:
        self.seen = self._capacity
        median = sorted(self._counts.values())[len(self._counts) // 2]
        self._counts = {channel: count - median for channel, count in self._counts.items() if count > median}

    @property
    def channels(self) -> int:
        """How many channels there were; of more than ``capacity``, that."""
        return max(self.seen, len(self._counts))

    def of(self, channel: str) -> int:
        """The messages of a channel."""
        return self._counts.get(channel, 0)

    def shrink(self, most: int) -> None:
        """Keep the counters of the ``most`` busiest channels."""
        if len(self._counts) > most:
            self.seen = self.channels
            self._counts = self.top(most)

    def top(self, most: int) -> dict[str, int]:
        """The channels with the most messages, and their counts."""
        return dict(heapq.nlargest(most, self._counts.items(), key=lambda each: (each[1], each[0])))
