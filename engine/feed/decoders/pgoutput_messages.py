"""pgoutput's messages as bytes: rows, definitions of relations, logical messages. The decoder files them unread.

The format is PostgreSQL's "Logical Replication Message Formats".
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import ClassVar, Final

import msgspec

from engine.feed.decoders.base import DDL_PREFIX, MalformedStreamError
from engine.transaction import UNCHANGED, Kind, Message, Relation, RelationColumn, Value

__all__ = [
    "MESSAGE_HEAD",
    "ROW_CHANGES",
    "Delete",
    "Insert",
    "Update",
    "read_message",
    "read_relation",
    "redefined_message",
    "relation_message",
    "truncate_message",
    "truncated",
]

MESSAGE_HEAD: Final = struct.Struct("!xBQ")
"""Flags and LSN of a logical message."""

_RELATION_COLUMN: Final = struct.Struct("!Ii")
_COUNT: Final = struct.Struct("!H")
_LENGTH: Final = struct.Struct("!I")
_TUPLE_AT: Final = 6  # kind, relation oid, and the letter that introduces the tuple
_TRANSACTIONAL: Final = 1
_DEFINITIONS: Final = 1000  # that are remembered

Tuple = tuple[Value, ...]


def _read_tuple(raw: bytes, at: int) -> tuple[Tuple, int]:
    """Parse TupleData at ``at``; returns the values and where it ends. Raises ``MalformedStreamError``."""
    try:
        (count,) = _COUNT.unpack_from(raw, at)
        at += 2
        values: list[Value] = []
        add, length_at = values.append, _LENGTH.unpack_from
        for _ in range(count):
            kind = raw[at]
            if kind == 0x74:  # 't': text
                start = at + 5
                at = start + length_at(raw, at + 1)[0]
                add(raw[start:at])
            elif kind == 0x6E:  # 'n': null
                add(None)
                at += 1
            elif kind == 0x75:  # 'u': an unchanged TOASTed value, not sent
                add(UNCHANGED)
                at += 1
            else:
                raise MalformedStreamError(f"pgoutput sent a column of unknown kind {kind:#x}")
    except (IndexError, struct.error) as error:
        raise _too_short(raw) from error
    if at > len(raw):  # a value that is not all there would be another one
        raise _too_short(raw)
    return tuple(values), at


def _too_short(raw: bytes) -> MalformedStreamError:
    return MalformedStreamError(f"pgoutput sent a message that is shorter than it announces: {raw[:64]!r}")


def _letter(raw: bytes) -> int:
    """What introduces the first tuple of an Update message."""
    if len(raw) < _TUPLE_AT:
        raise _too_short(raw)
    return raw[_TUPLE_AT - 1]


class Insert(msgspec.Struct, gc=False):
    """An Insert message, columns unread."""

    relation: Relation
    raw: bytes
    kind: ClassVar[Kind] = Kind.INSERT

    def value(self, column: int) -> Value:
        """One value of the new row, without a look at those behind it. Raises ``MalformedStreamError``."""
        raw, at = self.raw, _TUPLE_AT + _COUNT.size
        try:
            for _ in range(column):
                at += 5 + _LENGTH.unpack_from(raw, at + 1)[0] if raw[at] == 0x74 else 1
            if raw[at] != 0x74:
                return None
            start = at + 5
            end = start + _LENGTH.unpack_from(raw, at + 1)[0]
        except (IndexError, struct.error) as error:
            raise _too_short(raw) from error
        if end > len(raw):
            raise _too_short(raw)
        return raw[start:end]

    def new(self) -> Tuple | None:
        """See :class:`engine.transaction.Change`."""
        return _read_tuple(self.raw, _TUPLE_AT)[0]

    def old(self) -> Tuple | None:
        """See :class:`engine.transaction.Change`."""
        return None


class Update(msgspec.Struct, gc=False):
    """An Update message, columns unread."""

    relation: Relation
    raw: bytes
    kind: ClassVar[Kind] = Kind.UPDATE

    def new(self) -> Tuple | None:
        """See :class:`engine.transaction.Change`."""
        letter = _letter(self.raw)
        if letter == 0x4E:  # 'N': no old tuple precedes
            return _read_tuple(self.raw, _TUPLE_AT)[0]
        old, end = _read_tuple(self.raw, _TUPLE_AT)
        new = _read_tuple(self.raw, end + 1)[0]
        if letter == 0x4F:  # 'O': the whole old row was sent, and with it the values left alone
            return tuple(old[i] if value is UNCHANGED else value for i, value in enumerate(new))
        return new

    def old(self) -> Tuple | None:
        """See :class:`engine.transaction.Change`."""
        return None if _letter(self.raw) == 0x4E else _read_tuple(self.raw, _TUPLE_AT)[0]


class Delete(msgspec.Struct, gc=False):
    """A Delete message, columns unread."""

    relation: Relation
    raw: bytes
    kind: ClassVar[Kind] = Kind.DELETE

    def new(self) -> Tuple | None:
        """See :class:`engine.transaction.Change`."""
        return None

    def old(self) -> Tuple | None:
        """See :class:`engine.transaction.Change`."""
        return _read_tuple(self.raw, _TUPLE_AT)[0]


ROW_CHANGES: Final[dict[bytes, type[Insert] | type[Update] | type[Delete]]] = {b"I": Insert, b"U": Update, b"D": Delete}
"""The change class of each kind of row message."""


def read_message(raw: bytes) -> Message:
    """A logical message, whose head has been read before. Raises ``MalformedStreamError``."""
    flags, _ = MESSAGE_HEAD.unpack_from(raw)
    end = raw.index(0, MESSAGE_HEAD.size)
    if len(raw) < end + 5 or len(raw) != end + 5 + _LENGTH.unpack_from(raw, end + 1)[0]:
        raise _too_short(raw)
    return Message(raw[MESSAGE_HEAD.size : end].decode(), raw[end + 5 :], bool(flags & _TRANSACTIONAL))


def redefined_message(relation: Relation) -> bytes:
    """A substitute for the message of an event trigger where there is none.

    pgoutput sends a relation again after each change of its definition (``rel_sync_cache_relation_cb``), and does not mark
    columns that were dropped and added again. It also does so after ANALYZE, so this is only a hint.
    """
    content = msgspec.json.encode({"tag": "RELATION", "oids": [relation.oid]})
    head = b"M" + struct.pack("!BQ", _TRANSACTIONAL, 0)
    return head + DDL_PREFIX.encode() + b"\0" + _LENGTH.pack(len(content)) + content


def truncated(raw: bytes) -> tuple[int, ...]:
    """The oids of the relations that a Truncate message names."""
    (count,) = _LENGTH.unpack_from(raw, 1)
    return struct.unpack_from(f"!{count}I", raw, 6)


def truncate_message(raw: bytes, oid: int) -> bytes:
    """The same message for one relation."""
    return raw[:1] + _LENGTH.pack(1) + raw[5:6] + _LENGTH.pack(oid)


def read_relation(payload: bytes) -> Relation:
    """The definition in a Relation message."""
    (oid,) = _LENGTH.unpack_from(payload, 1)
    schema_end = payload.index(0, 5)
    name_end = payload.index(0, schema_end + 1)
    identity = chr(payload[name_end + 1])
    (count,) = _COUNT.unpack_from(payload, name_end + 2)
    at = name_end + 4
    columns = []
    for _ in range(count):
        end = payload.index(0, at + 1)
        type_oid, type_mod = _RELATION_COLUMN.unpack_from(payload, end + 1)
        columns.append(RelationColumn(payload[at + 1 : end].decode(), type_oid, type_mod, bool(payload[at] & 1)))
        at = end + 9
    # The schema pg_catalog is sent as an empty string.
    schema = payload[5:schema_end].decode() or "pg_catalog"
    return Relation(oid, schema, payload[schema_end + 1 : name_end].decode(), identity, tuple(columns))


@lru_cache(maxsize=_DEFINITIONS)
def relation_message(relation: Relation) -> bytes:
    """The Relation message of ``relation``: what :func:`read_relation` reads, byte by byte as PostgreSQL writes it.

    Frames carry the same one with each transaction, so some are remembered.
    """
    schema = "" if relation.schema == "pg_catalog" else relation.schema
    parts = [b"R", _LENGTH.pack(relation.oid), schema.encode(), b"\0", relation.name.encode(), b"\0"]
    parts += [relation.replica_identity.encode(), _COUNT.pack(len(relation.columns))]
    for column in relation.columns:
        parts += [bytes((column.is_key,)), column.name.encode(), b"\0"]
        parts.append(_RELATION_COLUMN.pack(column.type_oid, column.type_mod))
    return b"".join(parts)
