"""The rows of ``realtime.content_policies``, as of the stream. The server compiles and applies them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.channels.core.messages.decode import RowChange
from engine.transaction import Kind

__all__ = ["PolicyRows"]

Row = Mapping[str, str | None]


class PolicyRows:
    """The rows by name, as PostgreSQL's text. A row that did not change stays the same object.

    ``version``: another number after each change.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self.version = 0

    def in_order(self) -> list[Row]:
        """All rows, in the order of their names."""
        return [self._rows[name] for name in sorted(self._rows)]

    def load(self, rows: Iterable[Row]) -> None:
        """Start from the table's rows."""
        self._rows = {row["name"] or "": row for row in rows}
        self.version += 1

    def apply(self, change: RowChange) -> None:
        """A row changed."""
        self.version += 1
        if change.kind is Kind.TRUNCATE:
            self._rows = {}
            return
        self._rows.pop((change.old or change.row).get("name") or "", None)
        if change.new is not None:
            # Replica identity is full: what an UPDATE left alone is in the old row.
            row = {**(change.old or {}), **change.new}
            self._rows[row["name"] or ""] = row
