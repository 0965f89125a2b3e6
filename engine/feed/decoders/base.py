"""The interface of a decoder: the payloads of one replication stream in, complete transactions out. No I/O.

Two exist, one per output plugin (``pgoutput``, ``wal2json``). For a definition that the stream does not carry, a decoder
raises :class:`RelationNeededError`; the driver looks it up, calls :meth:`Decoder.provide` and feeds the same payload again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

import msgspec

from engine.errors import BunbaseError, FeedError
from engine.transaction import Kind, Relation, Transaction, Value

__all__ = [
    "CHANNEL_MESSAGE_PREFIX",
    "COMMAND_PREFIX",
    "DDL_PREFIX",
    "HEARTBEAT_PREFIX",
    "MESSAGE_PREFIX",
    "POSTGRES_EPOCH_US",
    "PUBLICATION",
    "Decoder",
    "MalformedStreamError",
    "RelationNeededError",
    "TableDescription",
    "Truncate",
    "UndecodableError",
]

PUBLICATION: Final = "bunbase_realtime"
"""The publication that ``realtime.expose()`` fills."""

MESSAGE_PREFIX: Final = "realtime."
"""Logical messages with any other prefix belong to other programs; the decoders drop them."""

CHANNEL_MESSAGE_PREFIX: Final = "realtime.message"
"""Messages of channels without history, which are in no table."""

COMMAND_PREFIX: Final = "realtime.command"
"""Logical messages to nodes: kicks, messages to connections, the removal of a node."""

DDL_PREFIX: Final = "realtime.ddl"
HEARTBEAT_PREFIX: Final = "realtime.heartbeat"

POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 UTC, from which PostgreSQL counts, in microseconds since the Unix epoch."""


class UndecodableError(FeedError):
    """The stream breaks off, and is likely to break off again at the same place: a row that cannot be decoded.

    ``sqlstate``: the server's, None if it is the node that cannot read what was sent.
    """

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class MalformedStreamError(UndecodableError):
    """A message of the stream differs from the output plugin's documentation."""


@dataclass(frozen=True, slots=True)
class TableDescription:
    """The catalog's description of a table of the stream.

    ``relation`` is the exposed table; for a partition its exposed root, then ``partition`` is true. ``full``: the table
    itself (the partition, not the root) has REPLICA IDENTITY FULL.
    """

    relation: Relation
    partition: bool
    full: bool


class RelationNeededError(BunbaseError):
    """The decoder met a table it must know more about before it can decode this payload."""

    def __init__(self, schema: str, table: str) -> None:
        super().__init__(f"{schema}.{table}")
        self.schema = schema
        self.table = table


class Decoder(Protocol):
    """One output plugin's format.

    After an error in the middle of a transaction, or on a new connection, call :meth:`reset`.
    """

    @property
    def plugin(self) -> str:
        """The output plugin's name."""
        ...

    def options(self) -> Sequence[dict[str, str]]:
        """Options for START_REPLICATION, best first; the next is for a plugin too old to know the one before."""
        ...

    def use(self, choice: int) -> None:
        """Note which entry of :meth:`options` the server accepted."""
        ...

    def expect_ddl_messages(self, announced: bool) -> None:
        """Whether changes of definition come as ``realtime.ddl`` messages; false if event triggers cannot be created."""
        ...

    def feed(self, payload: bytes) -> Transaction | None:
        """Take the payload of one XLogData message; return the transaction it completes, if it does.

        A transaction without changes comes back too (``changes`` is empty): its ``end`` is progress.
        Raises ``RelationNeededError`` (nothing was consumed: feed the payload again) or ``MalformedStreamError``.
        """
        ...

    def provide(self, need: RelationNeededError, found: TableDescription | None) -> None:
        """Answer ``RelationNeededError``; None: the table is neither exposed nor published (or no longer there)."""
        ...

    def reset(self) -> None:
        """Forget the transaction under way and everything that belongs to one connection."""
        ...


class Truncate(msgspec.Struct, gc=False):
    """TRUNCATE, of either plugin: there is nothing to decode."""

    relation: Relation
    raw: bytes
    kind: ClassVar[Kind] = Kind.TRUNCATE

    def new(self) -> tuple[Value, ...] | None:
        """There are no rows."""
        return None

    def old(self) -> tuple[Value, ...] | None:
        """The stream does not carry the old rows."""
        return None
