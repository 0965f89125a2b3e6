"""Indexes of documents in a client's list while the changes of a transaction are applied to it.

The client's list is not stored: an index is computed from the list after the transaction, minus the documents that are not
inserted yet, plus those that are not removed yet. So the cost of a step depends on the number of changes, not on the list.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

__all__ = ["Places"]

Key = tuple[Any, ...]


class Places:
    """Removed documents are taken out first, from the end; then new, changed and moved ones are put in, from the start.

    Args:
        keys: of the store after the transaction, sorted; ``shown``: how many of them the list has.
        leaving: the keys of what leaves, sorted.
        moving: the old keys of what changes or moves.
        coming: the new keys of what comes, changes or moves, sorted.
    """

    __slots__ = ("_coming", "_keys", "_leaving", "_placed", "_shown", "_waiting")

    def __init__(self, keys: list[Key], shown: int, leaving: list[Key], moving: list[Key], coming: list[Key]) -> None:
        self._keys = keys
        self._shown = shown
        self._leaving = leaving
        self._waiting = sorted(moving)
        self._coming = coming
        self._placed = 0

    def leave(self, key: Key) -> int:
        """Take the last of what leaves out of the list; its index."""
        self._leaving.pop()
        return self._standing(key) + len(self._leaving) + bisect_left(self._waiting, key)

    def take(self, key: Key) -> int:
        """Take what moves out of the list, to be put at once; the index at which it stood."""
        place = bisect_left(self._waiting, key)
        del self._waiting[place]
        return self._standing(key) + place + min(bisect_left(self._coming, key), self._placed)

    def put(self, key: Key) -> int:
        """Put the next of what comes into the list; its index."""
        self._placed += 1
        return bisect_left(self._keys, key) + bisect_left(self._waiting, key)

    def _standing(self, key: Key) -> int:
        """How many documents before ``key`` the transaction leaves where they are."""
        return min(bisect_left(self._keys, key), self._shown) - bisect_left(self._coming, key)
