"""Reads the past of a channel: rows with their positions, and what is known of a position a client resumes from."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from engine.channels.core.messages.decode import MessageRow, message_row
from engine.channels.core.messages.model import Position, parse_position
from engine.lsn import Lsn, format_lsn, parse_lsn
from engine.postgres.snapshot import ReadResult, Snapshot
from engine.postgres.snapshot_reader import Reader
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.statement import Statement

__all__ = ["HistoryPage", "HistoryReader", "ResumeCheck"]


_UNLIMITED = (1 << 63) - 1
_LAST_SEQ = (1 << 63) - 1  # the largest bigint; no message has it


@dataclass(frozen=True, slots=True)
class ResumeCheck:
    """``removed``: the last position that has expired; ``known``: a transaction with messages committed there;
    ``epoch``: that of the database's history, empty if no server has adopted it yet.
    """

    removed: Position | None
    known: bool
    flushed: Lsn
    epoch: str


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Messages in commit order, and the snapshot that saw them.

    ``more``: there were more than asked for, or they have more bytes. ``check``: of the position that was asked for.
    """

    snapshot: Snapshot
    rows: list[MessageRow]
    more: bool = False
    check: ResumeCheck | None = None


class HistoryReader:
    """All reads of ``realtime.messages`` by the service."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def since(self, channel: str, position: Position, most: int, size: int = _UNLIMITED) -> HistoryPage:
        """Everything after ``position``, at most ``most`` messages with ``size`` bytes of payload together."""
        read = await self._read(
            "engine_replay_since",
            channel,
            format_lsn(position.lsn),
            _seq(position),
            str(most + 1),
            str(size),
        )
        rows = _rows(read)
        return HistoryPage(read.snapshot, rows[:most], len(rows) > most or _size(rows) > size)

    async def last(self, channel: str, count: int, before: Position, size: int) -> HistoryPage:
        """The last ``count`` messages before a position (that of a transaction: up to its end), fewer if they have more
        than ``size`` bytes of payload together.

        Another node may have recorded what this one has not received yet.
        """
        read = await self._read(
            "engine_replay_last", channel, str(count), format_lsn(before.lsn), _seq(before), str(size)
        )
        rows = _rows(read)[::-1]
        return HistoryPage(read.snapshot, rows, _size(rows) > size)

    async def transaction(self, channel: str, xid: int, first: str, last: str) -> list[MessageRow]:
        """The messages of a transaction (64-bit id) in ``channel``, stored between these times; their position is 0."""
        return _rows(await self._read("engine_replay_transaction", channel, str(xid), first, last))

    async def check(self, channel: str, position: Position) -> ResumeCheck:
        """To be asked after the rows were read: what expires meanwhile is then not overlooked."""
        read = await self._read("engine_replay_check", channel, format_lsn(position.lsn))
        removed, known, flushed, epoch = read.rows[0]
        return ResumeCheck(
            None if removed is None else parse_position(removed.decode()),
            known == b"t",
            parse_lsn((flushed or b"").decode()),
            (epoch or b"").decode(),
        )

    async def _read(self, name: str, channel: str, *parameters: str) -> ReadResult:
        statement = Statement(query(name), (_array([channel]), *parameters))
        for _ in range(self._reader.connections):  # all of them may have died at once
            try:
                return await self._reader.read(statement)
            except psycopg.OperationalError as error:
                if error.diag.severity_nonlocalized == "ERROR":
                    raise  # of the statement: the connection lives
                continue  # a connection of the pool was dead; it has been replaced
        return await self._reader.read(statement)


def _seq(position: Position) -> str:
    return str(min(position.seq, _LAST_SEQ))


def _array(items: list[str]) -> str:
    """A text array as PostgreSQL reads it."""
    quoted = ['"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items]
    return "{" + ",".join(quoted) + "}"


def _rows(read: ReadResult) -> list[MessageRow]:
    return [message_row(parse_lsn((row[0] or b"").decode()), row[1:]) for row in read.rows]


def _size(rows: list[MessageRow]) -> int:
    return sum(len(row.payload) for row in rows)
