"""One walsender session: START_REPLICATION over psycopg's ``pq`` layer, non-blocking. Reads frames without decoding them.

The format is PostgreSQL's "Streaming Replication Protocol". Reading is pull: a slow reader stops the server by TCP
back-pressure, while status updates continue, so ``wal_sender_timeout`` does not end the stream of a slow consumer.
"""

from __future__ import annotations

import struct
import time
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import generators, pq
from psycopg.abc import PQGen
from psycopg.waiting import Wait, wait_async

from engine.errors import BunbaseError
from engine.feed.decoders.base import POSTGRES_EPOCH_US
from engine.feed.diagnostics import explain_start, explain_stream
from engine.lsn import Lsn, format_lsn, parse_lsn
from engine.postgres.connections.conninfo import CONNECT_TIMEOUT
from engine.postgres.connections.opening import connect
from engine.postgres.connections.session_settings import READS_ANYWAY

__all__ = ["Keepalive", "ReplicationStream", "StreamEndedError", "read_timelines"]

_KEEPALIVE: Final = struct.Struct("!xQq?")
_STATUS: Final = struct.Struct("!cQQQq?")
_XLOG_HEADER: Final = 25  # 'w', WAL start, WAL end, time
_POLL: Final = 1.0  # seconds after which psycopg polls the socket without an event of the loop


class StreamEndedError(BunbaseError):
    """The server ended the stream without an error, as it does when it shuts down."""


class Keepalive(NamedTuple):
    """The server has sent everything up to ``position``; ``reply``: it requests a status update at once."""

    position: Lsn
    reply: bool


