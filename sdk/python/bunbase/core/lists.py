"""Lists of documents: applying changes, and finding the changes between two lists.

The invariant of both: changes applied in order to the list before give the list after, exactly.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bunbase.protocol.model import Change, Doc
from bunbase.protocol.type_variables import D

__all__ = ["apply", "difference", "take"]


def take(docs: list[Doc], raw: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Change ``docs`` in place by changes in the protocol's form, and return them with whole documents.

    A change that comes as a delta has no ``data``: the document is the one in the list, with the fields in ``changed``.
    Raises ``ValueError`` if that is another one.
    """
    changes = []
    for each in raw:
        doc, old_index = each["doc"], each["oldIndex"]
        data = doc.get("data")
        if data is None:
            before = docs[old_index] if 0 <= old_index < len(docs) else None
            if before is None or before.id != doc["id"]:
                raise ValueError(f"document {doc['id']!r} is not at index {old_index}")
            data = {**before.data, **doc.get("changed", {})}
        change = Change(each["type"], Doc(doc["id"], data), old_index, each["newIndex"])
        apply(docs, (change,))
        changes.append(change)
    return tuple(changes)


def apply(docs: list[Doc], changes: Iterable[Change]) -> None:
    """Change ``docs`` in place."""
    for change in changes:
        if change.old_index >= 0:
            del docs[change.old_index]
        if change.new_index >= 0:
            docs.insert(change.new_index, change.doc)


def difference(old: Sequence[Doc[D]], new: Sequence[Doc[D]]) -> tuple[Change[D], ...]:
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


def _staying(ids: Sequence[str], new: Sequence[Doc[D]]) -> set[str]:
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
