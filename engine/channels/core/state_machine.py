"""Transactions in, events and effects out: the channels without I/O.

Theory of operation. The core owns the unrecorded messages, the subscriptions, presence, rooms, routes and rules. It receives
each transaction once, in commit order, and takes it in three steps:

1. *Decode and judge*, in batches: rows become messages and changes, and filters are asked about large messages. Nothing that
   another task can see changes.
2. *Review*, in batches: rooms and rules change, subscribers of channels whose rules or metadata changed are judged again;
   who lost the right gets its end. So nothing of this transaction reaches it, nor anything that commits later.
3. *Conclude*, in one step: presence changes, subscribers receive their events. Then the core returns the effects that need
   I/O (:mod:`engine.channels.core.effects`), in the order in which they are to be carried out.

Subscriptions begin, and snapshots are loaded, between two transactions. After :meth:`ChannelCore.load` the state is that of
a snapshot, which may show transactions that are still to come: ``_base`` keeps that snapshot until the stream has passed
its position, and the row changes of the transactions it shows are skipped; their messages are not. ``position`` is the
commit LSN up to which everything has been delivered.

After a discontinuity the stream may begin below what was taken: see :mod:`engine.channels.core.brought_again`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from typing import Any

from engine.channels.core.access_rules import AccessRules, matching
from engine.channels.core.brought_again import BroughtAgain
from engine.channels.core.census import ConnectionCensus
from engine.channels.core.delivery.conflation import Timers
from engine.channels.core.delivery.events import MessageEvent, PlainEvent, meta_of
from engine.channels.core.delivery.hub import ChannelHub
from engine.channels.core.effects import Effect, MessagesDelivered, MessagesRefused, effects_of
from engine.channels.core.kicks import Kicks
from engine.channels.core.messages.decode import DecodedTransaction, RecordReader, RowChange, start
from engine.channels.core.presence_lists import PresenceState, presence_row
from engine.channels.core.rooms import Rooms
from engine.channels.core.routing import Routes
from engine.channels.core.unrecorded import UnrecordedMessages
from engine.channels.core.watched_rows import WatchedRows
from engine.lsn import Lsn
from engine.postgres.snapshot import Snapshot
from engine.transaction import Kind, Transaction

__all__ = ["ChannelCore"]

Rows = list[dict[str, Any]]


class ChannelCore:
    """See the module. ``node_id``: this node, whose own connections are not in ``census``; ``sessions``: whether the rows of
    ``realtime.sessions`` are wanted; ``timers``: those of conflation.
    """

    def __init__(
        self,
        position: Lsn,
        node_id: str = "",
        *,
        sessions: bool = False,
        timers: Timers | None = None,
    ) -> None:
        self.position = position
        self.census = ConnectionCensus(node_id)
        self.reader = RecordReader()
        self.unrecorded = UnrecordedMessages()
        self.presence = PresenceState()
        self.rooms = Rooms()
        self.routes = Routes()
        self.policies = WatchedRows()
        self.api_keys = WatchedRows("id")
        self.sessions = WatchedRows("id", ("id", "user_id", "expires_at", "revoked_at"))
        self.watched = {"content_policies": self.policies, "api_keys": self.api_keys}
        if sessions:  # as many as users: without need they are not kept
            self.watched["sessions"] = self.sessions
        self.access = AccessRules()
        self.kicks = Kicks()
        self.again = BroughtAgain()
        self.passed_over: list[Effect] = []
        """Of transactions that no snapshot shows yet, and that were passed over when they came: to be carried out."""
        self.hub = ChannelHub(timers)
        self.messages = 0
        self.count: Callable[[DecodedTransaction], None] = lambda _: None
        """Called with each transaction that has messages, when they are delivered. It takes no longer than they do."""
        self.count_from: Callable[[Lsn], None] = lambda _: None
        """Called after a change of history: of what was counted behind this position nothing is in the history at hand."""
        self._loads = 0
        self._concerned: set[str] = set()  # channels and patterns whose rules or metadata the transaction changes
        self._closings: dict[str, PlainEvent] = {}  # rooms that the transaction at hand closes
        self._base: Snapshot | None = None  # what load() brought; transactions it shows are skipped
        self._counted: Lsn = 0  # up to there all messages that the stream brings were counted

    def process(self, transaction: Transaction) -> Generator[None, None, list[Effect]]:
        """Take a transaction. Yields while it decodes and asks filters; delivers in one step at its end, and returns what
        is to be done.
        """
        if self._idle and transaction.is_plain:
            self.position = max(self.position, transaction.position)
            self.unrecorded.passed(transaction)
            return []
        decoded = start(transaction)
        yield from self.reader.read(transaction, decoded)
        transaction.annotation = meta = decoded.annotations.meta
        transaction.published = decoded.messages
        at = decoded.commit_time
        events = [MessageEvent(row, at, meta if row.trace is None else meta_of(row, meta)) for row in decoded.messages]
        yield from self.hub.judge(events)
        return (yield from self._apply(decoded, events))

    @property
    def _idle(self) -> bool:
        """Nothing is left to be done with the next transaction, whatever is in it."""
        return self._base is None and not self._concerned and not self._closings

    def _apply(self, decoded: DecodedTransaction, events: list[MessageEvent]) -> Generator[None, None, list[Effect]]:
        again = self.again.take(decoded)
        # What comes again was judged when the rooms were as they were then.
        channels = () if again else {row.channel for row in decoded.messages}
        closed = {channel for channel in channels if self.rooms.closed(channel)}
        room_events = [] if not decoded.changes or self._shown(decoded) else self._apply_rights(decoded)
        shown_by = [(event, self.rooms.row(event.channel)) for event in room_events]
        loads = self._loads
        concerned, self._concerned = self._concerned, set()
        if concerned:
            closing = {event.channel for event in room_events if event.ends}
            reviewed = (each for each in matching(concerned, self.hub.channels) if each not in closing)
            yield from self.hub.review(reviewed)
        if loads != self._loads:  # a later state was loaded meanwhile, which subscribers have received
            room_events = [event for event, row in shown_by if self.rooms.row(event.channel) == row]
        return self._conclude(decoded, events, closed, room_events, again=again)

    @property
    def credentials(self) -> int:
        """How often API keys and sessions have changed."""
        return self.api_keys.version + self.sessions.version

    def seed(self, transactions: Iterable[Transaction]) -> None:
        """Transactions that were delivered before this core listened and that a snapshot might not show."""
        for transaction in transactions:
            self.unrecorded.append(self.reader.decode(transaction))

    def late(self, transaction: Transaction) -> None:
        """A transaction that committed before others that were delivered, about channels that nothing here looked at. It is
        not delivered: those who subscribe now find its messages in the past.
        """
        decoded = self.reader.decode(transaction)
        decoded.copies = self.routes.copies(decoded.messages)
        self.unrecorded.insert(decoded)
        self.reach(decoded.lsn)

    def reach(self, position: Lsn) -> None:
        """Everything up to ``position`` was delivered."""
        self.position = max(self.position, position)

    def proven(self, whole: Lsn | None) -> Lsn:
        """Up to there the stream has brought everything. ``whole``: as of :class:`engine.transaction.Discontinuity`."""
        return self.position if whole is None else min(self.position, whole - 1)

    def interrupted(self, *, other_history: bool, whole: Lsn | None = None) -> None:
        """The stream may bring again what was taken. ``whole``: see above. In another history messages are counted where the
        stream stood at the earliest, until it is known where it parted from the one before, or the tables were read.
        """
        self._counted = max(self._counted, self.proven(whole))
        self.again.interrupted(self.position, other_history=other_history)

    def parted(self, parted: Lsn, position: Lsn) -> None:
        """Another history begins behind ``parted`` (0: that is not known), and the stream goes on behind ``position``."""
        self._lower_count(parted)
        self.again.parted(self.position, parted)
        self.position = position

    def _lower_count(self, position: Lsn) -> None:
        self._counted = min(self._counted, position)
        self.count_from(position)

    def load(self, snapshot: Snapshot, tables: list[Rows], unseen: Iterable[Transaction]) -> None:
        """Start from the rows of presence, channels, channel_defaults, routes and rules that ``snapshot`` shows; catch up.

        Subscribers get the difference between what they have received and what is then. The snapshot alone may be older:
        the stream goes on while it is read. They may have lost their rights: ``hub.review()`` follows.
        """
        presence, rooms, defaults, routes, rules = tables
        self._loads += 1
        known = self.presence.loaded
        rooms_before = self.rooms.load(rooms, defaults)
        self.routes.load(routes)
        self.access.load(rules)
        if not known:  # what was delivered before the routes were known
            for entry in self.unrecorded.pending:
                entry.copies = self.routes.copies(entry.messages)
        presence_before = self.presence.load([presence_row(row) for row in presence])
        for transaction in {each.position: each for each in unseen}.values():  # the stream may have brought one again
            decoded = self.reader.decode(transaction)
            self._apply_rights(decoded)
            self._present(decoded)
            if self.again.was_passed_over(decoded.lsn):
                self.passed_over += effects_of(decoded)
        if known:
            for event in self.rooms.differences(rooms_before):
                self._room(event)
            self._show_presence(self.presence.differences(presence_before))
            self._close()
        # An earlier one may be of a history that a crash took back, whose transaction ids are those of others now.
        self._concerned.clear()
        self._base = snapshot if self.again.in_doubt or snapshot.position > self.position else None
        if self.again.in_doubt:
            self._lower_count(0)  # the stream has passed what both histories have, and does not bring it again
        self.again.loaded()

    def _conclude(
        self,
        decoded: DecodedTransaction,
        events: list[MessageEvent],
        closed: set[str],
        room_events: list[PlainEvent],
        *,
        again: bool,
    ) -> list[Effect]:
        """``closed``: channels of its messages that were closed before; ``again``: the stream brought it before."""
        self.position = max(self.position, decoded.lsn)
        shown = self._shown(decoded)
        for event in room_events:
            self._room(event)
        if decoded.changes and not shown:
            self._show_presence(self._present(decoded))
        # While the rooms are those of a later snapshot, it is not known whether they were closed already.
        if closed and self._base is None:
            self._refuse(decoded, closed)
        if len(self.routes):
            decoded.copies = self.routes.copies(decoded.messages)
        if not (again and self.unrecorded.has(decoded)):
            self.unrecorded.append(decoded)
        if not decoded:
            return []
        effects: list[Effect] = []
        if decoded.refused:
            effects.append(MessagesRefused(decoded.refused))
        if decoded.messages:
            if decoded.lsn > self._counted:
                self.messages += len(decoded.messages)
                self.count(decoded)
            effects.append(MessagesDelivered(decoded.messages))
            refused = {row.channel for row in decoded.refused}
            self.hub.messages([event for event in events if event.channel not in refused])
        self._close()
        return effects + effects_of(decoded)

    def _refuse(self, decoded: DecodedTransaction, closed: set[str]) -> None:
        """What commits after a room was closed is not delivered; a transaction that opens it again may use it."""
        closed = {channel for channel in closed if self.rooms.closed(channel)}
        decoded.refused = [row for row in decoded.messages if row.channel in closed]
        decoded.messages = [row for row in decoded.messages if row.channel not in closed]

    def _shown(self, decoded: DecodedTransaction) -> bool:
        if self._base is None:
            return False
        if decoded.lsn >= self._base.position:
            self._base = None
            return False
        return self._base.shows(decoded.xid)

    def _apply_rights(self, decoded: DecodedTransaction) -> list[PlainEvent]:
        """Rooms, rules and all else but presence change. Returns the events for subscribers of rooms."""
        events = []
        for change in decoded.changes:
            with self.reader.faults.at(decoded.lsn, f"a row of {change.table}"):
                if change.table in ("channels", "channel_defaults"):
                    for event in self.rooms.apply(change):
                        event.committed_at = decoded.commit_time
                        events.append(event)
                    self._concerned.update(_names(change))
                elif change.table == "routes":
                    self._route(change)
                elif change.table == "rules":
                    self._concerned |= self.access.apply(change)
                elif change.table in self.watched:
                    self.watched[change.table].apply(change)
                elif change.table == "connections":
                    self.census.apply(change)
        return events

    def _present(self, decoded: DecodedTransaction) -> list[PlainEvent]:
        """Apply the rows of presence. Returns the events for subscribers."""
        present = [change for change in decoded.changes if change.table == "presence"]
        events = self.presence.apply(present, decoded.commit_time, self._alone(decoded)) if present else []
        for event in events:
            event.committed_at = decoded.commit_time
        return events

    def _show_presence(self, events: Iterable[PlainEvent]) -> None:
        self.hub.presence(event for event in events if event.body["channel"] not in self._closings)

    def _alone(self, decoded: DecodedTransaction) -> Callable[[], AbstractContextManager[bool | None]]:
        """For each row of presence: what goes wrong with it is that row's affair."""
        return lambda: self.reader.faults.at(decoded.lsn, "a row of presence")

    def _room(self, event: PlainEvent) -> None:
        """Events for the subscribers of a room; its close comes last, behind the transaction's messages."""
        channel = event.body["channel"]
        if event.ends:
            self._closings[channel] = event
        elif channel not in self._closings:
            self.hub.to_channel(channel, event)

    def _close(self) -> None:
        """End the subscriptions to rooms that were closed. Their members cause no leave events."""
        while self._closings:
            channel, event = self._closings.popitem()
            self.hub.conflation.flush(channel)
            for subscription in self.hub.of(channel):
                member = subscription.member
                if self.presence.rows_of(member.connection_id, channel, member.presence_id) is None:
                    subscription.joined = False  # its presence went with the room
                subscription.finish(event)

    def _route(self, change: RowChange) -> None:
        if change.kind is Kind.TRUNCATE:
            self.routes.clear()
        elif (row := change.merged) is None:
            self.routes.remove(change.row.get("id"))
        else:
            self.routes.put(row)


def _names(change: RowChange) -> set[str]:
    """The rooms that a change of ``realtime.channels`` concerns. A room that has only closed is left to its closing."""
    if change.table != "channels":
        return set()
    if change.kind is Kind.TRUNCATE:
        return {"*"}
    return {name for row in (change.old, change.new) if row is not None and (name := row.get("name")) is not None}
