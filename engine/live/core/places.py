"""Indexes of documents in a client's list while the changes of a transaction are applied to it.

The client's list is not stored: an index is computed from the list after the transaction, minus the documents that are not
inserted yet, plus those that are not removed yet (:class:`Places`; :class:`ListOrder` where two lists are compared). So the
cost of a step depends on the number of changes, not on the list.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterator
from typing import Any, Final

__all__ = ["BATCH", "Places", "list_order", "longest_increasing"]

BATCH: Final = 500
"""Documents of a list between two turns of others: about half a millisecond."""

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


def list_order(ranks: list[int], size: int) -> Generator[None, None, ListOrder]:
    """The order of a list of ``size``, in which the client has the documents of ``ranks``; yields now and then."""
    staying = yield from longest_increasing(ranks)
    order = ListOrder(len(ranks), size, staying)
    yield from order.prepare(ranks)
    return order


class ListOrder:
    """Where documents stand in the client's list while it is put in order, without a list that is searched.

    Ranks are placed in ascending order, each directly behind the one before it. So before a placed document stand all
    placed ones of lower rank, and those still to be moved that stood before its *anchor*: the last document up to it that
    stays in its place. Only the latter change, and are counted in a Fenwick tree. ``steps`` counts its work.
    """

    __slots__ = ("_anchor", "_moved", "_places", "_size", "_stays", "_tree", "_waiting", "staying", "steps")

    def __init__(self, kept: int, size: int, staying: set[int]) -> None:
        self.staying = staying
        self.steps = 0
        self._size = size
        self._waiting = kept - len(staying)
        self._anchor = 0  # place of the last placed document that stays, counted from 1; 0: there is none
        self._places: dict[int, int] = {}
        # How many ranks below each are moved or added, once all below it are placed; of places, how many before stay.
        self._moved, self._stays, self._tree = [0], [(0, size)], [0]

    def prepare(self, ranks: list[int]) -> Iterator[None]:
        """To be called once; nothing is to be done where nothing moves."""
        if not self._waiting:
            return
        self._places = {rank: place for place, rank in enumerate(ranks, 1)}
        yield
        for rank in range(self._size):
            self._moved.append(self._moved[-1] + (rank not in self.staying))
        yield
        following = self._size
        before: list[int] = []
        for rank in reversed(ranks):  # the first that stays behind each place
            before.append(following)
            following = rank if rank in self.staying else following
        before.reverse()
        yield
        staying = 0
        for rank, behind in zip(ranks, before, strict=True):
            self._stays.append((staying, behind))
            staying += rank in self.staying
        yield
        self._tree += [rank not in self.staying for rank in ranks]
        for place in range(1, len(self._tree)):
            above = place + (place & -place)
            if above < len(self._tree):
                self._tree[above] += self._tree[place]
        yield

    def keep(self, rank: int) -> int:
        """Place a document that stays; its index now."""
        if not self._waiting:
            return rank
        self._anchor = self._places[rank]
        return rank + self._waiting_up_to(self._anchor)

    def take(self, rank: int) -> int:
        """Take a document out to be moved; the index at which it stood."""
        place = self._places[rank]
        stays, behind = self._stays[place]
        index = self._waiting_up_to(place - 1) + stays + self._moved[min(rank, behind)]
        self._waiting -= 1
        while place < len(self._tree):
            self._tree[place] -= 1
            place += place & -place
            self.steps += 1
        return index

    def put(self, rank: int) -> int:
        """Place a document that is added or was taken out; the index at which it goes in."""
        return rank + self._waiting_up_to(self._anchor) if self._waiting else rank

    def _waiting_up_to(self, place: int) -> int:
        count = 0
        while place:
            count += self._tree[place]
            place &= place - 1
            self.steps += 1
        return count


def longest_increasing(ranks: list[int]) -> Generator[None, None, set[int]]:
    """The values of one longest increasing subsequence (patience sorting)."""
    tops: list[int] = []
    behind: dict[int, int] = {}
    for number, rank in enumerate(ranks, 1):
        pile = bisect_left(tops, rank)
        if pile:
            behind[rank] = tops[pile - 1]
        if pile == len(tops):
            tops.append(rank)
        else:
            tops[pile] = rank
        if number % BATCH == 0:
            yield
    chain: set[int] = set()
    current = tops[-1] if tops else None
    while current is not None:
        chain.add(current)
        current = behind.get(current)
    return chain
