"""The events of subscribers, and the document changes in them.

Applied in order to the list before, the changes give the list after, exactly: remove at ``old_index``, then insert at
``new_index`` (-1: absent). These are the semantics of Firestore's ``docChanges()``. At most one change per document.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterator, Sequence
from typing import Final, TypeVar

import msgspec
import orjson

from engine.errors import QueryRejectedError
from engine.lsn import Lsn

__all__ = [
    "ADDED",
    "BATCH",
    "MODIFIED",
    "REMOVED",
    "DocChange",
    "WindowEvent",
    "apply_changes",
    "changes_in_batches",
    "changes_json",
    "list_changes",
    "list_order",
]


ADDED: Final = "added"
MODIFIED: Final = "modified"
REMOVED: Final = "removed"

_Result = TypeVar("_Result")

BATCH: Final = 500
"""Documents of a list between two turns of others: about half a millisecond."""

_HEADS = {kind: b'{"type":"%b","oldIndex":' % kind.encode() for kind in (ADDED, MODIFIED, REMOVED)}


class DocChange(msgspec.Struct, frozen=True, gc=False):
    """One change of a list: ``added``, ``modified`` or ``removed``.

    ``doc`` is the document's data as a JSON object; for a removed one, as it was last.
    """

    type: str
    old_index: int
    new_index: int
    id: str
    doc: bytes

    def json(self) -> bytes:
        """The change as the protocol writes it."""
        return b'%b%d,"newIndex":%d,"doc":{"id":%b,"data":%b}}' % (
            _HEADS[self.type],
            self.old_index,
            self.new_index,
            orjson.dumps(self.id),
            self.doc,
        )


class WindowEvent:
    """One change of a live query's list; all subscribers get the same object.

    ``reset``: the changes start from the empty list. ``error``: the query has ended, nothing follows. ``committed_at``: when
    the change was committed, in microseconds since 1970 by the clock of the database; None if the event is no commit's: a
    list that was read, or changes that are delivered again. ``meta``: the annotation (a JSON object) of the one transaction
    that made all of these changes; None if it has none, or they may be of several. ``size``: bytes of the documents.
    ``json``: the changes as a JSON array, if they are encoded already.
    """

    __slots__ = ("_json", "changes", "committed_at", "error", "meta", "position", "reset", "size")

    def __init__(
        self,
        position: Lsn,
        reset: bool,
        changes: Sequence[DocChange],
        error: QueryRejectedError | None = None,
        committed_at: int | None = None,
        meta: bytes | None = None,
        json: bytes | None = None,
    ) -> None:
        self.position = position
        self.reset = reset
        self.changes = changes
        self.error = error
        self.committed_at = committed_at
        self.meta = meta
        size = 0
        for change in changes:
            size += len(change.doc)
        self.size = size
        self._json = json

    @property
    def changes_json(self) -> bytes:
        """The changes as a JSON array, encoded once however many subscribers there are."""
        if self._json is None:
            self._json = _at_once(changes_json(self.changes))
        return self._json

    def again(self) -> WindowEvent:
        """The same event without ``committed_at``, for a subscriber that resumes: its age is not a delivery time."""
        return WindowEvent(self.position, self.reset, self.changes, self.error, meta=self.meta, json=self._json)

    def at(self, position: Lsn) -> WindowEvent:
        """The same list at another position."""
        return WindowEvent(position, self.reset, self.changes, self.error, json=self._json)


def apply_changes(before: list[tuple[str, bytes]], changes: Sequence[DocChange]) -> None:
    """Apply ``changes`` to a list of ``(id, doc)`` in place, as a client does.

    Raises ``AssertionError`` if a change does not fit the list: then the changes are not for this list.
    """
    for change in changes:
        if change.old_index >= 0:
            identifier, _ = before.pop(change.old_index)
            assert identifier == change.id, f"{change} found {identifier!r}"
        if change.new_index >= 0:
            assert change.new_index <= len(before), f"{change} does not fit a list of {len(before)}"
            before.insert(change.new_index, (change.id, change.doc))


def list_changes(before: Sequence[tuple[str, bytes]], after: Sequence[tuple[str, bytes]]) -> list[DocChange]:
    """The changes that turn ``before`` into ``after``; ids must be unique in each.

    Documents on the longest run that keeps its order stay where they are (they are reported only if their data
    changed); the others move. O(n log n), however much is out of place.
    """
    return _at_once(changes_in_batches(before, after))


def changes_in_batches(
    before: Sequence[tuple[str, bytes]], after: Sequence[tuple[str, bytes]]
) -> Generator[None, None, list[DocChange]]:
    """As :func:`list_changes`. Yields after about ``BATCH`` documents each, so that others can have their turn."""
    first, last = yield from _same_ends(before, after)
    before, after = before[first : len(before) - last], after[first : len(after) - last]
    changes: list[DocChange] = []
    target = yield from _ranks(after)
    old_docs: dict[str, bytes] = {}
    ranks: list[int] = []  # of the documents that are kept, in the order of the list before
    for number, index in enumerate(range(len(before) - 1, -1, -1), 1):
        identifier, doc = before[index]
        old_docs[identifier] = doc
        rank = target.get(identifier, -1)
        if rank < 0:
            changes.append(DocChange(REMOVED, first + index, -1, identifier, doc))
        else:
            ranks.append(rank)
        if number % BATCH == 0:
            yield
    ranks.reverse()
    order = yield from list_order(ranks, len(after))
    for rank, (identifier, doc) in enumerate(after):
        old_doc = old_docs.get(identifier)
        if rank in order.staying:
            index = first + order.keep(rank)
            if old_doc != doc:
                changes.append(DocChange(MODIFIED, index, index, identifier, doc))
        elif old_doc is None:
            changes.append(DocChange(ADDED, -1, first + order.put(rank), identifier, doc))
        else:
            old_index = first + order.take(rank)
            changes.append(DocChange(MODIFIED, old_index, first + order.put(rank), identifier, doc))
        if rank % BATCH == BATCH - 1:
            yield
    return changes


def _ranks(documents: Sequence[tuple[str, bytes]]) -> Generator[None, None, dict[str, int]]:
    ranks: dict[str, int] = {}
    for rank, (identifier, _) in enumerate(documents):
        ranks[identifier] = rank
        if rank % BATCH == BATCH - 1:
            yield
    return ranks


def _same_ends(
    before: Sequence[tuple[str, bytes]], after: Sequence[tuple[str, bytes]]
) -> Generator[None, None, tuple[int, int]]:
    """How many documents both lists begin with, and how many both end with, which none of the first are: they all stay.
    Most lists that are read again have hardly changed.
    """
    shorter = min(len(before), len(after))
    first = last = 0
    while first < shorter and before[first] == after[first]:
        first += 1
        if first % BATCH == 0:
            yield
    while first + last < shorter and before[-1 - last] == after[-1 - last]:
        last += 1
        if last % BATCH == 0:
            yield
    return first, last


def list_order(ranks: list[int], size: int) -> Generator[None, None, ListOrder]:
    """The order of a list of ``size``, in which the client has the documents of ``ranks``; yields now and then."""
    staying = yield from _longest_increasing(ranks)
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


def _longest_increasing(ranks: list[int]) -> Generator[None, None, set[int]]:
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


def changes_json(changes: Sequence[DocChange]) -> Generator[None, None, bytes]:
    """``changes`` as a JSON array; yields as :func:`changes_in_batches`."""
    parts: list[bytes] = []
    for number, change in enumerate(changes, 1):
        parts.append(change.json())
        if number % BATCH == 0:
            yield
    return b"[" + b",".join(parts) + b"]"


def _at_once(steps: Generator[None, None, _Result]) -> _Result:
    """What ``steps`` returns, without pauses."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: _Result = done.value
            return result
