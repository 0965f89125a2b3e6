"""The rows of a table that the server reads as of the stream: content policies, API keys, sessions. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from engine.channels.core.messages.decode import RowChange
from engine.transaction import Kind

__all__ = ["WatchedRows", "take_over"]

Row = Mapping[str, str | None]
_Kept = TypeVar("_Kept")


def take_over(change: RowChange, rows: dict[str, _Kept], key: str, keep: Callable[[Row], _Kept]) -> set[str]:
    """Bring ``rows``, by their column ``key``, up to date with a change of the table; ``keep``: what is kept of a row.

    Returns the keys of the rows that it concerns.
    """
    if change.kind is Kind.TRUNCATE:
        concerned = set(rows)
        rows.clear()
        return concerned
    former = change.former.get(key) or ""
    rows.pop(former, None)
    if (row := change.merged) is None:
        return {former}
    name = row[key] or ""
    rows[name] = keep(row)
    return {former, name}


class WatchedRows:
    """The rows by their key, the column ``key``, as PostgreSQL's text. A row that did not change stays the same object.

    ``columns``: those that are kept; None: all. ``version``: another number after each change. ``changed``: called after a
    change with the key of the row, or None if that may be any, while the stream is at work: it must only note or schedule
    something.
    """

    def __init__(self, key: str = "name", columns: Collection[str] | None = None) -> None:
        self._key = key
        self._columns = columns
        self._rows: dict[str, Row] = {}
        self.version = 0
        self.changed: Callable[[str | None], None] | None = None

    def get(self, key: str) -> Row | None:
        """The row with this key."""
        return self._rows.get(key)

    def in_order(self) -> list[Row]:
        """All rows, in the order of their keys."""
        return [self._rows[key] for key in sorted(self._rows)]

    def load(self, rows: Iterable[Row]) -> None:
        """Start from the table's rows."""
        self._rows = {row[self._key] or "": row for row in rows}
        self._changed(None)

    def apply(self, change: RowChange) -> None:
        """A row changed."""
        concerned = take_over(change, self._rows, self._key, self._kept)
        for key in (None,) if change.kind is Kind.TRUNCATE else concerned:
            self._changed(key)

    def _kept(self, row: Row) -> Row:
        return row if self._columns is None else {name: row[name] for name in self._columns}

    def _changed(self, key: str | None) -> None:
        self.version += 1
        if self.changed is not None:
            self.changed(key)
