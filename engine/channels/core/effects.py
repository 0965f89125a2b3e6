"""What is to be done once a transaction has been delivered: values that the core returns and the service carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from engine.channels.core.messages.decode import ControlMessage, MessageRow, RowChange

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
