"""A window's list as it was before a transaction, without a copy of it.

A transaction touches few rows of a large list. So the list before it is the window's current store with the touched rows
replaced by their old versions. It is built on first access, or at the latest before the store changes again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, overload

__all__ = ["PreviousRows"]

Row = TypeVar("Row")
Key = tuple[Any, ...]


class PreviousRows(Sequence[Row]):
    """The rows that were shown, in order. ``keys`` and ``rows`` are the window's own lists, which continue to change.

    The window calls :meth:`fix` before it changes them for another reason than ``touched``.

    Args:
        keys, rows: the store, both sorted by key.
        limit: rows that are shown at most.
        touched: the key and row of each row that the transaction touches, as they were; None: it was not in the store.
        now: the keys of the rows in the store, by identity.
    """

    __slots__ = ("__weakref__", "_fixed", "_keys", "_now", "_rows", "_touched", "last", "size")

    def __init__(
        self,
        keys: list[Key],
        rows: list[Row],
        limit: int | None,
        touched: Mapping[Any, tuple[Key | None, Row | None]],
        now: Mapping[Any, Key],
    ) -> None:
        self.size = len(keys) if limit is None or len(keys) < limit else limit
        """How many rows were shown."""
        self.last = keys[self.size - 1] if self.size else None
        """The key of the last of them."""
        self._keys, self._rows, self._touched, self._now = keys, rows, touched, now
        self._fixed: list[Row] | None = None

    def fix(self) -> list[Row]:
        """Make the list, which nothing changes from then on."""
        if self._fixed is None:
            self._fixed = self._made()
            self._keys, self._rows, self._touched, self._now = [], [], {}, {}
        return self._fixed

    def _made(self) -> list[Row]:
        if not self._touched:
            return self._rows[: self.size]
        last = self.last
        if last is None:
            return []
        keys, rows = self._keys, self._rows
        end = bisect_right(keys, last)
        new = [key for identity in self._touched if (key := self._now.get(identity)) is not None]
        old = [(key, row) for key, row in self._touched.values() if key is not None and row is not None and key <= last]
        old.sort(key=_key)
        # Differences to the store: an old row is inserted before a place, the new row at a place is skipped.
        steps: list[tuple[int, int, Row | None]] = [
            (bisect_left(keys, key), rank, row) for rank, (key, row) in enumerate(old)
        ]
        steps += [(place, len(old), None) for place in map(partial(bisect_left, keys), new) if place < end]
        made: list[Row] = []
        done = 0
        for place, _, row in sorted(steps, key=_place):
            made += rows[done:place]
            done = place
            if row is None:
                done += 1
            else:
                made.append(row)
        return made + rows[done:end]

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Row]:
        return iter(self.fix())

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self.fix()[index]


def _key(pair: tuple[Key, object]) -> Key:
    return pair[0]


def _place(step: tuple[int, int, object]) -> tuple[int, int]:
    return step[:2]
