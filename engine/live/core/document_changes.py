"""The events of subscribers, and the document changes in them.

Applied in order to the list before, the changes give the list after, exactly: remove at ``old_index``, then insert at
``new_index`` (-1: absent). These are the semantics of Firestore's ``docChanges()``. At most one change per document.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, TypeVar

import msgspec
import orjson

from engine.errors import QueryRejectedError
from engine.live.core.places import BATCH, list_order
from engine.lsn import Lsn

__all__ = [
    "ADDED",
    "BATCH",
    "MODIFIED",
    "REMOVED",
    "DocChange",
    "WindowEvent",
    "apply_changes",
    "at_once",
    "changes_in_batches",
    "changes_json",
    "list_changes",
]


ADDED: Final = "added"
MODIFIED: Final = "modified"
REMOVED: Final = "removed"

_Result = TypeVar("_Result")

_HEADS = {kind: b'{"type":"%b","oldIndex":' % kind.encode() for kind in (ADDED, MODIFIED, REMOVED)}


_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


class DocChange(msgspec.Struct, eq=False, gc=False):
    """One change of a list: ``added``, ``modified`` or ``removed``.

    ``doc`` is the document's data as a JSON object; for a removed one, as it was last. ``before``: of a modified one, the
    document as it was, or what encodes it and the row; None: not known (any more). It is no part of the change.
    """

    type: str
    old_index: int
    new_index: int
    id: str
    doc: bytes
    before: bytes | tuple[Callable[[Any], bytes], Any] | None = None

    def __eq__(self, other: object) -> bool:
        """The same change, whether it is known what it changes or not."""
        return isinstance(other, DocChange) and self._content() == other._content()

    __hash__ = None  # type: ignore[assignment]

    def _content(self) -> tuple[str, int, int, str, bytes]:
        return self.type, self.old_index, self.new_index, self.id, self.doc

    def json(self) -> bytes:
        """The change as the protocol writes it."""
        return b'%b%d,"newIndex":%d,"doc":{"id":%b,"data":%b}}' % (
            _HEADS[self.type],
            self.old_index,
            self.new_index,
            orjson.dumps(self.id),
            self.doc,
        )

    def delta_json(self, *, fields: bool) -> bytes:
        """The change for a client that has the document: a removed one has its id only, and of a modified one, if it is
        known how it was and ``fields``, only the fields that are other ones.
        """
        if self.type == REMOVED:
            rest = b"}}"
        elif self.type == MODIFIED and fields and (changed := self._changed()) is not None:
            rest = b',"changed":%b}}' % changed
        else:
            return self.json()
        identifier = orjson.dumps(self.id)
        return b'%b%d,"newIndex":%d,"doc":{"id":%b%b' % (
            _HEADS[self.type],
            self.old_index,
            self.new_index,
            identifier,
            rest,
        )

    def _changed(self) -> bytes | None:
        """The fields with another value, compared as they are written; None if that is not known, or a field is gone."""
        before = self.before
        if before is None:
            return None
        try:
            old = _fields.decode(before if isinstance(before, bytes) else before[0](before[1]))
            new = _fields.decode(self.doc)
        except (msgspec.DecodeError, RecursionError):
            return None
        if not old.keys() <= new.keys():
            return None
        changed: list[bytes] = []
        for name, value in new.items():
            was = old.get(name)
            if was is None or bytes(was) != bytes(value):
                changed.append(orjson.dumps(name) + b":" + bytes(value))
        return b"{" + b",".join(changed) + b"}"


class WindowEvent:
    """One change of a live query's list; all subscribers get the same object.

    ``reset``: the changes start from the empty list. ``error``: the query has ended, nothing follows. ``committed_at``: when
    the change was committed, in microseconds since 1970 by the clock of the database; None if the event is no commit's: a
    list that was read, or changes that are delivered again. ``meta``: the annotation (a JSON object) of the one transaction
    that made all of these changes; None if it has none, or they may be of several. ``size``: bytes of the documents.
    ``json``: the changes as a JSON array, if they are encoded already; ``delta``: the same as :attr:`delta_json`.
    """

    __slots__ = ("_delta", "_json", "changes", "committed_at", "error", "meta", "position", "reset", "size")

    def __init__(  # noqa: PLR0913
        self,
        position: Lsn,
        reset: bool,
        changes: Sequence[DocChange],
        error: QueryRejectedError | None = None,
        committed_at: int | None = None,
        meta: bytes | None = None,
        json: bytes | None = None,
        delta: bytes | None = None,
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
        self._delta = delta

    @property
    def changes_json(self) -> bytes:
        """The changes as a JSON array, encoded once however many subscribers there are."""
        if self._json is None:
            changes = self.changes
            if len(changes) == 1:  # most commits
                self._json = b"[%b]" % changes[0].json()
            else:
                self._json = at_once(changes_json(changes))
        return self._json

    @property
    def delta_json(self) -> bytes:
        """The changes as a JSON array for clients that have the list: what is only taken from it is not repeated. Encoded
        once, and only if there is such a client. Of more than ``BATCH`` changes the modified documents are whole: comparing
        their fields would hold up other work.
        """
        if self._delta is None:
            changes = self.changes
            if self.reset:
                return self.changes_json
            fields = len(changes) <= BATCH
            self._delta = b"[" + b",".join([change.delta_json(fields=fields) for change in changes]) + b"]"
        return self._delta

    def forget(self) -> None:
        """The event was delivered: do not keep the documents from before it. What is delivered again has whole ones, unless
        the delta is encoded already.
        """
        for change in self.changes:
            change.before = None

    def again(self) -> WindowEvent:
        """The same event without ``committed_at``, for a subscriber that resumes: its age is not a delivery time."""
        return WindowEvent(
            self.position, self.reset, self.changes, self.error, None, self.meta, self._json, self._delta
        )

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
    return at_once(changes_in_batches(before, after))


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
                changes.append(DocChange(MODIFIED, index, index, identifier, doc, old_doc))
        elif old_doc is None:
            changes.append(DocChange(ADDED, -1, first + order.put(rank), identifier, doc))
        else:
            old_index = first + order.take(rank)
            changes.append(DocChange(MODIFIED, old_index, first + order.put(rank), identifier, doc, old_doc))
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


def changes_json(changes: Sequence[DocChange]) -> Generator[None, None, bytes]:
    """``changes`` as a JSON array; yields as :func:`changes_in_batches`."""
    parts: list[bytes] = []
    for number, change in enumerate(changes, 1):
        parts.append(change.json())
        if number % BATCH == 0:
            yield
    return b"[" + b",".join(parts) + b"]"


def at_once(steps: Generator[None, None, _Result]) -> _Result:
    """What ``steps`` returns, without pauses."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: _Result = done.value
            return result
