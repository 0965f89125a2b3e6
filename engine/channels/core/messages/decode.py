"""What a transaction means to channels: the rows and messages of the ``realtime`` schema, by column name.

No I/O. Columns are found by name once per relation, so both decoders and later versions of the tables will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final

import msgspec

from engine.annotations import ANNOTATION_PREFIX, Annotations
from engine.channels.core.messages.fault_barrier import FaultBarrier
from engine.channels.core.messages.model import id_scope
from engine.feed.decoders.base import CHANNEL_MESSAGE_PREFIX, COMMAND_PREFIX
from engine.lsn import Lsn
from engine.tracing.messages import TRACE_PREFIX, CarriedTrace, TraceNote
from engine.transaction import UNCHANGED, Change, Kind, Message, Relation, Transaction, Value

__all__ = ["ControlMessage", "DecodedTransaction", "MessageRow", "RecordReader", "RowChange"]

_SCHEMA: Final = "realtime"
_WATCHED: Final = frozenset(
    (
        "presence",
        "connections",
        "channels",
        "channel_defaults",
        "routes",
        "preferences",
        "content_policies",
        "rules",
        "api_keys",
        "sessions",
    )
)
_Layout = Callable[[tuple[Value, ...]], tuple[Value, ...]] | bool

_INSERT: Final = Kind.INSERT  # an attribute of an enumeration is slow to find
_BATCH: Final = 1_000
_EPOCH_US: Final = 1_000_000
_NULL: Final = msgspec.Raw(b"null")

MESSAGE_COLUMNS: Final = (
    "seq",
    "channel",
    "event",
    "payload",
    "sender",
    "connection_id",
    "id",
    "audience",
    "priority",
    "inserted_at",
    "xid",
    "routed_from",
)


class MessageRow(msgspec.Struct, eq=False, gc=False):
    """A published message, from the table or (``seq`` is then its number in the transaction) without history.

    ``payload`` and ``audience`` are JSON text; ``inserted_at`` is PostgreSQL's text, in UTC. ``routed_from``: the channel
    a route brought it from. ``trace``: what its publisher's request is traced with.
    """

    lsn: Lsn
    seq: int
    channel: str
    event: str
    payload: bytes
    sender: str | None
    connection_id: str | None
    id: str
    audience: bytes | None
    priority: int
    inserted_at: str
    routed_from: str | None = None
    stored: bool = True
    trace: CarriedTrace | None = None

    @property
    def names_sender(self) -> bool:
        """A server or SQL published it in the name of ``sender``: it is not the user's own."""
        return self.connection_id is None and self.sender is not None


class ControlMessage(msgspec.Struct):
    """The logical message ``realtime.command``.

    ``committed_at``: when, in microseconds since 1970; ours, not the message's.
    """

    command: str
    key: str = ""
    channel: str | None = None
    user_id: str | None = None
    connection_id: str | None = None
    reason: str | None = None
    event: str | None = None
    payload: msgspec.Raw = _NULL
    sender: str | None = None
    id: str | None = None
    users: list[str] | None = None
    audience: msgspec.Raw = _NULL
    committed_at: int = 0
    priority: int = 0
    node: str | None = None


class _Ephemeral(msgspec.Struct):
    channel: str
    event: str
    key: str = ""
    payload: msgspec.Raw = _NULL
    sender: str | None = None
    connection_id: str | None = None
    id: str | None = None
    audience: msgspec.Raw = _NULL
    priority: int = 0
    routed_from: str | None = None
    trace: CarriedTrace | None = None


@dataclass(slots=True)
class RowChange:
    """A change of a watched table: the row before and after by column name, as PostgreSQL's text.

    What the stream did not send (identity columns only, a value left alone) is missing.
    """

    kind: Kind
    table: str
    old: dict[str, str | None] | None
    new: dict[str, str | None] | None

    @property
    def row(self) -> dict[str, str | None]:
        """The row after the change, or the deleted row."""
        return self.new or self.old or {}

    @property
    def former(self) -> dict[str, str | None]:
        """The row by whose values the change's row is known from before."""
        return self.old or self.new or {}

    @property
    def merged(self) -> dict[str, str | None] | None:
        """The row after the change, with what an UPDATE left alone: under replica identity full, that is in the old row.

        None: the row was deleted.
        """
        return None if self.new is None else {**(self.old or {}), **self.new}


@dataclass(slots=True)
class DecodedTransaction:
    """One transaction: messages sorted by their number, the rest in order; ``full_xid`` of the message rows, if there
    are any.

    ``refused``: messages that came after their room was closed; ``copies``: messages and the channels they are routed to;
    ``annotations``: those of the transaction; ``traces``: of stored messages, by channel, id and scope of the id.
    """

    lsn: Lsn
    end: Lsn
    commit_time: int
    xid: int
    messages: list[MessageRow] = field(default_factory=list)
    changes: list[RowChange] = field(default_factory=list)
    control_messages: list[ControlMessage] = field(default_factory=list)
    refused: list[MessageRow] = field(default_factory=list)
    copies: list[tuple[MessageRow, str]] = field(default_factory=list)
    full_xid: int = 0
    annotations: Annotations = field(default_factory=lambda: Annotations(None))
    traces: dict[tuple[str, str, str], CarriedTrace] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.messages or self.changes or self.control_messages or self.refused)


_decode_ephemeral: Final = msgspec.json.Decoder(_Ephemeral).decode
_decode_control: Final = msgspec.json.Decoder(ControlMessage).decode
_decode_trace: Final = msgspec.json.Decoder(TraceNote).decode


