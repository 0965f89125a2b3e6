"""What subscribers are told: document changes and the events that carry them.

Applied in order to the list before, the changes give the list after, exactly: remove at ``old_index``, then insert at
``new_index`` (-1: absent). These are the semantics of Firestore's ``docChanges()``. At most one change per document.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec
import orjson

from engine.errors import QueryRejected
from engine.lsn import Lsn

__all__ = ["ADDED", "MODIFIED", "REMOVED", "DocChange", "WindowEvent", "apply_changes", "list_changes"]


ADDED: Final = "added"
MODIFIED: Final = "modified"
REMOVED: Final = "removed"

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
    """What one step of a live query means to its subscribers; the same object goes to all of them.

    ``reset``: the changes start from the empty list. ``error``: the query has ended, nothing follows.
    """

    __slots__ = ("_json", "changes", "error", "position", "reset")

    def __init__(
        self, position: Lsn, reset: bool, changes: Sequence[DocChange], error: QueryRejected | None = None
    ) -> None:
        self.position = position
        self.reset = reset
        self.changes = changes
        self.error = error
        self._json: bytes | None = None

    @property
    def changes_json(self) -> bytes:
        """The changes as a JSON array, encoded once however many subscribers there are."""
        if self._json is None:
            self._json = b"[" + b",".join([change.json() for change in self.changes]) + b"]"
        return self._json


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
    changed); the others move. O(n log n) to find them, and a memmove per change.
    """
    changes: list[DocChange] = []
    target = {identifier: rank for rank, (identifier, _) in enumerate(after)}
    work = [target.get(identifier, -1) for identifier, _ in before]
    for index in range(len(work) - 1, -1, -1):
        if work[index] < 0:
            identifier, doc = before[index]
            changes.append(DocChange(REMOVED, index, -1, identifier, doc))
    # `ranks` is the client's list in terms of final ranks. Ranks are settled in ascending order, so whatever comes before
    # `rank` in the end stands before it already, in order; only documents that have yet to move are strewn in between.
    ranks = [rank for rank in work if rank >= 0]
    staying = _longest_increasing(ranks)
    yet_to_move = len(ranks) - len(staying)
    old_docs = dict(before)
    for rank, (identifier, doc) in enumerate(after):
        old_doc = old_docs.get(identifier)
        if rank in staying:
            if old_doc != doc:
                index = ranks.index(rank) if yet_to_move else rank
                changes.append(DocChange(MODIFIED, index, index, identifier, doc))
            continue
        old_index = -1
        if old_doc is not None:
            old_index = ranks.index(rank)
            del ranks[old_index]
            yet_to_move -= 1
        new_index = (ranks.index(rank - 1) + 1 if rank else 0) if yet_to_move else rank
        ranks.insert(new_index, rank)
        kind = ADDED if old_doc is None else MODIFIED
        changes.append(DocChange(kind, old_index, new_index, identifier, doc))
    return changes


def _longest_increasing(ranks: list[int]) -> set[int]:
    """The values of one longest increasing subsequence (patience sorting)."""
    tops: list[int] = []
    behind: dict[int, int] = {}
    for rank in ranks:
        pile = bisect_left(tops, rank)
        if pile:
            behind[rank] = tops[pile - 1]
        if pile == len(tops):
            tops.append(rank)
        else:
            tops[pile] = rank
    chain: set[int] = set()
    current = tops[-1] if tops else None
    while current is not None:
        chain.add(current)
        current = behind.get(current)
    return chain
