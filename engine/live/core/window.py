"""One incremental live query: the ordered rows it shows and, beyond its limit, some spare rows.

Theory of operation
-------------------

A window goes through these states::

    NEW → CLEAN ⇄ DIRTY → INVALIDATED

NEW
    Without rows. ``load`` fills it from a read.
CLEAN
    The store is what the last commit left. ``shown`` is a part of the store.
DIRTY
    The first change of a transaction (``insert``, ``update``, ``delete``, ``truncate``) keeps the rows as they were. The
    method's effect makes the caller add the window to the dirty set of the dispatcher. ``shown`` is the list before the
    transaction. ``commit`` returns the difference and makes the window clean.
INVALIDATED
    ``invalidate``, from any state. ``invalidated`` has the reason; the store is not used again, ``shown`` stays as
    subscribers have it, and the query is read again into a new window. The final state.

The dispatcher makes the window, calls ``load``, then ``commit`` at the end of each transaction that made it dirty;
:class:`engine.live.core.table_windows.TableWindows` calls the changes. ``unload`` frees the rows of a window that is not
used any more.

Invariants, at every commit the stream has passed:

* the store (``_keys``, ``_rows``) is sorted by the plan's sort key, which ends with the primary key and so is unique;
* if ``_bound`` is None the store holds every matching row; else it holds exactly the matching rows whose key is not
  beyond the bound, and at least ``limit`` of them: the shown rows never depend on a row outside the store;
* the changes returned by :meth:`Window.commit`, applied to what was shown before, give what is shown now.

Each change of a row returns an :data:`Effect`, by which the owner keeps its index of the rows and its set of the windows
to commit; a window knows neither.

A window that can no longer keep them (the spare rows are used up, a value was not sent) is invalidated: ``invalidated``
has the reason, and the query is read again into a new window.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING
from weakref import ref

from engine.live.core.document_changes import DocChange
from engine.live.core.previous_rows import PreviousRows
from engine.live.core.rows import Identity, Row, SortKey
from engine.live.core.window_difference import Difference
from engine.transaction import UNCHANGED, UNKNOWN

if TYPE_CHECKING:
    from engine.query.compile.plan import IncrementalPlan

__all__ = ["Effect", "Window", "read_size"]

Effect = tuple["Identity | None", "tuple[Identity, ...]"]
"""The row that entered a window's store, if one did, and then those that left it."""

_BEYOND_ALL = float("inf")
_IN_PLACE: Effect = (None, ())


