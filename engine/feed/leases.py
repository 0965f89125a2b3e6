"""A node's lease in ``realtime.nodes`` with its slot in ``realtime.slots``, and the removal of both when it has expired.

Theory of operation
-------------------

The lease of this node goes through these states::

    NONE → REGISTERED → HELD → LEFT

NONE
    This process has written nothing.
REGISTERED
    ``register`` has written the rows, before the slot is made: a slot that other nodes find always has an owner. Each
    session registers again; until the lease is held, nothing else renews it.
HELD
    ``hold``: the session has the slot. ``run`` renews the lease three times per period and removes expired nodes.
LEFT
    ``leave``: the rows are deleted, or kept for ``keep_slot`` seconds. ``run`` does nothing any more. The final state.

Invariants: a slot whose row names a node with a lease that has not expired is not dropped by another node. A slot without
a row is never touched. A node whose own renewal was delayed by a lock removes no other node in that round. The expiry
is computed and compared by the clock of the database alone.

Callers: :class:`engine.feed.feed.Feed` runs and leaves it; :class:`engine.feed.startup.Startup` registers and holds it.
"""

from __future__ import annotations

import os
import socket
from typing import Final

import psycopg
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from engine.errors import FeedError
from engine.feed.settings import FeedSettings
from engine.feed.slots import SlotBusyError, drop_own_slot
from engine.postgres.errors import TableLockedError
from engine.postgres.reconnecting import Database
from engine.postgres.statements.sql_interface import schema_version
from engine.tasks import every

__all__ = ["NodeLease"]

_log = structlog.get_logger(__name__)

_PASSING: Final = (psycopg.Error, OSError, FeedError)


class NodeLease:
    """The rows of this node and its slot: registered before the slot is made, renewed while the slot belongs to this node.

    Other nodes do not touch the slot before the lease has expired.

    Args:
        has_slot: false for a worker, which follows the slot of a relay.

    Attributes:
        registered: this process has written the row.
        made: the row did not exist before.
    """

    def __init__(self, database: Database, settings: FeedSettings, *, has_slot: bool = True) -> None:
        self._database = database
        self._has_slot = has_slot
        self._settings = settings
        self._held = False
        self.registered = False
        self.made = False

    async def register(self) -> None:
        """Write the row, or renew its lease. Raises ``FeedError`` if the slot belongs to another node, ``psycopg.Error`` or
        ``OSError``.
        """
        made = await self._write(self._settings.lease, runs=True)
        self.made = self.made or made
        self.registered = True

    def hold(self) -> None:
        """The slot belongs to this node: renew the lease from now on."""
        self._held = True

    async def renew(self) -> None:
        """Write the row now, if the lease is held; before that, the session registers the node as soon as it can.

        Raises as :meth:`register`.
        """
        if self._held:
            await self.register()

    async def run(self) -> None:
        """Renew the lease three times per lease period, and remove nodes whose lease has expired; forever."""
        await every(self._settings.lease / 3, self._look, self._failed, _PASSING)

    async def _look(self) -> None:
        """Renew the lease, waiting for the lock while ``realtime.nodes`` is locked, then remove expired nodes.

        After a wait the removal is skipped once: the leases of other nodes may have expired because of the same lock.
        """
        if self._held:
            waiting = AsyncRetrying(retry=retry_if_exception_type(TableLockedError), before_sleep=self._note_lock)
            await waiting(self.renew)
            if waiting.statistics["attempt_number"] == 1:
                await self.remove_expired()

    def _note_lock(self, attempt: RetryCallState) -> None:
        if attempt.attempt_number == 1 and attempt.outcome is not None:
            error = str(attempt.outcome.exception())
            _log.warning("lease_waits_for_lock", node=self._settings.node, error=error)

    def _failed(self, error: Exception) -> None:
        reason = str(error).strip().split("\n", 1)[0]
        _log.warning("lease_not_renewed", node=self._settings.node, error=reason)

    async def remove_expired(self) -> None:
        """Remove other nodes whose lease has expired, their slots, and slots without a node.

        A slot in use keeps its row and its node's row, and is checked again later; a slot without a row is never touched.
        """
        settings = self._settings
        for row in await self._database.rows("feed_left_slots", node=settings.node, slot=settings.slot_name):
            if row["active"]:
                continue
            if row["has_slot"]:
                try:
                    await drop_own_slot(self._database, row["slot"])
                except SlotBusyError:
                    continue  # its node has just come back
                except FeedError as error:
                    _log.info("expired_slot_already_dropped", slot=row["slot"], error=str(error))
            if row["id"] is None:
                await self._database.rows("feed_slot_remove", slot=row["slot"])
                _log.warning("orphaned_slot_removed", slot=row["slot"])
            else:
                await self._remove(row["id"], always=False)
                _log.warning("expired_node_removed", node=row["id"], slot=row["slot"])

    async def leave(self, *, for_good: bool) -> None:
        """This node stops cleanly. ``for_good``: delete its row; else keep its slot for ``keep_slot`` seconds."""
        self._held = False
        if for_good:
            await self._remove(self._settings.node, always=True)
        else:
            await self._write(self._settings.keep_slot, runs=False)

    async def _write(self, lease: float, *, runs: bool) -> bool:
        """Write the row; returns whether it is new. The version stands in it only while the node runs: see ``migrate``."""
        settings = self._settings
        rows = await self._database.rows(
            "feed_node_register" if self._has_slot else "feed_worker_register",
            node=settings.node,
            slot=settings.slot_name,
            ephemeral=settings.ephemeral,
            host=socket.gethostname(),
            pid=os.getpid(),
            schema_version=schema_version() if runs else None,
            lease=lease,
        )
        if rows:
            return bool(rows[0]["made"])
        owners = await self._database.rows("feed_node_owner", node=settings.node, slot=settings.slot_name)
        if owners and owners[0]["expired"]:
            await self._remove(owners[0]["id"], always=False)
            return await self._write(lease, runs=runs)
        owner = f"node {owners[0]['id']} on {owners[0]['host']}" if owners else "another node"
        raise FeedError(f"slot {settings.slot_name} belongs to {owner}: give each node a slot name of its own")

    async def _remove(self, node: str, *, always: bool) -> None:
        await self._database.rows("feed_node_remove", node=node, always=always)
