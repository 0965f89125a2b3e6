"""The transaction tail: delivered transactions that a snapshot might not show yet.

Invariant: for every read that is under way or will start, the tail holds each delivered transaction that the read's
snapshot does not show. A window made from that read plus those transactions, in order, is therefore exact at the
stream's position. A transaction is removed once a snapshot has shown it and no read that began before that snapshot was
known is still under way; no time constant is involved.

The slot is confirmed only up to the oldest transaction in the tail, so after a restart the server receives again every
transaction that a snapshot might not show.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Final

from engine.lsn import Lsn
from engine.postgres.snapshot import Snapshot
from engine.stream.reads import SnapshotReads
from engine.transaction import Transaction

__all__ = ["TransactionTail"]

_REMEMBERED: Final = (
    16  # snapshots whose first unseen transaction is known; as many batches are seldom joined to the stream at a time
)


@dataclass(slots=True)
class _Entry:
    transaction: Transaction
    confirmable: Lsn  # the end of the transactions before this entry


class TransactionTail:
    """Delivered transactions that some snapshot might not show, in commit order. Plain state, no I/O."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._delivered: Lsn = 0
        self._reads = SnapshotReads()
        self._first_unseen: dict[tuple[Snapshot, frozenset[int]], int | None] = {}  # of the present entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Transaction]:
        return iter([entry.transaction for entry in self._entries])

    def append(self, transaction: Transaction) -> None:
        """The stream delivered ``transaction``."""
        self._first_unseen.clear()
        self._entries.append(_Entry(transaction, self._delivered))
        self._delivered = transaction.end

    def insert(self, transaction: Transaction) -> None:
        """The stream delivered ``transaction`` behind some that committed later; nothing, if it is here already."""
        at = bisect_left(self._entries, transaction.position, key=lambda entry: entry.transaction.position)
        after = self._entries[at] if at < len(self._entries) else None
        if after is None or after.transaction.position != transaction.position:
            self._first_unseen.clear()
            self._entries.insert(at, _Entry(transaction, self._delivered if after is None else after.confirmable))

    def advance(self, position: Lsn) -> None:
        """The stream is past ``position`` with nothing left to deliver before it."""
        self._delivered = max(self._delivered, position)

    @property
    def confirmable(self) -> Lsn:
        """The position up to which the slot may be confirmed."""
        return self._entries[0].confirmable if self._entries else self._delivered

    def unseen_by(self, snapshot: Snapshot, tables: Set[int] | None = None) -> Iterator[Transaction]:
        """The transactions ``snapshot`` does not show (and that changed one of ``tables``), in commit order."""
        for entry in self._entries:
            transaction = entry.transaction
            if (tables is None or not tables.isdisjoint(transaction.tables)) and not snapshot.shows(transaction.xid):
                yield transaction

    def first_unseen_by(self, snapshot: Snapshot, tables: frozenset[int]) -> int | None:
        """The id of the first transaction that changed one of ``tables`` and that ``snapshot`` does not show. The reads of a
        batch, which have one snapshot, ask for the same.
        """
        key = snapshot, tables
        if key not in self._first_unseen:
            if len(self._first_unseen) >= _REMEMBERED:
                self._first_unseen.clear()
            found = next(self.unseen_by(snapshot, tables), None)
            self._first_unseen[key] = None if found is None else found.xid
        return self._first_unseen[key]

    def distrust(self) -> None:
        """Earlier snapshots may have shown commits that were lost: only later snapshots remove transactions."""
        self._reads.distrust()

    def forget(self) -> None:
        """Delivered transactions may not be in the new history: drop them all. Positions may restart at a lower value."""
        self._first_unseen.clear()
        self._entries.clear()
        self._delivered = 0

    def begin_read(self) -> int:
        """Call before a read takes its snapshot; retains the transactions that the snapshot might not show."""
        return self._reads.begin()

    def end_read(self, read: int, snapshot: Snapshot | None) -> None:
        """Call when the read's result has been joined to the stream; ``snapshot`` is None if it failed."""
        for seen in dict.fromkeys(seen for _, seen in self._reads.end(read, snapshot)):  # a batch of reads shares one
            shows = seen.shows
            self._entries = [entry for entry in self._entries if not shows(entry.transaction.xid)]
