"""Replication slots: make, inspect, list and drop them, with errors that name the obstacle.

How far a slot advances is not decided here: the stream driver confirms (:meth:`engine.stream.driver.StreamDriver.confirm`),
:mod:`engine.feed.positions` keeps the position, ``StreamingSession._report`` sends it to the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from engine.errors import FeedError
from engine.feed.replication_stream import ReplicationStream, StreamEndedError
from engine.lsn import Lsn
from engine.postgres.reconnecting import Database
from engine.postgres.statements.named_queries import query

__all__ = [
    "ANOTHER_NAME",
    "FAILOVER_SINCE",
    "Slot",
    "SlotBusyError",
    "SlotInfo",
    "create_slot",
    "drop_left_slot",
    "drop_own_slot",
    "drop_slot",
    "find_slot",
    "list_slots",
]

ANOTHER_NAME: Final = "choose another slot name (setting slot_name, in the environment REALTIME_SLOT_NAME)"
"""What to do about a slot that cannot be this node's. Not every command has a flag for it."""

FAILOVER_SINCE: Final = 170000
"""The first ``server_version_num`` with failover slots (docs: "Logical Replication Failover")."""

_LOOK_FOR_BLOCKERS_EVERY: Final = 1.0
_DEAD: Final = 3  # looks in a row at which the server has nothing to do and its answer has not arrived


class SlotBusyError(FeedError):
    """The slot is in use by another connection; it can be dropped or used once that connection has ended."""


_DROPPING: Final = AsyncRetrying(
    stop=stop_after_attempt(50),
    wait=wait_random(0.05, 0.15),
    retry=retry_if_exception_type(SlotBusyError),
    reraise=True,
)


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot as the feed sees it.

    ``lost``: why it can no longer be used, None if it can. ``endangered``: the next checkpoint may invalidate it.
    ``failover``: it is copied to standbys (PostgreSQL 17 and later).
    """

    name: str
    plugin: str
    database: str
    active_pid: int | None
    user: str | None
    lost: str | None
    confirmed: Lsn
    endangered: bool
    failover: bool


@dataclass(frozen=True, slots=True)
class SlotInfo:
    """One line of ``realtime slots``.

    ``type``: ``logical`` or ``physical``. ``kept``: ``temporary`` for one that goes with its connection, ``failover`` for
    one that is copied to standbys, ``synced`` for such a copy (both PostgreSQL 17 and later), else None. ``plugin`` and
    ``database`` are None for a physical slot. ``ours``: it is in this database's ``realtime.slots``; false also if this role
    may not read that. ``node`` and ``host``: the node whose slot it is, None if ``ours`` is false or the node was removed.
    ``lag_bytes``: WAL written since the position that the consumer has confirmed. ``lag_seconds`` is the best estimate
    the server can give: for an active slot how long the last confirmation took (0: up to date), for an inactive one
    since when it is inactive (PostgreSQL 17 and later), else None. ``retained_bytes``: WAL that the slot keeps from
    being removed. ``wal_status`` as in ``pg_replication_slots``; with the reason if the slot was invalidated.
    """

    name: str
    type: str
    kept: str | None
    plugin: str | None
    database: str | None
    active: bool
    ours: bool
    node: str | None
    host: str | None
    lag_bytes: int | None
    lag_seconds: float | None
    retained_bytes: int | None
    wal_status: str


async def list_slots(connection: psycopg.AsyncConnection[Any]) -> list[SlotInfo]:
    """Every slot of the cluster. Raises ``psycopg.Error``."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query("nodes_readable").encode())
        readable = await cursor.fetchone()
        owners: dict[str, dict[str, Any]] = {}
        if readable is not None and readable["readable"]:
            await cursor.execute(query("node_slots").encode())
            owners = {row["slot"]: row for row in await cursor.fetchall()}
        await cursor.execute(query("feed_slots").encode())
        rows = await cursor.fetchall()
    for row in rows:
        reason = row.pop("invalidation_reason")
        if reason:
            row["wal_status"] = f"{row['wal_status']} ({reason})"
        owner = owners.get(row["name"]) if row.pop("here") else None
        row["ours"] = owner is not None
        row["node"], row["host"] = (owner["id"], owner["host"]) if owner is not None else (None, None)
    return [SlotInfo(**row) for row in rows]