class ReplicationStream:
    """A replication connection, from connecting to the end of the stream.

    ``received``: a message was received since the flag was last reset.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.received = False
        self._connection = connection
        self._pq = connection.pgconn

    @classmethod
    async def connect(cls, dsn: str, application_name: str) -> ReplicationStream:
        """Open the connection, with the session settings that make values canonical. Raises ``psycopg.Error``."""
        connection = await connect(dsn, application_name, READS_ANYWAY, autocommit=True, replication="database")
        return cls(connection)

    @property
    def pid(self) -> int:
        """The walsender's process id."""
        return self._pq.backend_pid

    async def identify(self) -> tuple[str | None, str | None, str | None]:
        """The system's identifier, its timeline, and where its WAL ends. Raises ``StreamEndedError`` or
        ``psycopg.Error``.
        """
        system, timeline, position, _ = _rows(await self._answer("IDENTIFY_SYSTEM"))[0]
        return system, timeline, position

    async def command(self, text: str) -> list[tuple[str | None, ...]]:
        """Run one command of the replication protocol (not a START_REPLICATION). Raises ``psycopg.Error``."""
        return _rows(await self._command(text))

    async def ended_timelines(self, timeline: int) -> dict[int, Lsn]:
        """Where each timeline ended that the server's ``timeline`` continues: a commit record that begins before is in both.
        Empty if there is none, or the file is gone. Raises ``StreamEndedError`` or ``psycopg.Error``.
        """
        if timeline <= 1:
            return {}
        try:
            answer = await self._answer(f"TIMELINE_HISTORY {timeline}")
        except psycopg.errors.UndefinedFile:
            return {}
        return read_timelines(answer.get_value(0, 1) or b"")

    async def create_slot(self, name: str, plugin: str, *, failover: bool) -> Lsn:
        """Make a logical slot; returns where it starts. Waits for the transactions under way. Raises ``psycopg.Error``.

        If the task is cancelled, so is the command.
        The SQL function needs the attribute REPLICATION; this command needs no more than the connection.
        """
        options = "(SNAPSHOT 'nothing', FAILOVER)" if failover else "NOEXPORT_SNAPSHOT"
        rows = await self.command(f'CREATE_REPLICATION_SLOT "{name}" LOGICAL "{plugin}" {options}')
        return parse_lsn(rows[0][1] or "0/0")

    async def make_failover_slot(self, name: str) -> None:
        """Have standbys copy a slot that is not in use (PostgreSQL 17 and later). Raises ``psycopg.Error``."""
        await self.command(f'ALTER_REPLICATION_SLOT "{name}" (FAILOVER)')

    async def drop_slot(self, name: str) -> None:
        """Drop a slot that is not in use. Raises ``psycopg.Error``."""
        await self.command(f'DROP_REPLICATION_SLOT "{name}"')

    async def start(self, slot: str, position: Lsn, options: dict[str, str]) -> None:
        """Begin streaming from ``position`` (0: where the slot stands). Raises ``SlotUnusableError`` or
        ``psycopg.Error``.
        """
        listed = ", ".join(f"\"{name}\" '{value}'" for name, value in options.items())
        try:
            await self._answer(f'START_REPLICATION SLOT "{slot}" LOGICAL {format_lsn(position)} ({listed})')
        except psycopg.Error as error:
            raise explain_start(error) from error

    def read(self) -> bytes | Keepalive | None:
        """The payload of the next message, a keepalive, or None when nothing has arrived.

        Raises ``StreamEndedError`` when the server ends the stream, ``SlotUnusableError`` or ``UndecodableError`` when
        it cannot continue it, and ``psycopg.Error`` when the connection breaks.
        """
        length, view = self._pq.get_copy_data(1)
        if length == 0:
            self._pq.consume_input()
            length, view = self._pq.get_copy_data(1)
            if length == 0:
                return None
        if length > 0:
            self.received = True
            if view[0] == 0x77:  # 'w'
                return bytes(view[_XLOG_HEADER:])
            position, _, reply = _KEEPALIVE.unpack(view)
            return Keepalive(position, reply)
        raise self._ended()

    async def readable(self, timeout: float | None = None) -> None:
        """Wait until the socket has something to read, at most ``timeout`` seconds."""
        await self._wait(_until_readable(once=timeout is not None), _POLL if timeout is None else timeout)

    async def send_status(self, written: Lsn, flushed: Lsn, *, want_reply: bool = False) -> None:
        """Send a status update. ``flushed``: the position the slot may advance to. Raises ``psycopg.Error``."""
        now = time.time_ns() // 1000 - POSTGRES_EPOCH_US
        await self._wait(generators.copy_to(self._pq, _STATUS.pack(b"r", written, flushed, flushed, now, want_reply)))

    async def close(self) -> None:
        """Close the connection; the server notices at once."""
        await self._connection.close()

    async def _answer(self, text: str) -> pq.abc.PGresult:
        """The answer to a fast command. Raises ``StreamEndedError`` if there is none: the connection is dead."""
        try:
            return await self._command(text, CONNECT_TIMEOUT)
        except psycopg.errors._WaitTimeout:
            command = text.split(maxsplit=1)[0]
            raise StreamEndedError(f"the server did not answer {command} within {CONNECT_TIMEOUT} s") from None

    async def _command(self, text: str, timeout: float | None = None) -> pq.abc.PGresult:
        self._pq.send_query(text.encode())
        results: list[pq.abc.PGresult] = await self._connection.wait(generators.execute(self._pq), timeout=timeout)
        if not results:
            raise StreamEndedError("the server closed the connection")
        if results[-1].status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(results[-1])
        return results[-1]

    def _ended(self) -> Exception:
        result = None if self._pq.is_busy() else self._pq.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            return explain_stream(psycopg.errors.error_from_result(result))
        return StreamEndedError("the server ended the stream")

    async def _wait(self, generator: PQGen[None], interval: float = _POLL) -> None:
        """Wait as psycopg does while it copies.

        Not ``connection.wait``: that cancels the running command when the task is cancelled, and the command is the stream,
        which another task may still use.
        """
        await wait_async(generator, self._pq.socket, interval)


def read_timelines(history: bytes) -> dict[int, Lsn]:
    """Where earlier timelines ended, by the history file of a later one: lines of timeline, position and reason
    (PostgreSQL: ``src/backend/access/transam/timeline.c``). Others are passed over.
    """
    lines = (line.split(maxsplit=2)[:2] for line in history.decode(errors="replace").splitlines())
    return {
        int(each[0]): parse_lsn(each[1]) for each in lines if len(each) == 2 and each[0].isdigit() and "/" in each[1]
    }


def _rows(result: pq.abc.PGresult) -> list[tuple[str | None, ...]]:
    return [
        tuple(None if (v := result.get_value(i, j)) is None else bytes(v).decode() for j in range(result.nfields))
        for i in range(result.ntuples)
    ]


def _until_readable(*, once: bool) -> PQGen[None]:
    """Wait for the socket; with ``once`` no longer than one interval."""
    while not (yield Wait.R) and not once:
        pass
