"""The events of the feed, which everything downstream consumes. Plain data, no I/O.

Values are PostgreSQL's own text output (``bytes``), exactly as the stream and a text-format result carry
them under the session settings of ``engine.postgres.connections.session_settings``. They stay bytes until a predicate, an
order key or a payload needs them. ``None`` is SQL NULL. Two markers stand for values that the row has and the stream did
not send: ``UNCHANGED``, the value from before (an out-of-line, TOASTed value that an UPDATE did not set), and ``UNKNOWN``,
any value (wal2json before 2.6 prints NaN and infinities as null).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from operator import length_hint
from typing import Final, Protocol, cast

import msgspec

from engine.lsn import Lsn
from engine.tracing.messages import PublishedRow

__all__ = [
    "UNCHANGED",
    "UNKNOWN",
    "Change",
    "Discontinuity",
    "FeedEvent",
    "Kind",
    "Message",
    "Progress",
    "Relation",
    "RelationColumn",
    "Row",
    "Transaction",
    "Value",
]


class _NotSent:
    """The type of :data:`UNCHANGED` and :data:`UNKNOWN`; compare with ``is``."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


# Typed as values so that rows stay plain sequences of values; they are not bytes, so code that ignores them raises.
UNCHANGED: Final[bytes] = cast(bytes, _NotSent("UNCHANGED"))
UNKNOWN: Final[bytes] = cast(bytes, _NotSent("UNKNOWN"))

_SCHEMA: Final = "realtime"
_SHORT: Final = 16  # changes

Value = bytes | None
Row = Sequence[Value]


class Kind(IntEnum):
    """The operation of a change."""

    INSERT = 1
    UPDATE = 2
    DELETE = 3
    TRUNCATE = 4


class RelationColumn(msgspec.Struct, frozen=True, gc=False):
    """A column as the stream describes it. ``is_key``: part of the replica identity; ``attnum`` 0: not known."""

    name: str
    type_oid: int
    type_mod: int
    is_key: bool
    attnum: int = 0


class Relation(msgspec.Struct, frozen=True, cache_hash=True):
    """A table as the stream describes it at one moment: a value, equal to every other one with the same content.

    A decoder keeps one object per definition, and the hash is computed once, so a lookup by relation costs no more than
    one by object identity.

    ``replica_identity`` is ``d`` (primary key), ``n`` (nothing), ``f`` (full) or ``i`` (index), as in
    ``pg_class.relreplident``. For a partition published through its root this is the root.
    ``columns`` are those the stream sends, in the order in which rows carry them.
    """

    oid: int
    schema: str
    name: str
    replica_identity: str
    columns: tuple[RelationColumn, ...]


class Change(Protocol):
    """One row change, decoded on access: a change that no query needs costs next to nothing.

    * INSERT: ``new()`` is the whole row, ``old()`` is None.
    * UPDATE: ``new()`` may hold ``UNCHANGED``; ``old()`` is None when the replica identity did not change
      (then it can be read from ``new()``), else a row with the identity columns (identity FULL: all columns).
    * DELETE: ``old()`` holds the identity columns, others None (identity FULL: all columns).
    * TRUNCATE: neither.
    """

    @property
    def kind(self) -> Kind:
        """The operation."""
        ...

    @property
    def relation(self) -> Relation:
        """The table, as it was at that moment."""
        ...

    def new(self) -> tuple[Value, ...] | None:
        """The row after the change."""
        ...

    def old(self) -> tuple[Value, ...] | None:
        """The replica identity (or the whole row) before the change."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A logical message (``pg_logical_emit_message``)."""

    prefix: str
    content: bytes
    transactional: bool


@dataclass(slots=True)
class Transaction:
    """A committed transaction, in commit order.

    ``position`` is the commit LSN, which clients see; ``end`` the LSN after the commit record, which is what
    the slot is confirmed with; ``xid`` the 32-bit top-level transaction id of the stream; ``commit_time``
    microseconds since the Unix epoch. ``changes`` may be iterated many times and may live in a spill file: a
    million rows never need a million objects. A non-transactional message comes as a transaction of its own
    with ``xid`` 0. ``tables``: oids of the tables that it changed (a partition's exposed root), filled in by the live
    queries while they process the changes, so that later reads can select transactions by table. ``received_at``: when the
    feed had all of it, in microseconds since the Unix epoch by this machine's clock; 0: not known. It is not compared: two
    processes that decode the same frames have equal transactions. ``annotation``, its annotations merged, a JSON object, and
    ``published``, its messages, are filled in by the channels and taken away again when it was applied. ``late``: it comes
    behind others that committed after it, since nothing looked at its table before; it has ``tables`` already.
    """

    position: Lsn
    end: Lsn
    xid: int
    commit_time: int
    changes: Iterable[Change | Message] = field(default=())
    tables: frozenset[int] = frozenset()
    received_at: int = field(default=0, compare=False)
    annotation: bytes | None = field(default=None, compare=False)
    published: Sequence[PublishedRow] = field(default=(), compare=False)
    late: bool = field(default=False, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether it certainly has nothing but changes of other tables than those of the schema ``realtime``. A look at each
        change; that of a transaction with many is not taken.
        """
        if length_hint(self.changes, _SHORT + 1) > _SHORT:
            return False
        for change in self.changes:  # noqa: SIM110 - a generator takes twice as long
            if isinstance(change, Message) or change.relation.schema == _SCHEMA:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Progress:
    """Every transaction that committed before ``position`` has been delivered.

    ``recorded``: of those that committed before it, the process that records for all that follow the slot has recorded where
    their messages committed; 0: that is not reported. ``followed``: the transactions of further tables come from here on
    (:mod:`engine.feed.table_interest`); 0: no new ones.
    """

    position: Lsn
    recorded: Lsn = 0
    followed: int = 0


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """Results that were read before this point may be wrong: all of them have to be read again.

    ``missing``: transactions may be missing from the stream, too (a new slot was made). If false, the stream is complete,
    but the server may have lost transactions that snapshots have shown, and may assign their ids to others.
    ``other_history``: the server has another history (a standby was promoted, a backup restored), which may lack
    transactions that were delivered. Delivered transactions that it contains are visible to every later snapshot.
    ``safe``: where ``missing`` is false, results of snapshots that show nothing beyond this position are right.
    ``whole``: where ``missing`` is true, no transaction was missing that committed before this position, though some behind
    it may have been delivered; None: none before the last one that was delivered.
    """

    reason: str
    missing: bool = True
    other_history: bool = False
    safe: Lsn = 0
    whole: Lsn | None = None


FeedEvent = Transaction | Progress | Discontinuity
