"""Decoder for ``wal2json``, format-version 2: one JSON object per change, BEGIN and COMMIT objects around them.

The plugin names the table (a partition by its own name) but neither its OID nor its replica identity, and knows no
publication: both come from the catalog, on demand, and are asked again after every ``realtime.ddl`` message. Row
messages are filed by table and layout (the columns' names and types as this very message lists them); values are parsed
when asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from engine.feed.decoders.base import (
    DDL_PREFIX,
    HEARTBEAT_PREFIX,
    MESSAGE_PREFIX,
    MalformedStreamError,
    RelationNeededError,
    TableDescription,
    Truncate,
)
from engine.feed.decoders.change_log import ChangeLog, Maker
from engine.feed.decoders.wal2json_rows import CHANGES, layout_for
from engine.lsn import parse_lsn
from engine.transaction import Kind, Message, Relation, RelationColumn, Transaction

__all__ = ["Wal2JsonDecoder", "read_message"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_ACTION_AT: Final = 11  # {"action":"I"
_KINDS: Final = {0x49: Kind.INSERT, 0x55: Kind.UPDATE, 0x44: Kind.DELETE}

# Inside a JSON string a quote is always escaped, so none of these can occur in a value or a name.
_TABLE: Final = b',"schema":'
_COLUMNS: Final = b',"columns":['
_IDENTITY: Final = b',"identity":['
_NAMES: Final = re.compile(rb'\{"name":("[^"\\]*(?:\\.[^"\\]*)*","typeoid":-?\d+)')

# Content is bytes to PostgreSQL, printed as if it were text: unescaped as bytes, whether or not it is valid UTF-8.
_ESCAPE: Final = re.compile(rb"\\(?:u00([0-9a-fA-F]{2})|(.))", re.DOTALL)
_LETTERS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class _TableName(msgspec.Struct):
    schema: str
    table: str


class _Envelope(msgspec.Struct):
    lsn: str
    xid: int | None = None
    timestamp: str | None = None
    nextlsn: str = ""


class _MessageHead(msgspec.Struct):
    prefix: str
    transactional: bool
    lsn: str
    content: msgspec.Raw


_decode_table: Final = msgspec.json.Decoder(_TableName).decode
_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_message: Final = msgspec.json.Decoder(_MessageHead).decode


class _Table:
    """An exposed or published table: its makers by kind and layout."""

    __slots__ = ("derived", "description", "forgiven", "makers")

    def __init__(self, description: TableDescription, forgiven: frozenset[tuple[bytes, ...]]) -> None:
        self.description = description
        self.forgiven = forgiven
        self.makers: dict[tuple[int, tuple[bytes, ...]], Maker] = {}
        self.derived: dict[tuple[RelationColumn, ...], Relation] = {}


class Wal2JsonDecoder:
    """See :class:`engine.feed.decoders.base.Decoder`."""

    plugin = "wal2json"

    def __init__(self, memory_limit: int = 16 << 20, spill_dir: Path | None = None) -> None:
        self._memory_limit = memory_limit
        self._spill_dir = spill_dir
        self._tables: dict[bytes, _Table | None] = {}
        self._relations: dict[int, Relation] = {}  # unchanged definitions keep their object
        self._log: ChangeLog | None = None
        self._exact_numbers = False
        self._ddl_announced = True
        self._requested: bytes = b""
        self._requested_names: tuple[bytes, ...] = ()

    def options(self) -> Sequence[dict[str, str]]:
        """With numbers as strings (wal2json 2.6 and later: distinguishes NaN from NULL), else without."""
        plain = {
            "format-version": "2",
            "include-transaction": "true",
            "include-xids": "true",
            "include-timestamp": "true",
            "include-lsn": "true",
            "include-types": "false",
            "include-type-oids": "true",
            "actions": "insert,update,delete,truncate",
        }
        return [plain | {"numeric-data-types-as-string": "true"}, plain]

    def use(self, choice: int) -> None:
        """Remember whether a null number is certain."""
        self._exact_numbers = choice == 0

    def expect_ddl_messages(self, announced: bool) -> None:
        """Without them, a description from the catalog is valid for one transaction."""
        self._ddl_announced = announced

    def provide(self, need: RelationNeededError, found: TableDescription | None) -> None:
        """Store the catalog's description; the layout that was requested is then used unchanged."""
        before = self._tables.get(self._requested)
        forgiven = frozenset((self._requested_names,)) | (before.forgiven if before else frozenset())
        if found is not None:
            known = self._relations.setdefault(found.relation.oid, found.relation)
            if known != found.relation:
                known = self._relations[known.oid] = found.relation
            found = TableDescription(known, found.partition, found.full)
        self._tables[self._requested] = None if found is None else _Table(found, forgiven)

    def reset(self) -> None:
        """Drop the descriptions: the catalog may have changed while there was no stream."""
        self._log = None
        self._tables.clear()

    def feed(self, payload: bytes) -> Transaction | None:
        """See :meth:`engine.feed.decoders.base.Decoder.feed`."""
        try:
            action = payload[_ACTION_AT]
            kind = _KINDS.get(action)
            if kind is not None:
                self._on_row(payload, kind)
                return None
            if action == 0x42:  # B
                self._log = ChangeLog(self._memory_limit, self._spill_dir)
                if not self._ddl_announced:
                    self._tables.clear()
                return None
            if action == 0x54:  # T
                self._on_truncate(payload)
                return None
            if action == 0x43:  # C
                return self._on_commit(payload)
            if action == 0x4D:  # M
                return self._on_message(payload)
        except (IndexError, ValueError, msgspec.MsgspecError) as error:
            raise MalformedStreamError(f"wal2json sent a malformed message {payload[:200]!r}: {error}") from error
        raise MalformedStreamError(f"wal2json sent an unexpected message {payload[:64]!r}")

    def _on_row(self, payload: bytes, kind: Kind) -> None:
        start = payload.index(_TABLE, _ACTION_AT)
        end = payload.find(_IDENTITY if kind is Kind.DELETE else _COLUMNS, start)
        if end < 0:
            end = len(payload) - 1  # a table without columns, or a row without identity
        key = payload[start:end]
        if self._tables.get(key, self) is None:
            return  # neither exposed nor published
        stop = payload.find(b"]" + _IDENTITY, end) if kind is Kind.UPDATE else -1
        names = tuple(_NAMES.findall(payload, end, len(payload) if stop < 0 else stop))
        make = self._maker(key, kind, names)
        if make is not None:
            self._open_log().append(make, payload)

    def _maker(self, key: bytes, kind: Kind, names: tuple[bytes, ...]) -> Maker | None:
        if key not in self._tables:
            self._ask(key, names)
        table = self._tables[key]
        if table is None:
            return None
        make = table.makers.get((kind, names))
        if make is None:
            layout = layout_for(table.description, kind, names, self._exact_numbers, table.derived)
            if not layout.shape.as_expected and names not in table.forgiven:
                self._ask(key, names)
            make = table.makers[kind, names] = partial(CHANGES[kind], layout)
        return make

    def _ask(self, key: bytes, names: tuple[bytes, ...]) -> None:
        self._requested, self._requested_names = key, names
        name = _decode_table(b"{" + key[1:] + b"}")
        raise RelationNeededError(name.schema, name.table)

    def _on_commit(self, payload: bytes) -> Transaction:
        commit = _decode_envelope(payload)
        log, self._log = self._open_log(), None
        return Transaction(
            parse_lsn(commit.lsn), parse_lsn(commit.nextlsn), commit.xid or 0, _microseconds(commit.timestamp), log
        )

    def _on_message(self, payload: bytes) -> Transaction | None:
        head = _decode_message(payload)
        wanted = head.prefix.startswith(MESSAGE_PREFIX) and head.prefix != HEARTBEAT_PREFIX
        if head.prefix == DDL_PREFIX:
            self._tables.clear()
        if head.transactional:
            if wanted:
                self._open_log().append(read_message, payload)
            return None
        # Its LSN is the end of its record, where a commit record may start: one less keeps positions apart.
        lsn = parse_lsn(head.lsn)
        log = ChangeLog(self._memory_limit, self._spill_dir)
        if wanted:
            log.append(read_message, payload)
        return Transaction(lsn - 1, lsn, 0, 0, log)

    def _on_truncate(self, payload: bytes) -> None:
        key = payload[payload.index(_TABLE, _ACTION_AT) : -1]
        if key not in self._tables:
            self._ask(key, ())
        table = self._tables[key]
        # A partition announces itself by a `realtime.ddl` message, as with pgoutput: its root is not empty now.
        if table is not None and not table.description.partition:
            self._open_log().append(partial(Truncate, table.description.relation), b"")

    def _open_log(self) -> ChangeLog:
        if self._log is None:
            raise MalformedStreamError("wal2json sent a change outside a transaction")
        return self._log


def read_message(raw: bytes) -> Message:
    """A logical message, as wal2json prints it."""
    head = _decode_message(raw)
    return Message(head.prefix, _ESCAPE.sub(_unescaped, bytes(head.content)[1:-1]), head.transactional)


def _unescaped(match: re.Match[bytes]) -> bytes:
    code, letter = match.groups()
    return bytes((int(code, 16),)) if code else _LETTERS.get(letter, letter)


def _microseconds(timestamp: str | None) -> int:
    # The zone printed is the session's, which is UTC; whole microseconds, so no float in between.
    if timestamp is None:
        return 0
    moment = datetime.fromisoformat(timestamp)
    if moment.tzinfo is None:
        raise ValueError(f"the timestamp {timestamp!r} has no zone")
    return (moment - _EPOCH) // _MICROSECOND
