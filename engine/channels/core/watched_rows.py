"""The rows of a small table that the server reads as of the stream: content policies, API keys. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from engine.channels.core.messages.decode import RowChange
from engine.transaction import Kind

__all__ = ["WatchedRows"]

Row = Mapping[str, str | None]


class WatchedRows:
    """The rows by their key, the column ``key``, as PostgreSQL's text. A row that did not change stays the same object.

    ``version``: another number after each change. ``changed``: called after each change, while the stream is at work: it
    must only note or schedule something.
    """

    def __init__(self, key: str = "name") -> None:
        self._key = key
        self._rows: dict[str, Row] = {}
        self.version = 0
        self.changed: Callable[[], None] | None = None

    def in_order(self) -> list[Row]:
        """All rows, in the order of their keys."""
        return [self._rows[key] for key in sorted(self._rows)]

    def load(self, rows: Iterable[Row]) -> None:
        """Start from the table's rows."""
        self._rows = {row[self._key] or "": row for row in rows}
        self._changed()

    def apply(self, change: RowChange) -> None:
        """A row changed."""
        if change.kind is Kind.TRUNCATE:
            self._rows = {}
        else:
            self._rows.pop((change.old or change.row).get(self._key) or "", None)
            if change.new is not None:
                # Replica identity is full: what an UPDATE left alone is in the old row.
                row = {**(change.old or {}), **change.new}
                self._rows[row[self._key] or ""] = row
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        if self.changed is not None:
            self.changed()
