"""A cache that clients can fill: bounded by weight, and a flood of entries that are read once cannot empty it.

Entries that were read again since they were stored are the *proven* ones (segmented LRU, as in Karedla, Love and Wherry,
"Caching strategies to improve disk system performance", 1994): three quarters of the room are reserved for them. Neither
cachetools nor functools has a cache that is bounded by weight and segmented.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["FairCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class FairCache(Generic[K, V]):
    """Values by key, with a total weight of at most ``room``; weights are estimates in bytes.

    Invariants: ``weight <= room``; proven entries weigh at most three quarters of it; an entry heavier than an eighth of it
    is not stored. Eviction takes fresh entries before proven ones, the least recently read first.
    """

    __slots__ = ("_fresh", "_proven", "_proven_weight", "_room", "weight")

    def __init__(self, room: int) -> None:
        self._room = room
        self._fresh: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._proven: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._proven_weight = 0
        self.weight = 0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._proven)

    def get(self, key: K) -> V | None:
        """The value of ``key``, or None; the read makes the entry a proven one."""
        entry = self._proven.get(key)
        if entry is not None:
            self._proven.move_to_end(key)
            return entry[0]
        entry = self._fresh.pop(key, None)
        if entry is None:
            return None
        self._proven[key] = entry
        self._proven_weight += entry[1]
        while self._proven_weight > self._room * 3 // 4:
            old, (value, weight) = self._proven.popitem(last=False)
            self._proven_weight -= weight
            self._fresh[old] = (value, weight)
        return entry[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Store ``value`` with its ``weight``, unless it is too heavy; evicts other entries to make room."""
        self._drop(key)
        if weight > self._room // 8:
            return
        self._fresh[key] = (value, weight)
        self.weight += weight
        while self.weight > self._room:
            self._drop(next(iter(self._fresh)))

    def clear(self) -> None:
        """Remove all entries."""
        self._fresh.clear()
        self._proven.clear()
        self._proven_weight = self.weight = 0

    def _drop(self, key: K) -> None:
        if (entry := self._fresh.pop(key, None)) is None:
            if (entry := self._proven.pop(key, None)) is None:
                return
            self._proven_weight -= entry[1]
        self.weight -= entry[1]
