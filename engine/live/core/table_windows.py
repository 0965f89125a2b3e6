"""Matches a row change to windows: one exposed table and the windows over it, of which a change concerns few.

An update concerns the windows that hold the old row (found by replica identity) and those whose query may match the new one
(found by the matcher); every other window is not even looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from engine.catalog.model import layout
from engine.errors import BunbaseError
from engine.live.core.index.matcher import Matcher
from engine.live.core.row_index import RowIndex
from engine.live.core.rows import Identity, Row
from engine.transaction import UNCHANGED, UNKNOWN, Kind

if TYPE_CHECKING:
    from engine.catalog.model import Table
    from engine.live.core.window import Effect, Window
    from engine.transaction import Change, Relation, Value

__all__ = ["RelationChangedError", "RowUnknownError", "TableWindows"]

Arrange = Callable[[tuple["Value", ...]], Row]


class RelationChangedError(BunbaseError):
    """The stream describes the table differently from the catalog: the catalog is older or newer."""


class RowUnknownError(BunbaseError):
    """The stream does not identify the row that changed."""


class TableWindows:
    """The incremental windows of one table, and an index of the ``rows`` they hold, which it keeps by the effects that the
    windows return. Plain state, no I/O.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.windows: set[Window] = set()
        self.rows: RowIndex[Window] = RowIndex()
        self._matcher: Matcher[Window] = Matcher([c.equal for c in table.codecs], [c.sort for c in table.codecs])
        self._arrangements: dict[Relation, Arrange] = {}
        self._identity = _identity_of(table.identity)

    # -- windows ---------------------------------------------------------------------------------------------------

    def add(self, window: Window) -> None:
        """Let changes reach ``window``, which has its rows."""
        self.windows.add(window)
        for identity in window.identities:
            self.rows.add(identity, window)
        self._matcher.add(window, window.plan.index_terms)

    def remove(self, window: Window) -> None:
        """No longer let changes reach ``window``, and free its rows."""
        if window in self.windows:
            self.windows.discard(window)
            self._matcher.remove(window, window.plan.index_terms)
            for identity in window.unload():
                self.rows.remove(identity, window)

    # -- changes ---------------------------------------------------------------------------------------------------

    def apply(self, change: Change, changed: dict[Window, None], skip: Collection[Window] = ()) -> None:
        """Apply ``change`` to every window it affects but those in ``skip``, and put those that it changes into ``changed``.

        Raises ``RelationChangedError`` if the stream's columns are not the catalog's, ``RowUnknownError`` if it does
        not identify the row.
        """
        kind = change.kind
        if kind is Kind.TRUNCATE:
            for window in [window for window in self.windows if window not in skip]:
                self._took(window, window.truncate(), changed)
            return
        old_identity, identity, row = self._read(change)
        if row is None:
            for window in [window for window in self.rows.windows(old_identity) if window not in skip]:
                self._took(window, window.delete(old_identity), changed)
            return
        whole = not (UNCHANGED in row or UNKNOWN in row)
        found = self._matcher.candidates(row, whole=whole)
        if kind is Kind.INSERT:
            for window in found:
                if window not in skip:
                    self._took(window, window.insert(identity, row, whole=whole), changed)
            return
        holding = self.rows.windows(old_identity)
        for window in dict.fromkeys((*holding, *found)) if holding else found:
            if window not in skip:
                self._took(window, window.update(old_identity, identity, row, whole=whole), changed)

    def _took(self, window: Window, effect: Effect | None, changed: dict[Window, None]) -> None:
        if effect is None:
            return
        changed[window] = None
        entered, left = effect
        if entered is not None:
            self.rows.add(entered, window)
        for identity in left:
            self.rows.remove(identity, window)

    def apply_to(self, window: Window, change: Change) -> None:
        """Apply ``change`` to ``window`` alone, which is not added yet. Raises ``RelationChangedError`` as :meth:`apply`."""
        kind = change.kind
        if kind is Kind.TRUNCATE:
            window.truncate()
            return
        old_identity, identity, row = self._read(change)
        if row is None:
            window.delete(old_identity)
            return
        whole = not (UNCHANGED in row or UNKNOWN in row)
        if kind is Kind.INSERT:
            window.insert(identity, row, whole=whole)
        else:
            window.update(old_identity, identity, row, whole=whole)

    def _read(self, change: Change) -> tuple[Identity, Identity, Row | None]:
        """Old identity, new identity and new row of a change, in the table's layout."""
        arrange = self._arrangements.get(change.relation) or self._arrange(change.relation)
        new, old = change.new(), change.old()
        if new is None:
            if old is None:
                raise RowUnknownError(f"a deleted row of {self.table.name} came without replica identity")
            identity = self._known(arrange(old))
            return identity, identity, None
        row = arrange(new)
        if old is None:
            identity = self._known(row)
            return identity, identity, row
        old_row = arrange(old)
        if UNCHANGED in row:
            known = range(len(row)) if change.relation.replica_identity == "f" else self.table.identity
            row = tuple([old_row[i] if v is UNCHANGED and i in known else v for i, v in enumerate(row)])
        return self._known(old_row), self._known(row), row

    def _known(self, row: Row) -> Identity:
        identity = self._identity(row)
        sent = isinstance(identity, bytes) or (
            isinstance(identity, tuple) and UNKNOWN not in identity and UNCHANGED not in identity
        )
        if not sent:
            raise RowUnknownError(f"the key of a changed row of {self.table.name} was not sent")
        return identity

    def _arrange(self, relation: Relation) -> Arrange:
        positions = layout(self.table, relation)
        if positions is None:
            raise RelationChangedError(f"the columns of {relation.schema}.{relation.name} have changed")
        if positions == tuple(range(len(relation.columns))):
            arrange: Arrange = tuple
        elif len(positions) == 1:
            arrange = _only(positions[0])
        else:
            arrange = cast("Arrange", itemgetter(*positions))
        self._arrangements[relation] = arrange
        return arrange


def _only(position: int) -> Arrange:
    """A row of the one value at ``position``; ``itemgetter`` of one would give the bare value."""
    return lambda row: (row[position],)


def _identity_of(columns: tuple[int, ...]) -> Callable[[Row], Identity]:
    """A function that takes the identity out of a row: the bytes of one column, or a tuple of several."""
    getter: Callable[[Any], Any] = itemgetter(*columns)
    return getter
