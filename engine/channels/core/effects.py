"""What is to be done once a transaction has been delivered: values that the core returns and the service carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from engine.channels.core.messages.decode import ControlMessage, DecodedTransaction, MessageRow, RowChange
from engine.transaction import Kind

__all__ = [
    "ConnectionDeleted",
    "ConnectionInserted",
    "ControlReceived",
    "Effect",
    "MessagesDelivered",
    "MessagesRefused",
    "MutesChanged",
    "PresenceChanged",
    "TableTruncated",
    "effects_of",
]


@dataclass(frozen=True, slots=True)
class MessagesDelivered:
    """Subscribers have these messages: acknowledge them to their publishers, and record their commit positions."""

    rows: list[MessageRow]


@dataclass(frozen=True, slots=True)
class MessagesRefused:
    """These messages committed after their room was closed and were delivered to no subscriber: remove them."""

    rows: list[MessageRow]


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """A row of ``realtime.presence`` was written or removed."""

    change: RowChange


@dataclass(frozen=True, slots=True)
class ConnectionInserted:
    """The row of a connection is visible to all nodes."""

    connection_id: str
    node_id: str | None
    user_id: str | None = None
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class ConnectionDeleted:
    """The row of a connection was removed: the connection ends."""

    connection_id: str


@dataclass(frozen=True, slots=True)
class TableTruncated:
    """``realtime.connections`` or ``realtime.presence`` lost all rows at once."""

    table: str


@dataclass(frozen=True, slots=True)
class MutesChanged:
    """A row of ``realtime.preferences`` was written or removed."""

    change: RowChange


@dataclass(frozen=True, slots=True)
class ControlReceived:
    """A control message: a kick, a message to connections, or the removal of a node."""

    message: ControlMessage


Effect: TypeAlias = (
    MessagesDelivered
    | MessagesRefused
    | PresenceChanged
    | ConnectionInserted
    | ConnectionDeleted
    | TableTruncated
    | MutesChanged
    | ControlReceived
)


def effects_of(decoded: DecodedTransaction) -> list[Effect]:
    """What its control messages and row changes mean for the connections of this node."""
    of_rows = (effect for effect in map(_effect, decoded.changes) if effect is not None)
    return [*map(ControlReceived, decoded.control_messages), *of_rows]


def _effect(change: RowChange) -> Effect | None:
    """What a row change means for the connections of this node; None: nothing, or the core has done it."""
    match change.table, change.kind:
        case "content_policies" | "api_keys" | "sessions", _:
            return None
        case "preferences", _:
            return MutesChanged(change)
        case table, Kind.TRUNCATE:
            return TableTruncated(table)
        case "presence", _:
            return PresenceChanged(change)
        case "connections", Kind.DELETE:
            return ConnectionDeleted(change.row.get("id") or "")
        case "connections", Kind.INSERT:
            row = change.row
            return ConnectionInserted(row.get("id") or "", row.get("node_id"), row.get("user_id"), row.get("ip"))
    return None