def read_size(limit: int, spare_rows: int = 10) -> int:
    """How many rows a window with this limit keeps: the limit, and ``spare_rows`` to 500 spare rows (half the limit)."""
    return limit + min(500, max(spare_rows, limit // 2))


class Window:
    """The rows of one query, changed row by row; each commit returns the changes of the shown rows. No I/O.

    ``spare_rows``: spare rows beyond the limit, at least. Each method for a change of rows returns its effect, or None if
    it does not concern the window.
    """

    __slots__ = (
        "_before",
        "_bound",
        "_by_identity",
        "_capacity",
        "_keys",
        "_limit",
        "_narrow",
        "_previous",
        "_rows",
        "_touched",
        "invalidated",
        "plan",
    )

    def __init__(self, plan: IncrementalPlan, spare_rows: int = 10) -> None:
        self.plan = plan
        self.invalidated: str | None = None
        self._limit = plan.limit
        self._capacity = _BEYOND_ALL if plan.limit is None else read_size(plan.limit, spare_rows)
        self._keys: list[SortKey] = []
        self._rows: list[Row] = []
        self._by_identity: dict[Identity, SortKey] = {}
        self._bound: SortKey | None = None
        self._before: PreviousRows[Row] | None = None  # inside a transaction
        self._previous: Callable[[], PreviousRows[Row] | None] = _nothing  # the one before, while it is in use
        self._touched: dict[Identity, tuple[SortKey | None, Row | None]] = {}
        self._narrow = plan.query.projection is not None or not all(c.exposed for c in plan.table.columns)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def shown(self) -> Sequence[Row]:
        """The rows of the last commit, in order; no later change touches them.

        Inside a transaction, and once the window is invalidated, the rows before that transaction.
        """
        return self._before if self._before is not None else self._rows[: self._limit]

    @property
    def identities(self) -> Collection[Identity]:
        """The identities of the rows in the store."""
        return self._by_identity.keys()

    @property
    def needs_refill(self) -> bool:
        """True if half of the spare rows are used up: the query should be read again before all are."""
        if self._bound is None or self._limit is None:
            return False
        return len(self._keys) < (self._limit + self._capacity) / 2 - 1

    def load(self, rows: Sequence[Row]) -> None:
        """Take ``rows`` (as read with :func:`read_size`) as the store of a new window."""
        keyed = sorted((self.plan.sort_key(row), row) for row in rows)
        self._keys = [key for key, _ in keyed]
        self._rows = [row for _, row in keyed]
        identity = self.plan.identity
        self._by_identity = {identity(row): key for key, row in keyed}
        self._bound = self._keys[-1] if keyed and len(rows) >= self._capacity else None

    def unload(self) -> Collection[Identity]:
        """Remove all rows from the store; ``shown`` stays as subscribers have it. Returns their identities."""
        self._begin().fix()
        identities = self._by_identity.keys()
        self._keys, self._rows, self._by_identity, self._bound = [], [], {}, None
        return identities

    # -- one change ------------------------------------------------------------------------------------------------

    def insert(self, identity: Identity, row: Row, *, whole: bool = True) -> Effect | None:
        """A row came to be. ``whole``: every value was sent."""
        if not whole and self._undecidable(row):
            return _IN_PLACE if self.invalidated else None
        return self._put(identity, row, self.plan.sort_key(row)) if self.plan.matches(row) else None

    def update(self, old_identity: Identity, identity: Identity, row: Row, *, whole: bool = True) -> Effect | None:
        """A row changed, and perhaps its identity. ``whole``: every value was sent."""
        if not whole:
            row = self._completed(row, old_identity)
            if self._undecidable(row):
                return _IN_PLACE if self.invalidated else None
        # Before the store changes: if one of them fails, the owner's index is still right.
        key = self.plan.sort_key(row) if self.plan.matches(row) else None
        before = None if old_identity == identity else self.delete(old_identity)
        effect = self.delete(identity) if key is None else self._put(identity, row, key)
        if before is None or effect is None:
            return before or effect
        return effect[0], before[1] + effect[1]

    def delete(self, identity: Identity) -> Effect | None:
        """A row ceased to be."""
        key = self._by_identity.get(identity)
        if key is None:
            return None
        self._touch(identity, key)
        self._forget(identity, key)
        return None, (identity,)

    def truncate(self) -> Effect | None:
        """All rows ceased to be."""
        held = tuple(self._by_identity)
        for identity in held:
            self.delete(identity)
        self._bound = None
        return (None, held) if held else None

    def invalidate(self, reason: str) -> None:
        """Invalidate the store; ``shown`` stays as subscribers have it."""
        self._begin().fix()
        self.invalidated = reason

    # -- one commit ------------------------------------------------------------------------------------------------

    def commit(self) -> list[DocChange]:
        """End the transaction. Returns the changes of the shown rows, in the order to apply them.

        Empty if the window is ``invalidated``: its spare rows are used up, or the place of a row could not be decided.
        """
        before = self._before
        if self._bound is not None and self._limit is not None and len(self._keys) < self._limit:
            self.invalidate("the rows kept beyond the limit are used up")
        if self.invalidated:
            return []
        if before is None:
            return []
        shown, limit = len(self._keys), self._limit
        if limit is not None and limit < shown:
            shown = limit
        difference = Difference(
            self.plan, before, self._touched, self._keys, self._rows, self._by_identity, shown, self._narrow
        )
        changes = difference.changes()
        # Reset last: if ``changes`` fails, the rows that subscribers have must still be known.
        self._before, self._previous, self._touched = None, ref(before), {}
        return changes

    # -- the store -------------------------------------------------------------------------------------------------

    def _begin(self) -> PreviousRows[Row]:
        if self._before is None:
            if (previous := self._previous()) is not None:
                previous.fix()
            self._before = PreviousRows(self._keys, self._rows, self._limit, self._touched, self._by_identity)
        return self._before

    def _touch(self, identity: Identity, key: SortKey | None) -> None:
        self._begin()
        if identity not in self._touched:
            row = None if key is None else self._rows[bisect_left(self._keys, key)]
            self._touched[identity] = (key, row)

    def _put(self, identity: Identity, row: Row, key: SortKey) -> Effect | None:
        old_key = self._by_identity.get(identity)
        beyond = self._bound is not None and key > self._bound
        keys, rows = self._keys, self._rows
        if old_key is None:
            if beyond:
                return None
            if self._before is None:
                self._begin()
            if identity not in self._touched:
                self._touched[identity] = (None, None)
        else:
            self._touch(identity, old_key)
            index = bisect_left(keys, old_key)
            if key == old_key:
                rows[index] = row
                return _IN_PLACE
            if beyond:
                self._forget(identity, old_key)
                return None, (identity,)
            del keys[index], rows[index]
        index = bisect_left(keys, key)
        keys.insert(index, key)
        rows.insert(index, row)
        self._by_identity[identity] = key
        if len(keys) > self._capacity:
            return identity, (self._evict_last(),)
        return (identity, ()) if old_key is None else _IN_PLACE

    def _evict_last(self) -> Identity:
        last, row = self._keys.pop(), self._rows.pop()
        identity: Identity = self.plan.identity(row)
        if identity not in self._touched:
            self._touched[identity] = (last, row)
        del self._by_identity[identity]
        self._bound = self._keys[-1]
        return identity

    def _forget(self, identity: Identity, key: SortKey) -> None:
        index = bisect_left(self._keys, key)
        del self._keys[index], self._rows[index], self._by_identity[identity]

    # -- values the stream did not send ----------------------------------------------------------------------------

    def _completed(self, row: Row, old_identity: Identity) -> Row:
        """``row`` with what an UPDATE left alone taken from the row as it was, if it is here."""
        key = self._by_identity.get(old_identity)
        if key is None:
            return row
        old_row = self._rows[bisect_left(self._keys, key)]
        return tuple([old if new is UNCHANGED else new for new, old in zip(row, old_row, strict=True)])

    def _undecidable(self, row: Row) -> bool:
        """True if ``row`` still lacks a value; invalidates the window unless the row certainly stays outside."""
        missing = {index for index, value in enumerate(row) if value is UNCHANGED or value is UNKNOWN}
        if not missing:
            return False
        if missing.isdisjoint(self.plan.needs):
            if not self.plan.matches(row):
                return False
            if self._bound is not None and self.plan.sort_key(row) > self._bound:
                return False
        self.invalidate("a row entered with values that the stream did not send")
        return True


def _nothing() -> None:
    return None
