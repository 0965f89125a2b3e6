"""Which of many ranges contain a value: the matcher's index for ``<``, ``<=``, ``>``, ``>=`` and cursors.

Ranges sorted by their low end form an implicit balanced tree in which every node knows the greatest high end below it, so a
lookup costs O(log n + hits). Such a tree does not change; additions go through the logarithmic method (Bentley and Saxe,
1980): trees of doubling sizes, merged as they fill, so an addition costs O(log n) amortised and never rebuilds the whole.
Removed ranges stay as tombstones until half of all are.

Ends are tuples made by :func:`low_end` and :func:`high_end`, comparable with :func:`point` and with each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

__all__ = ["IntervalIndex", "high_end", "low_end", "point"]

T = TypeVar("T")
End = tuple[Any, ...]
_LOWEST: End = (0,)
_HIGHEST: End = (2,)


def low_end(value: Any, *, inclusive: bool) -> End:
    """The low end of a range; None: unbounded."""
    return _LOWEST if value is None else (1, value, 0 if inclusive else 1)


def high_end(value: Any, *, inclusive: bool) -> End:
    """The high end of a range; None: unbounded."""
    return _HIGHEST if value is None else (1, value, 0 if inclusive else -1)


def point(value: Any) -> End:
    """A value to look up."""
    return (1, value, 0)


class IntervalIndex(Generic[T]):
    """A multiset of ranges, each with a target. Targets are compared by identity."""

    def __init__(self) -> None:
        self._trees: list[_Tree | None] = []
        self._live: dict[int, tuple[End, End, T]] = {}
        self._removed = 0
        self._next = 0

    def __len__(self) -> int:
        return len(self._live)

    def add(self, low: End, high: End, target: T) -> int:
        """Add a range; returns a handle for :meth:`remove`."""
        handle = self._next
        self._next += 1
        self._live[handle] = (low, high, target)
        carry = [(low, high, handle)]
        for level, tree in enumerate(self._trees):
            if tree is None:
                self._trees[level] = _Tree(carry)
                return handle
            carry = self._merged(tree, carry)
            self._trees[level] = None
        self._trees.append(_Tree(carry))
        return handle

    def remove(self, handle: int) -> None:
        """Remove the range ``handle``. Raises ``KeyError`` if it was removed before."""
        del self._live[handle]
        self._removed += 1
        if self._removed > len(self._live) + 16:
            items = sorted((low, high, handle) for handle, (low, high, _) in self._live.items())
            self._trees = [None] * len(items).bit_length() + [_Tree(items)] if items else []
            self._removed = 0

    def stab(self, value: Any) -> Iterator[T]:
        """The targets of all ranges that contain ``value``."""
        at = point(value)
        live = self._live
        for tree in self._trees:
            if tree is not None:
                for handle in tree.stab(at):
                    entry = live.get(handle)
                    if entry is not None:
                        yield entry[2]

    def everything(self) -> Iterator[T]:
        """All targets."""
        return (target for _, _, target in self._live.values())

    def _merged(self, tree: _Tree, items: list[tuple[End, End, int]]) -> list[tuple[End, End, int]]:
        kept = [item for item in tree.items() if item[2] in self._live]
        return sorted(kept + items)  # two sorted runs: timsort merges them in linear time


class _Tree:
    """An implicit tree over items sorted by low end; node ``i`` of ``[start, stop)`` is the middle one."""

    __slots__ = ("_handles", "_highs", "_lows", "_tops")

    def __init__(self, items: list[tuple[End, End, int]]) -> None:
        self._lows = [item[0] for item in items]
        self._highs = [item[1] for item in items]
        self._handles = [item[2] for item in items]
        self._tops: list[End] = list(self._highs)
        self._fill(0, len(items))

    def items(self) -> list[tuple[End, End, int]]:
        return list(zip(self._lows, self._highs, self._handles, strict=True))

    def _fill(self, start: int, stop: int) -> End:
        if start >= stop:
            return _LOWEST
        middle = (start + stop) // 2
        top = max(self._highs[middle], self._fill(start, middle), self._fill(middle + 1, stop))
        self._tops[middle] = top
        return top

    def stab(self, at: End) -> Iterator[int]:
        pending = [(0, len(self._lows))]
        while pending:
            start, stop = pending.pop()
            if start >= stop:
                continue
            middle = (start + stop) // 2
            if self._tops[middle] < at:
                continue
            pending.append((start, middle))
            if self._lows[middle] <= at:
                if self._highs[middle] >= at:
                    yield self._handles[middle]
                pending.append((middle + 1, stop))
