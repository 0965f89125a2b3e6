"""The channel service's reads and writes of single rows: named queries over a small pool, errors in the protocol's words.

Commits are flushed before a statement returns (``synchronous_commit = local``), whatever the server's default: the slot is
confirmed and clients are answered because of these rows, so a crash must not take them back. They do not wait for a standby.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row
from psycopg_pool import PoolTimeout

from engine.channels.core.messages.model import ChannelFullError, Member, PresenceRefusedError, UnavailableError
from engine.channels.db.insistence import Insistence
from engine.channels.db.locked_queries import LockedQueries
from engine.channels.db.write_batcher import WriteBatcher
from engine.feed.decoders.base import HEARTBEAT_PREFIX
from engine.lsn import Lsn, parse_lsn
from engine.metrics.pools import PoolUsage
from engine.postgres.connections.opening import PooledConnection
from engine.postgres.connections.pool import Pool
from engine.postgres.errors import AWAY, OtherServerError, in_words, is_raised, reason
from engine.postgres.snapshot import Snapshot
from engine.postgres.statements.named_queries import query
from engine.shared_look import SharedLook
from engine.values.exact_json import write_exact

__all__ = ["Store", "split_presence"]

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_READ_ONLY: Final = "default_transaction_read_only"  # which PostgreSQL 14 and later report with each change
_FINAL = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, PoolTimeout)
_METADATA = frozenset(("name", "avatar"))
_MAX_PRESENCE = 8192  # bytes of JSON, as PostgreSQL prints it, that updates can add up to


def split_presence(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], bool | None]:
    """What a client sets as its metadata and state, and whether it is typing (None: it did not set that).

    ``name``, ``avatar`` and everything in ``metadata`` are metadata, the rest is state. Raises ``PresenceRefusedError``.
    """
    given = data.get("metadata", {})
    if not isinstance(given, Mapping):
        raise PresenceRefusedError("presence: 'metadata' must be an object")
    metadata = {**given, **{key: data[key] for key in _METADATA & data.keys()}}
    state = {key: value for key, value in data.items() if key not in _METADATA and key != "metadata"}
    typing: bool | None = None
    if "typing" in state or "status" in state:
        typing = state.get("typing") is True or state.get("status") == "typing"
    return metadata, state, typing


class Store:
    """See the module."""

    def __init__(
        self,
        dsn: str,
        node_id: str,
        size: int,
        timeout: float,
        saw: Callable[[Lsn, int], None] = lambda *_: None,
        *,
        pooled: bool = False,
    ) -> None:
        """``saw``: called with position and timeline of each snapshot before it is used, as a crash may take back what it
        shows. It raises ``OtherServerError`` if the stream is of another one.
        """
        self._node = node_id
        self._saw = saw
        self._size = size
        self._pooled = pooled
        self._pool = Pool(
            dsn,
            f"realtime channels {node_id}",
            {"synchronous_commit": "local"},
            size=size,
            timeout=timeout,
            limit=timeout,
            pooled=pooled,
            restored=True,
            row_factory=dict_row,
        )
        self._locked = LockedQueries()
        self.insistence = Insistence()
        self._committed = SharedLook(self._look_committed)
        self._flushed = SharedLook(self._look_flushed)
        self._batcher = WriteBatcher(self, self._locked)
        self._endings = WriteBatcher(self, self._locked)  # one that waits for a lock holds up no arrival

    async def open(self) -> None:
        """Open the pool."""
        await self._pool.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._committed.close()
        await self._flushed.close()
        await self._pool.close()

    def watch(self, connection: PooledConnection[DictRow]) -> None:
        """End ``connection``, which is not of the pool, when it dies without a word."""
        self._pool.watch(connection)

    def renew(self) -> None:
        """The way to the database may be another one: use new connections from now on."""
        self._pool.renew()

    @property
    def pool_usage(self) -> PoolUsage:
        """How much of its pool is in use."""
        return self._pool.usage

    @property
    def problem(self) -> str | None:
        """Why nothing can be stored or read, in words; None if nothing is known."""
        return self._pool.problem or self.insistence.problem

    async def attempt(
        self, work: Callable[[psycopg.AsyncConnection[DictRow]], Awaitable[T]], *, begins: bool = False
    ) -> T:
        """Do ``work`` with a connection in autocommit mode; connections that turn out to be dead are replaced.

        ``begins``: it begins a transaction, applying the settings (see :class:`engine.postgres.connections.pool.Pool`).
        So ``work`` may be done again although it was committed. Raises ``UnavailableError`` if the database cannot be
        reached.
        """
        for attempt in range(self._size + 1):
            try:
                async with self._pool.session() if begins else self._pool.connection() as connection:
                    return await work(connection)
            except AWAY as error:
                final = isinstance(error, _FINAL) or is_raised(error)
                passing = isinstance(error, psycopg.OperationalError) and not final
                if not passing or attempt == self._size:
                    raise UnavailableError(in_words(error)) from error
        raise AssertionError("the last attempt returns or raises")

    async def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        """Run a named query; see :meth:`attempt`. One that needs a locked table is refused, see ``LockedQueries``."""

        async def run(connection: psycopg.AsyncConnection[DictRow]) -> list[dict[str, Any]]:
            with self._locked.trying(name):
                cursor = await connection.execute(query(name).encode(), parameters or None)
            return await _fetched(cursor)

        self._locked.check(name)
        return await self.attempt(run)

    async def keep(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        """Run a named query that keeps the node's own books: also in a database that is set read-only
        (``default_transaction_read_only``), in which a node follows the stream all the same. See :meth:`attempt`.
        """

        async def run(connection: psycopg.AsyncConnection[DictRow]) -> list[dict[str, Any]]:
            statement = query(name).encode()
            if not self._pooled and connection.info.parameter_status(_READ_ONLY) == "off":
                with contextlib.suppress(psycopg.errors.ReadOnlySqlTransaction):  # from this moment on
                    return await _fetched(await connection.execute(statement, parameters or None))
            cursor = connection.cursor()
            async with connection.pipeline():
                await connection.execute(query("begin_write").encode())
                await self._pool.apply_settings(connection)
                await cursor.execute(statement, parameters or None)
                await connection.execute(query("end_write").encode())
            return await _fetched(cursor)

        return await self.attempt(run, begins=True)

    async def flushed(self) -> Lsn:
        """Up to where the WAL is flushed. All who ask share the looks. Raises ``UnavailableError``, also where a connection
        leads to another server than the stream, which may never get there.
        """
        return await self._flushed()

    async def _look_flushed(self) -> Lsn:
        [now] = await self.rows("engine_flushed")
        return self._position_of(now)

    def _position_of(self, row: Mapping[str, Any]) -> Lsn:
        """The position in ``row``, which is of the server of the stream. Raises ``UnavailableError``."""
        try:
            self._saw(0, int(row["timeline"], 16))
        except OtherServerError as error:
            self._pool.renew()
            raise UnavailableError(str(error)) from error
        return parse_lsn(row["position"])

    async def committed(self) -> Lsn:
        """A position behind every transaction that has committed by now, also where commits are not flushed at once
        (``synchronous_commit = off``): what is before it is flushed when this returns, so the stream will pass it.

        Clients cause this a hundred times a second each, and it may have to flush the WAL: all who ask share the looks.
        Raises ``UnavailableError``, also as :meth:`flushed`.
        """
        return await self._committed()

    async def _look_committed(self) -> Lsn:
        [now] = await self.rows("engine_inserted")
        if not now["whole"]:
            [now] = await self.rows("engine_flush", prefix=HEARTBEAT_PREFIX)
        return self._position_of(now)

    async def snapshot(self) -> Snapshot:
        """What a query that starts now would see."""
        return await self.attempt(self._read_snapshot)

    async def _read_snapshot(self, connection: psycopg.AsyncConnection[DictRow]) -> Snapshot:
        row = await (await connection.execute(query("current_snapshot").encode())).fetchone()
        assert row is not None
        text, position, timeline = row.values()
        snapshot = Snapshot.parse(text, parse_lsn(position))
        try:
            self._saw(snapshot.position, int(timeline, 16))
        except OtherServerError:
            self._pool.renew()
            raise
        return snapshot

    async def tables(self, *names: str) -> tuple[Snapshot, list[list[dict[str, Any]]]]:
        """The rows of several queries under one snapshot."""

        async def run(connection: psycopg.AsyncConnection[DictRow]) -> tuple[Snapshot, list[list[dict[str, Any]]]]:
            await connection.execute(query("begin_read").encode())
            await self._pool.apply_settings(connection)
            snapshot = await self._read_snapshot(connection)
            rows = [await (await connection.execute(query(name).encode())).fetchall() for name in names]
            await connection.execute(query("end_read").encode())
            return snapshot, rows

        return await self.attempt(run, begins=True)

    def connect(self, member: Member) -> asyncio.Future[list[dict[str, Any]]]:
        """Write the connection's row. Raises as ``WriteBatcher.begin``."""
        parameters: dict[str, object] = {
            "id": member.connection_id,
            "node": self._node,
            "user": member.user_id,
            "attributes": _json(dict(member.attributes)) if member.attributes else "{}",
            "transport": member.transport,
            "ip": member.ip,
        }
        return self._batcher.begin("engine_connect", parameters)

    async def join(self, channel: str, member: Member, data: Mapping[str, Any], limited: bool) -> None:
        """Become present. Raises ``ChannelFullError``, or ``PresenceRefusedError`` for what cannot be stored."""
        metadata, state, typing = split_presence(data)
        parameters = {
            "channel": channel,
            "connection": member.connection_id,
            "user": member.presence_id,
            "metadata": _json(metadata),
            "state": _json(state),
            "typing": typing,
            "capacity": None,
        }

        async def run(connection: psycopg.AsyncConnection[DictRow]) -> None:
            with self._locked.trying("engine_room_lock"):
                await enter(connection)

        async def enter(connection: psycopg.AsyncConnection[DictRow]) -> None:
            async with connection.transaction():
                room = await (await connection.execute(query("engine_room_lock").encode(), parameters)).fetchone()
                parameters["capacity"] = room["capacity"] if room else None
                if await (await connection.execute(query("engine_join").encode(), parameters)).fetchone() is None:
                    raise ChannelFullError(f"{channel} is full: its capacity is {parameters['capacity']}")

        try:
            if limited:
                self._locked.check("engine_room_lock")
                await self.attempt(run)
            else:
                await self._batcher.rows("engine_join", **parameters)
        except psycopg.errors.ForeignKeyViolation as error:
            # Its row or this node's was deleted; the stream brings that, and the client gets the reason.
            raise UnavailableError("this connection is about to be closed") from error
        except (psycopg.DataError, psycopg.errors.CheckViolation) as error:
            raise PresenceRefusedError(f"presence cannot be stored: {reason(error)}") from error

    async def is_limited(self, channel: str) -> bool:
        """Whether the room counts its members."""
        rows = await self._batcher.rows("engine_is_limited", channel=channel)
        return bool(rows[0]["limited"])

    async def drop(self, connection_id: str, clean: bool) -> None:
        """The connection has ended. ``clean``: the client closed it, so its presence ends; else its timeout begins."""
        await self._endings.rows("engine_close_connection" if clean else "engine_drop", id=connection_id)

    async def leave(self, channel: str, connection_id: str) -> None:
        """Leave at once."""
        await self._endings.rows("engine_leave", channel=channel, connection=connection_id)

    async def set_presence(self, channel: str, connection_id: str, data: Mapping[str, Any]) -> str:
        """Change what the others see. Returns the row's ``updated_at``. Raises ``PresenceRefusedError``."""
        metadata, state, typing = split_presence(data)
        try:
            changed = await self._batcher.rows(
                "engine_set_presence",
                channel=channel,
                connection=connection_id,
                metadata=_json(metadata),
                state=_json(state),
                typing=typing,
                most=_MAX_PRESENCE,
            )
        except (psycopg.DataError, psycopg.errors.CheckViolation) as error:
            raise PresenceRefusedError(f"presence cannot be stored: {reason(error)}") from error
        if not changed:
            raise PresenceRefusedError(f"you are not present in {channel}; subscribe to it with presence first")
        at: str | None = changed[0]["changed"]
        if at is None:
            raise PresenceRefusedError(
                f"presence would have more than {_MAX_PRESENCE} bytes of JSON with its earlier fields"
            )
        return at


def _json(value: Mapping[str, Any]) -> str:
    """JSON text with every digit of its numbers: a client may send any."""
    return write_exact(value).decode()


async def _fetched(cursor: psycopg.AsyncCursor[DictRow]) -> list[DictRow]:
    return await cursor.fetchall() if cursor.description else []
