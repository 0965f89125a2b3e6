"""Which transactions a query has seen: ``pg_current_snapshot()`` in Python.

Comparing LSNs is not enough to join a query's result to the stream: a commit is in the WAL, even decoded, before new
snapshots show it (the committing backend leaves the process array last, and later still while it waits for a synchronous
standby). Visibility by transaction id is exact. Rules: PostgreSQL docs, "System Information Functions", pg_snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.lsn import Lsn
from engine.transaction import Value

__all__ = ["ReadResult", "Snapshot"]

_EPOCH = 1 << 32
_HALF = 1 << 31


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A parsed ``pg_snapshot`` with 64-bit transaction ids.

    ``position`` is a WAL position read after the snapshot was taken: every transaction the snapshot shows committed
    before it, so once the stream is past ``position`` the snapshot decides nothing more.
    """

    xmin: int
    xmax: int
    in_progress: frozenset[int]
    position: Lsn = 0

    @classmethod
    def parse(cls, text: str, position: Lsn = 0) -> Snapshot:
        """Read PostgreSQL's ``xmin:xmax:xip,xip,…``. Raises ``ValueError`` if it is not that."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, running.split(","))) if running else frozenset(), position)

    def shows(self, xid: int) -> bool:
        """True if the committed transaction ``xid`` (32 bits, as the stream carries it) is visible here."""
        # With the epoch that brings it nearest to this snapshot: transaction ids in use lie within 2^31 of each other.
        full = (self.xmax & -_EPOCH) | xid
        if full > self.xmax + _HALF:
            full -= _EPOCH
        elif full < self.xmax - _HALF:
            full += _EPOCH
        return full < self.xmin or (full < self.xmax and full not in self.in_progress)


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Rows as text, the snapshot that saw them, and the type of each column.

    ``as_meant``: the names in the statement meant the columns of its ``origin``, and clients may see those that are exposed;
    policies are those that it was planned for; and what it read was not rewritten meanwhile. ``facts``: those of the
    role.
    """

    snapshot: Snapshot
    rows: list[tuple[Value, ...]]
    types: tuple[int, ...]
    as_meant: bool = True
    facts: str | None = None
