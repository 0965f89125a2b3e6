"""Decoder for ``pgoutput``, the output plugin that every PostgreSQL has (protocol version 1, text values).

The format is PostgreSQL's "Logical Replication Message Formats". Row messages are only filed here, by kind and
relation; the columns are parsed when a change is asked for its ``new()`` or ``old()``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from engine.feed.decoders.base import (
    DDL_PREFIX,
    HEARTBEAT_PREFIX,
    MESSAGE_PREFIX,
    POSTGRES_EPOCH_US,
    PUBLICATION,
    MalformedStreamError,
    RelationNeededError,
    TableDescription,
)
from engine.feed.decoders.change_log import ChangeLog, Maker
from engine.transaction import UNCHANGED, Kind, Message, Relation, RelationColumn, Transaction, Value

__all__ = ["PgOutputDecoder"]

_BEGIN: Final = struct.Struct("!xQqI")
_COMMIT: Final = struct.Struct("!xxQQq")
_RELATION_COLUMN: Final = struct.Struct("!Ii")
_COUNT: Final = struct.Struct("!H")
_LENGTH: Final = struct.Struct("!I")
_MESSAGE: Final = struct.Struct("!xBQ")
_TUPLE_AT: Final = 6  # kind, relation oid, and the letter that introduces the tuple

Tuple = tuple[Value, ...]


def _read_tuple(raw: bytes, at: int) -> tuple[Tuple, int]:
    """Parse TupleData at ``at``; returns the values and where it ends."""
    (count,) = _COUNT.unpack_from(raw, at)
    at += 2
    values: list[Value] = []
    for _ in range(count):
        kind = raw[at]
        if kind == 0x74:  # 't': text
            (length,) = _LENGTH.unpack_from(raw, at + 1)
            start = at + 5
            at = start + length
            values.append(raw[start:at])
        elif kind == 0x6E:  # 'n': null
            values.append(None)
            at += 1
        elif kind == 0x75:  # 'u': an unchanged TOASTed value, not sent
            values.append(UNCHANGED)
            at += 1
        else:
            raise MalformedStreamError(f"pgoutput sent a column of unknown kind {kind:#x}")
    return tuple(values), at


class _Insert(msgspec.Struct, gc=False):
    relation: Relation
    raw: bytes
    kind: ClassVar[Kind] = Kind.INSERT

    def new(self) -> Tuple | None:
        return _read_tuple(self.raw, _TUPLE_AT)[0]

    def old(self) -> Tuple | None:
        return None


class _Update(msgspec.Struct, gc=False):
    relation: Relation
    raw: bytes
    kind: ClassVar[Kind] = Kind.UPDATE

    def new(self) -> Tuple | None:
        letter = self.raw[5]
        if letter == 0x4E:  # 'N': no old tuple precedes
            return _read_tuple(self.raw, _TUPLE_AT)[0]
        old, end = _read_tuple(self.raw, _TUPLE_AT)
        new = _read_tuple(self.raw, end + 1)[0]
        if letter == 0x4F:  # 'O': the whole old row was sent, and with it the values left alone
            return tuple(old[i] if value is UNCHANGED else value for i, value in enumerate(new))
        return new

    def old(self) -> Tuple | None:
        return None if self.raw[5] == 0x4E else _read_tuple(self.raw, _TUPLE_AT)[0]


class _Delete(msgspec.Struct, gc=False):
    relation: Relation
    raw: bytes
    kind: ClassVar[Kind] = Kind.DELETE

    def new(self) -> Tuple | None:
        return None

    def old(self) -> Tuple | None:
        return _read_tuple(self.raw, _TUPLE_AT)[0]


class _Truncate(msgspec.Struct, gc=False):
    relation: Relation
    raw: bytes
    kind: ClassVar[Kind] = Kind.TRUNCATE

    def new(self) -> Tuple | None:
        return None

    def old(self) -> Tuple | None:
        return None


_CHANGES: Final[dict[int, type[_Insert] | type[_Update] | type[_Delete] | type[_Truncate]]] = {
    0x49: _Insert,
    0x55: _Update,
    0x44: _Delete,
    0x54: _Truncate,
}


def _read_message(raw: bytes) -> Message:
    flags, _ = _MESSAGE.unpack_from(raw)
    end = raw.index(0, _MESSAGE.size)
    return Message(raw[_MESSAGE.size : end].decode(), raw[end + 5 :], bool(flags & 1))


def _perhaps_redefined(content: bytes) -> Message:
    """What stands for the message of an event trigger where there is none.

    pgoutput describes a relation again after each change of its definition (``rel_sync_cache_relation_cb``), and does not
    say which column has been dropped and made again under its name. It also does after ANALYZE, so this is only a hint.
    """
    return Message(DDL_PREFIX, content, transactional=True)


class PgOutputDecoder:
    """See :class:`engine.feed.decoders.base.Decoder`. Everything is in the stream: it never asks for a relation."""

    plugin = "pgoutput"

    def __init__(self, memory_limit: int = 16 << 20, spill_dir: Path | None = None) -> None:
        self._memory_limit = memory_limit
        self._spill_dir = spill_dir
        self._makers: dict[bytes, Maker] = {}  # by the first five bytes of a row message: kind and relation oid
        self._relations: dict[int, Relation] = {}
        self._ddl_announced = True
        self._log: ChangeLog | None = None
        self._begin: tuple[int, int, int] = (0, 0, 0)
        self._others = {
            0x42: self._on_begin,
            0x43: self._on_commit,
            0x52: self._on_relation,
            0x54: self._on_truncate,
            0x4D: self._on_message,
            0x59: self._ignore,
            0x4F: self._ignore,
        }

    def options(self) -> Sequence[dict[str, str]]:
        """The one set of options that every supported server (14 and later) knows."""
        return [{"proto_version": "1", "publication_names": f'"{PUBLICATION}"', "messages": "true"}]

    def use(self, choice: int) -> None:
        """Nothing to choose."""

    def expect_ddl_messages(self, announced: bool) -> None:
        """Without them, a relation that is described again may be another one."""
        self._ddl_announced = announced

    def provide(self, need: RelationNeededError, found: TableDescription | None) -> None:
        """Never asked for."""

    def reset(self) -> None:
        """A new walsender describes every relation again."""
        self._log = None
        self._makers.clear()

    def feed(self, payload: bytes) -> Transaction | None:
        """See :meth:`engine.feed.decoders.base.Decoder.feed`."""
        make = self._makers.get(payload[:5])
        if make is not None and self._log is not None:
            self._log.append(make, payload)
            return None
        try:
            handler = self._others[payload[0]]
        except (KeyError, IndexError):
            raise MalformedStreamError(f"pgoutput sent an unexpected message {payload[:16]!r}") from None
        try:
            return handler(payload)
        except (struct.error, ValueError, KeyError, IndexError) as error:
            raise MalformedStreamError(f"pgoutput sent a malformed message {payload[:64]!r}: {error}") from error

    def _ignore(self, payload: bytes) -> None:
        return None

    def _on_begin(self, payload: bytes) -> None:
        self._begin = _BEGIN.unpack(payload)
        self._log = ChangeLog(self._memory_limit, self._spill_dir)

    def _on_commit(self, payload: bytes) -> Transaction:
        commit_lsn, end_lsn, commit_time = _COMMIT.unpack(payload)
        log = self._open_log()
        self._log = None
        return Transaction(commit_lsn, end_lsn, self._begin[2], commit_time + POSTGRES_EPOCH_US, log)

    def _on_relation(self, payload: bytes) -> None:
        relation = _read_relation(payload)
        before = self._relations.get(relation.oid)
        if before is not None and not self._ddl_announced and relation.schema != "realtime":
            self._open_log().append(
                _perhaps_redefined, msgspec.json.encode({"tag": "RELATION", "oids": [relation.oid]})
            )
        if before == relation:
            relation = before  # sent again after any invalidation, such as ANALYZE: one object, whose hash is computed
        self._relations[relation.oid] = relation
        key = payload[1:5]
        for letter, change in _CHANGES.items():
            if letter != 0x54:
                self._makers[bytes((letter,)) + key] = partial(change, relation)

    def _on_truncate(self, payload: bytes) -> None:
        (count,) = _LENGTH.unpack_from(payload, 1)
        log = self._open_log()
        for oid in struct.unpack_from(f"!{count}I", payload, 6):
            log.append(partial(_Truncate, self._relations[oid]), b"")

    def _on_message(self, payload: bytes) -> Transaction | None:
        flags, lsn = _MESSAGE.unpack_from(payload)
        prefix = payload[_MESSAGE.size : payload.index(0, _MESSAGE.size)].decode()
        wanted = prefix.startswith(MESSAGE_PREFIX) and prefix != HEARTBEAT_PREFIX
        if flags & 1:
            if wanted:
                self._open_log().append(_read_message, payload)
            return None
        # Its LSN is the end of its record, where a commit record may start: one less keeps positions apart.
        return Transaction(lsn - 1, lsn, 0, 0, (_read_message(payload),) if wanted else ())

    def _open_log(self) -> ChangeLog:
        if self._log is None:
            raise MalformedStreamError("pgoutput sent a change outside a transaction")
        return self._log


def _read_relation(payload: bytes) -> Relation:
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
