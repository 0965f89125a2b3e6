"""Delivered messages whose position a history read may not find in the tables yet, kept so that the read can be completed.

A history read takes rows and, from ``realtime.commits``, the positions of their transactions. It can miss a row, whose
transaction its snapshot does not show yet, or a position that no node has recorded yet. Invariant: for every read under
way or to come, each delivered transaction with messages of which the read may miss either is here.

An entry is removed once its position is recorded, a snapshot taken after that has shown it, and no read from before that
snapshot is under way. The slot is confirmed only up to the oldest entry whose position is not recorded (``pending``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.channels.core.messages.decode import DecodedTransaction, MessageRow
from engine.lsn import Lsn
from engine.postgres.snapshot import Snapshot
from engine.stream.reads import SnapshotReads
from engine.transaction import Transaction

__all__ = ["Entry", "UnrecordedMessages"]


@dataclass(slots=True, eq=False)
class Entry:
    """A delivered transaction's messages, what is to be copied to other channels, and what was refused.

    ``full_xid`` is 0 if it stored none (then there is nothing to record but copies).
    """

    lsn: Lsn
    xid: int
    full_xid: int
    before: Lsn  # everything delivered before this entry ends here
    messages: list[MessageRow] = field(default_factory=list)
    copies: list[tuple[MessageRow, str]] = field(default_factory=list)
    refused: list[MessageRow] = field(default_factory=list)
    recorded: int | None = None  # the number of the next read when it was recorded


class UnrecordedMessages:
    """See the module. Plain state, no I/O."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}  # by 32-bit xid
        self._pending: dict[int, Entry] = {}
        self._delivered: Lsn = 0
        self._disordered = False
        self._reads = SnapshotReads()

    def __iter__(self) -> Iterator[Entry]:
        """In no certain order."""
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def pending(self) -> list[Entry]:
        """Entries whose position is not recorded, in commit order."""
        self._order()
        return list(self._pending.values())

    def is_pending(self, entry: Entry) -> bool:
        """Whether the position of ``entry`` is not recorded."""
        return self._pending.get(entry.xid) is entry

    @property
    def confirmable(self) -> Lsn | None:
        """How far the slot may be confirmed; None: no objection."""
        self._order()
        for entry in self._pending.values():
            return entry.before
        return None

    def append(self, transaction: DecodedTransaction) -> None:
        """The stream delivered ``transaction``."""
        stored = [message for message in transaction.messages if message.stored]
        refused = [message for message in transaction.refused if message.stored]
        if stored or refused or transaction.copies:
            entry = Entry(
                transaction.lsn,
                transaction.xid,
                transaction.full_xid,
                self._delivered,
                stored,
                transaction.copies,
                refused,
            )
            self._entries[entry.xid] = entry
            if entry.full_xid or entry.copies:
                self._pending[entry.xid] = entry
            else:
                entry.recorded = self._reads.upcoming
        self._delivered = transaction.end

    def passed(self, transaction: Transaction) -> None:
        """The stream delivered ``transaction``, in which there are no messages."""
        self._delivered = transaction.end

    def has(self, transaction: DecodedTransaction) -> bool:
        """Whether ``transaction`` was delivered before, and is here."""
        known = self._entries.get(transaction.xid)
        return known is not None and known.lsn == transaction.lsn

    def insert(self, transaction: DecodedTransaction) -> None:
        """The stream delivered ``transaction`` behind some that committed later; nothing, if it is here already."""
        if not self.has(transaction):
            delivered, self._delivered = self._delivered, transaction.lsn
            self.append(transaction)
            self._delivered = delivered
            self._disordered = True

    def _order(self) -> None:
        if self._disordered:
            self._pending = dict(sorted(self._pending.items(), key=lambda each: each[1].lsn))
            self._disordered = False

    def record(self, entries: list[Entry]) -> None:
        """The positions of ``entries`` are written and committed."""
        for entry in entries:
            entry.recorded = self._reads.upcoming
            self._pending.pop(entry.xid, None)

    def keep(self, parted: Lsn) -> None:
        """What committed behind ``parted`` was delivered and is not in the database any more."""
        self._entries = {xid: entry for xid, entry in self._entries.items() if entry.lsn <= parted}
        self._pending = {xid: entry for xid, entry in self._pending.items() if entry.lsn <= parted}

    def position_of(self, xid: int) -> Lsn | None:
        """The commit position of a delivered transaction (64-bit id), if it is still here."""
        entry = self._entries.get(xid & 0xFFFFFFFF)
        return entry.lsn if entry is not None and entry.full_xid in (0, xid) else None

    def begin_read(self) -> int:
        """Call before a read takes its snapshot."""
        return self._reads.begin()

    def distrust(self) -> None:
        """Snapshots up to now may have shown commits that were lost: only later ones remove entries."""
        self._reads.distrust()

    def end_read(self, read: int, snapshot: Snapshot | None) -> None:
        """Call when the read has been joined to the stream; ``snapshot`` is None if it failed."""
        decisive = self._reads.end(read, snapshot)
        if decisive:
            self._entries = {
                xid: entry
                for xid, entry in self._entries.items()
                if entry.recorded is None or not any(entry.recorded <= n and s.shows(xid) for n, s in decisive)
            }