async def drop_slot(connection: psycopg.AsyncConnection[Any], name: str) -> None:
    """Drop a slot. Raises ``SlotBusyError`` if it is in use and ``FeedError`` if there is no such slot."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query("feed_slot").encode(), {"slot": name})
        row = await cursor.fetchone()
        if row is None:
            raise FeedError(f"there is no replication slot {name!r}")
        if row["active_pid"] is not None:
            raise SlotBusyError(f"slot {name} is in use by {row['user']}: stop that first")
        with _explained(name):
            await cursor.execute(query("feed_slot_drop").encode(), {"slot": name})


async def drop_own_slot(database: Database, name: str) -> None:
    """As :func:`drop_slot`, also as a role without the attribute REPLICATION, which the SQL function asks for."""
    try:
        await drop_slot(await database.connection(), name)
    except psycopg.errors.InsufficientPrivilege:
        stream = await ReplicationStream.connect(database.dsn, f"realtime slot {name}")
        try:
            with _explained(name):
                await stream.drop_slot(name)
        finally:
            await stream.close()


async def drop_left_slot(database: Database, name: str, walsender: int | None) -> None:
    """Drop the slot of a stream that was just closed, whose server's end was ``walsender``.

    The walsender ends when it notices that the connection is closed, which takes it a moment. Raises as :func:`drop_slot`,
    ``SlotBusyError`` only if another connection uses the slot.
    """
    async for attempt in _DROPPING.copy():
        with attempt:
            slot = await find_slot(database, name)
            if slot is None:
                return
            if attempt.retry_state.attempt_number > 1 and slot.active_pid is not None and slot.active_pid == walsender:
                await database.rows("feed_terminate", pid=walsender)
            await drop_own_slot(database, name)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UndefinedObject as error:
        raise FeedError(f"there is no replication slot {name!r}") from error
    except psycopg.errors.ObjectInUse as error:
        raise SlotBusyError(f"slot {name} is in use: {error.diag.message_primary}") from error


async def find_slot(database: Database, name: str) -> Slot | None:
    """The slot of that name, None if there is none. Raises ``FeedError`` if it cannot be one of ours."""
    rows = await database.rows("feed_slot", slot=name)
    if not rows:
        return None
    row = rows[0]
    if row["slot_type"] != "logical":
        raise FeedError(f"slot {name} is a physical slot: {ANOTHER_NAME}")
    lost = row["invalidation_reason"] or ("wal_removed" if row["wal_status"] == "lost" else None)
    return Slot(
        row["name"],
        row["plugin"],
        row["database"],
        row["active_pid"],
        row["user"],
        lost,
        row["confirmed"] or 0,
        row["wal_status"] == "unreserved",
        row["failover"],
    )


async def create_slot(
    stream: ReplicationStream,
    database: Database,
    name: str,
    plugin: str,
    report: Callable[[str], None],
    *,
    failover: bool,
) -> Lsn:
    """Make the slot over ``stream``; returns where it starts. ``failover`` needs PostgreSQL 17 or later.

    PostgreSQL waits for every running transaction that has written; ``report`` is called with their description meanwhile.
    Raises ``psycopg.Error``, or ``StreamEndedError`` if the connection is found dead.
    """
    creating = asyncio.ensure_future(stream.create_slot(name, plugin, failover=failover))
    idle = 0
    try:
        while not (await asyncio.wait({creating}, timeout=_LOOK_FOR_BLOCKERS_EVERY))[0]:
            idle = idle + 1 if await database.rows("idle_backends", pids=[stream.pid]) else 0
            if idle == _DEAD:
                raise StreamEndedError("the server has answered, and nothing arrived: the connection is dead")
            report(_waiting_for(name, await database.rows("feed_blockers", pid=stream.pid)))
    except BaseException:
        creating.cancel()  # cancels the command too: else the server would continue to wait
        await asyncio.gather(creating, return_exceptions=True)
        raise
    return await creating


def _waiting_for(name: str, blockers: list[dict[str, Any]]) -> str:
    if not blockers:
        return f"slot {name} is being made: waiting for the server to write out which transactions run"
    return f"slot {name} is being made: waiting for a transaction to end, of {', '.join(map(_blocker, blockers))}"


def _blocker(row: dict[str, Any]) -> str:
    if row["gid"] is not None:
        return (
            f"role {row['role']}, prepared {row['seconds']:.0f} s ago in database {row['database']} "
            f"(end it there: ROLLBACK PREPARED {row['gid']}, or COMMIT PREPARED {row['gid']})"
        )
    return (
        f"process {row['pid']} ({row['role']}, {row['application']}, {row['state']}, open for {row['seconds']:.0f} s)"
    )
