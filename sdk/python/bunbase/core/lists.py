"""Lists of documents: applying changes, and finding the changes between two lists.

The invariant of both: changes applied in order to the list before give the list after, exactly.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bunbase.protocol.model import Change, Doc

__all__ = ["apply", "difference", "read_changes"]


def read_changes(raw: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Changes from the protocol's form."""
    return tuple(
        Change(each["type"], Doc(each["doc"]["id"], each["doc"]["data"]), each["oldIndex"], each["newIndex"])
        for each in raw
    )


def apply(docs: list[Doc], changes: Iterable[Change]) -> None:
    """Change ``docs`` in place."""
    for change in changes:
        if change.old_index >= 0:
            del docs[change.old_index]
        if change.new_index >= 0:
            docs.insert(change.new_index, change.doc)


def difference(old: Sequence[Doc], new: Sequence[Doc]) -> tuple[Change, ...]:
    """The changes that lead from ``old`` to ``new``: one per document at most, and no more moves than needed."""
    wanted = {doc.id for doc in new}
    changes = [  # from the back, so that indexes stay true
        Change("removed", doc, index, -1) for index, doc in reversed(list(enumerate(old))) if doc.id not in wanted
    ]
    before = {doc.id: doc for doc in old}
    ids = [doc.id for doc in old if doc.id in wanted]
    staying = _staying(ids, new)
    for index, doc in enumerate(new):
        if doc.id in staying:
            continue
        place = ids.index(doc.id) if doc.id in before else -1
        if place >= 0:
            del ids[place]
        target = ids.index(new[index - 1].id) + 1 if index else 0
        ids.insert(target, doc.id)
        changes.append(Change("modified" if place >= 0 else "added", doc, place, target))
    changes += (
        Change("modified", doc, index, index)
        for index, doc in enumerate(new)
        if doc.id in staying and doc.data != before[doc.id].data
    )
    return tuple(changes)


def _staying(ids: Sequence[str], new: Sequence[Doc]) -> set[str]:
    """A largest set of ids that stand in the same order in both: a longest increasing subsequence."""
    place = {id: index for index, id in enumerate(ids)}
    ends: list[int] = []  # the smallest end of an increasing subsequence of each length
    chain: list[tuple[str, int]] = []  # (id, index in chain of the one before, or -1)
    tops: list[int] = []
    for doc in new:
        if (at := place.get(doc.id)) is None:
            continue
        length = bisect_left(ends, at)
        chain.append((doc.id, tops[length - 1] if length else -1))
        if length == len(ends):
            ends.append(at)
            tops.append(len(chain) - 1)
        else:
            ends[length] = at
            tops[length] = len(chain) - 1
    staying: set[str] = set()
    link = tops[-1] if tops else -1
    while link >= 0:
        id, link = chain[link]
        staying.add(id)
    return staying
