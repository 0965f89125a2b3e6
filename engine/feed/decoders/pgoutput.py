"""Decoder for ``pgoutput``, the output plugin that every PostgreSQL has (protocol version 1, text values).

The format is PostgreSQL's "Logical Replication Message Formats". Row messages are only filed here, by kind and
relation; the columns are parsed when a change is asked for its ``new()`` or ``old()``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from engine.feed.decoders.base import (
    HEARTBEAT_PREFIX,
    MESSAGE_PREFIX,
    POSTGRES_EPOCH_US,
    PUBLICATION,
    MalformedStreamError,
    RelationNeededError,
    TableDescription,
    Truncate,
)
from engine.feed.decoders.change_log import ChangeLog, Maker
from engine.feed.decoders.pgoutput_messages import (
    MESSAGE_HEAD,
    ROW_CHANGES,
    read_message,
    read_relation,
    redefined_message,
    truncate_message,
    truncated,
)
from engine.lsn import Lsn
from engine.transaction import Relation, Transaction

__all__ = ["PgOutputDecoder"]

_BEGIN: Final = struct.Struct("!xQqI")
_COMMIT: Final = struct.Struct("!xxQQq")
_DEFINITIONS: Final = 1000  # that are remembered


class PgOutputDecoder:
    """See :class:`engine.feed.decoders.base.Decoder`. Everything is in the stream: it never asks for a relation."""

    plugin = "pgoutput"

    def __init__(self, memory_limit: int = 16 << 20, spill_dir: Path | None = None) -> None:
        self._memory_limit = memory_limit
        self._spill_dir = spill_dir
        self._makers: dict[bytes, Maker] = {}  # by the first five bytes of a row message: kind and relation oid
        self._relations: dict[int, Relation] = {}
        self._described: dict[bytes, Relation] = {}
        self._ddl_announced = True
        self._log: ChangeLog | None = None
        self._xid = 0
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
        make, log = self._makers.get(payload[:5]), self._log
        if make is not None and log is not None:
            log.append(make, payload)
            return None
        try:
            handler = self._others[payload[0]]
        except (KeyError, IndexError):
            raise MalformedStreamError(f"pgoutput sent an unexpected message {payload[:16]!r}") from None
        try:
            return handler(payload)
        except (struct.error, ValueError, KeyError, IndexError) as error:
            raise MalformedStreamError(f"pgoutput sent a malformed message {payload[:64]!r}: {error}") from error

    def begin(self, xid: int) -> None:
        """What is fed from now on belongs to transaction ``xid``."""
        self._xid = xid
        self._log = ChangeLog(self._memory_limit, self._spill_dir)

    def commit(self, position: Lsn, end: Lsn, commit_time: int) -> Transaction:
        """The transaction that :meth:`begin` began, which has committed. ``commit_time`` in microseconds since 1970."""
        log, self._log = self._open_log(), None
        return Transaction(position, end, self._xid, commit_time, log)

    def _ignore(self, payload: bytes) -> None:
        return None

    def _on_begin(self, payload: bytes) -> None:
        _, _, xid = _BEGIN.unpack(payload)
        self.begin(xid)

    def _on_commit(self, payload: bytes) -> Transaction:
        position, end, commit_time = _COMMIT.unpack(payload)
        return self.commit(position, end, commit_time + POSTGRES_EPOCH_US)

    def _on_relation(self, payload: bytes) -> None:
        relation = self._described.get(payload) or self._describe(payload)
        before = self._relations.get(relation.oid)
        if before is not None and not self._ddl_announced and relation.schema != "realtime":
            self._open_log().append(read_message, redefined_message(relation))
        if before == relation:
            relation = before  # sent again after any invalidation, such as ANALYZE: one object, whose hash is computed
        self._relations[relation.oid] = relation
        for letter, change in ROW_CHANGES.items():
            self._makers[letter + payload[1:5]] = partial(change, relation)

    def _describe(self, payload: bytes) -> Relation:
        """Read a Relation message. Frames bring the same one with each transaction, so some are remembered."""
        if len(self._described) >= _DEFINITIONS:
            self._described.clear()
        relation = self._described[payload] = read_relation(payload)
        return relation

    def _on_truncate(self, payload: bytes) -> None:
        log = self._open_log()
        for oid in truncated(payload):
            log.append(partial(Truncate, self._relations[oid]), truncate_message(payload, oid))

    def _on_message(self, payload: bytes) -> Transaction | None:
        flags, lsn = MESSAGE_HEAD.unpack_from(payload)
        prefix = payload[MESSAGE_HEAD.size : payload.index(0, MESSAGE_HEAD.size)].decode()
        wanted = prefix.startswith(MESSAGE_PREFIX) and prefix != HEARTBEAT_PREFIX
        if flags & 1:
            if wanted:
                self._open_log().append(read_message, payload)
            return None
        log = ChangeLog(self._memory_limit, self._spill_dir)
        if wanted:
            log.append(read_message, payload)
        # Its LSN is the end of its record, where a commit record may start: one less keeps positions apart.
        return Transaction(lsn - 1, lsn, 0, 0, log)

    def _open_log(self) -> ChangeLog:
        if self._log is None:
            raise MalformedStreamError("pgoutput sent a change outside a transaction")
        return self._log
