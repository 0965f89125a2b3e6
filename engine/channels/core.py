"""Transactions in, events out: the channels without I/O.

The core owns the ledger, the subscriptions, presence, rooms and routes. It is given each transaction once, in commit
order. Hand-overs happen between two transactions, never inside one. ``position`` is the commit LSN up to which
everything has been delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from engine.channels.ledger import Ledger
from engine.channels.presence import PresenceState, presence_row
from engine.channels.records import Command, MessageRow, RecordReader, Records, RowChange, start
from engine.channels.rooms import Rooms
from engine.channels.router import ChannelRouter
from engine.channels.routes import Routes
from engine.live.snapshot import Snapshot
from engine.lsn import Lsn
from engine.types import Kind, Transaction

__all__ = ["ChannelCore", "Effects"]

Rows = list[dict[str, Any]]


class Effects(Protocol):
    """What the core asks of whoever does the I/O. Called in the middle of a transaction's conclusion: only take note."""

    def stored(self, rows: list[MessageRow]) -> None:
        """Messages were delivered, and their commit positions are to be recorded."""
        ...

    def presence_changed(self, change: RowChange) -> None:
        """A presence row was written or removed."""
        ...

    def disconnected(self, connection_id: str) -> None:
        """A connection's row is gone."""
        ...

    def preferred(self, change: RowChange) -> None:
        """A row of preferences changed."""
        ...

    def commanded(self, command: Command) -> None:
        """Somebody kicked a member or sent something to connections."""
        ...


class ChannelCore:
    """See the module."""

    def __init__(self, effects: Effects, position: Lsn) -> None:
        self.position = position
        self.reader = RecordReader()
        self.ledger = Ledger()
        self.presence = PresenceState()
        self.rooms = Rooms()
        self.routes = Routes()
        self.router = ChannelRouter(self.routes)
        self.messages = 0
        self._effects = effects
        self._base: Snapshot | None = None  # what load() brought; transactions it shows are skipped

    def process(self, transaction: Transaction) -> Iterator[None]:
        """Take a transaction. Yields while it reads; delivers in one step at its end."""
        records = start(transaction)
        yield from self.reader.read(transaction, records)
        self._conclude(records)

    def seed(self, transactions: Iterable[Transaction]) -> None:
        """Transactions that were delivered before this core listened and that a snapshot might not show."""
        for transaction in transactions:
            self.ledger.append(self.reader.records(transaction))

    def load(self, snapshot: Snapshot, tables: list[Rows], unseen: Iterable[Transaction]) -> None:
        """Start from the rows of presence, channels, channel_defaults and routes that ``snapshot`` shows, and catch up."""
        presence, rooms, defaults, routes = tables
        known = self.presence.loaded
        room_events = self.rooms.load(rooms, defaults)
        self.routes.load(routes)
        events = self.presence.load([presence_row(row) for row in presence])
        for transaction in unseen:
            records = self.reader.records(transaction)
            self._changes(records.changes, records.commit_time)
        if snapshot.position > self.position:
            self._base = snapshot
        if known:
            for event in room_events:
                self.router.to_channel(event.body["channel"], event)
            self.router.presence(events)

    def _conclude(self, records: Records) -> None:
        self.ledger.append(records)
        self.position = max(self.position, records.lsn)
        shown = self._shown(records)
        if not records:
            return
        if records.changes and not shown:
            self._changes(records.changes, records.commit_time)
        if records.messages:
            self.messages += len(records.messages)
            self._effects.stored(records.messages)
            self.router.messages(records.messages)
        for command in records.commands:
            self._effects.commanded(command)
        for change in records.changes:
            self._tell(change)

    def _shown(self, records: Records) -> bool:
        if self._base is None:
            return False
        if records.lsn >= self._base.position:
            self._base = None
            return False
        return self._base.shows(records.xid)

    def _changes(self, changes: list[RowChange], commit_time: int) -> None:
        for change in changes:
            if change.table in ("channels", "channel_defaults"):
                event = self.rooms.apply(change)
                if event is not None:
                    self.router.to_channel(event.body["channel"], event)
            elif change.table == "routes":
                self._route(change)
        present = [change for change in changes if change.table == "presence"]
        if present:
            self.router.presence(self.presence.apply(present, commit_time))

    def _route(self, change: RowChange) -> None:
        if change.kind is Kind.TRUNCATE:
            self.routes.clear()
        elif change.new is None:
            self.routes.remove(change.row.get("id"))
        else:
            self.routes.put({**(change.old or {}), **change.new})

    def _tell(self, change: RowChange) -> None:
        if change.table == "presence" and change.kind is not Kind.TRUNCATE:
            self._effects.presence_changed(change)
        elif change.table == "connections" and change.kind is Kind.DELETE:
            self._effects.disconnected(change.row.get("id") or "")
        elif change.table == "preferences":
            self._effects.preferred(change)