class RecordReader:
    """Reads transactions; keeps one layout per relation.

    ``key`` must be in logical messages (``realtime.settings.stream_key``): every role may emit one. None: not known yet.
    What cannot be read is skipped; ``faults`` counts it.
    """

    def __init__(self) -> None:
        self._layouts: dict[Relation, _Layout] = {}
        self._names: dict[Relation, list[str]] = {}  # of the columns of each
        self.faults = FaultBarrier()
        self.key: str | None = None

    def read(self, transaction: Transaction, into: DecodedTransaction) -> Iterator[None]:
        """Fill ``into``. Yields now and then."""
        into.annotations = Annotations(self.key)
        for number, change in enumerate(transaction.changes, 1):
            try:
                if isinstance(change, Message):
                    self._message(change, into)
                elif change.relation.schema == _SCHEMA:
                    self._row(change, into)
            except Exception as problem:  # noqa: BLE001 - every role may emit a message; one row is not worth the stream
                what = change.prefix if isinstance(change, Message) else f"a row of {change.relation.name}"
                self.faults.note(into.lsn, what, problem)
            if number % _BATCH == 0:
                yield
        if len(into.messages) > 1:
            into.messages.sort(key=lambda message: message.seq)
        if into.traces:
            for row in into.messages:
                row.trace = row.trace or into.traces.get((row.channel, row.id, id_scope(row.sender, row.connection_id)))

    def decode(self, transaction: Transaction) -> DecodedTransaction:
        """The same in one go."""
        into = start(transaction)
        for _ in self.read(transaction, into):
            pass
        return into

    def _row(self, change: Change, into: DecodedTransaction) -> None:
        layout = self._layouts.get(change.relation)
        if layout is None:
            layout = self._layouts[change.relation] = _layout(change.relation)
            self._names[change.relation] = [column.name for column in change.relation.columns]
        if layout is True:
            into.changes.append(_row_change(change, self._names[change.relation]))
        elif layout is not False and change.kind is _INSERT:
            row = change.new()
            assert row is not None
            values = layout(row)
            into.messages.append(message_row(into.lsn, values))
            full = int(values[10] or b"0")
            # A copied or invented xid would put the message where it does not belong; the stream knows better.
            if full & 0xFFFFFFFF == into.xid:
                into.full_xid = full

    def _message(self, message: Message, into: DecodedTransaction) -> None:
        if message.prefix == CHANNEL_MESSAGE_PREFIX:
            note = _decode_ephemeral(message.content)
            if self.key is None or note.key == self.key:
                into.messages.append(_ephemeral(note, into))
        elif message.prefix == COMMAND_PREFIX:
            control = _decode_control(message.content)
            control.committed_at = into.commit_time
            if self.key is None or control.key == self.key:
                into.control_messages.append(control)
        elif message.prefix == ANNOTATION_PREFIX:
            into.annotations.add(message)
        elif message.prefix == TRACE_PREFIX:
            trace = _decode_trace(message.content)
            if self.key is not None and trace.key == self.key:
                into.traces[trace.channel, trace.id, trace.scope] = trace


def start(transaction: Transaction) -> DecodedTransaction:
    """The empty result of ``transaction``."""
    return DecodedTransaction(transaction.position, transaction.end, transaction.commit_time, transaction.xid)


def message_row(lsn: Lsn, values: Sequence[Value]) -> MessageRow:
    """A row of ``MESSAGE_COLUMNS``, from the stream or from a query with the same session settings."""
    seq, channel, event, payload, sender, connection, id_, audience, priority, inserted, _, routed = values
    return MessageRow(  # without a call for each text
        lsn,
        int(seq or b"0"),
        channel.decode() if channel else "",
        event.decode() if event else "",
        payload or b"null",
        None if sender is None or sender is UNCHANGED else sender.decode(),
        None if connection is None or connection is UNCHANGED else connection.decode(),
        id_.decode() if id_ else "",
        audience,
        int(priority or b"0"),
        inserted.decode() if inserted else "",
        None if routed is None or routed is UNCHANGED else routed.decode(),
    )


def _ephemeral(note: _Ephemeral, into: DecodedTransaction) -> MessageRow:
    return MessageRow(
        into.lsn,
        len(into.messages) + 1,
        note.channel,
        note.event,
        bytes(note.payload),
        note.sender,
        note.connection_id,
        note.id or f"{into.lsn:x}-{len(into.messages) + 1}",
        None if bytes(note.audience) == b"null" else bytes(note.audience),
        note.priority,
        commit_text(into.commit_time),
        note.routed_from,
        stored=False,
        trace=note.trace,
    )


def commit_text(microseconds: int) -> str:
    """A commit time as PostgreSQL prints it in UTC."""
    return datetime.fromtimestamp(microseconds / _EPOCH_US, UTC).isoformat(" ").replace("+00:00", "+00")


def _layout(relation: Relation) -> _Layout:
    """What takes the columns of messages from a row; True: a watched table, False: of no interest."""
    if relation.name != "messages":
        return relation.name in _WATCHED
    names = [column.name for column in relation.columns]
    return itemgetter(*(names.index(name) for name in MESSAGE_COLUMNS))


def _row_change(change: Change, names: list[str]) -> RowChange:
    old, new = change.old(), change.new()
    return RowChange(change.kind, change.relation.name, _named(names, old), _named(names, new))


def _named(names: list[str], row: tuple[Value, ...] | None) -> dict[str, str | None] | None:
    if row is None:
        return None
    return {
        name: None if value is None else value.decode()
        for name, value in zip(names, row, strict=True)
        if value is not UNCHANGED
    }


def _text(value: Value) -> str | None:
    return None if value is None or value is UNCHANGED else value.decode()
