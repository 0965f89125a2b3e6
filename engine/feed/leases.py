"""A node's lease in ``realtime.nodes`` with its slot in ``realtime.slots``, and the removal of both where it has run out."""

from __future__ import annotations

import logging
import os
import socket
from typing import Final

import psycopg
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from engine.errors import FeedError
from engine.feed.settings import FeedSettings
from engine.feed.slots import SlotBusyError, drop_own_slot
from engine.postgres.connection import Database
from engine.postgres.errors import TableLockedError
from engine.tasks import every

__all__ = ["NodeLease"]

_log = logging.getLogger(__name__)

_PASSING: Final = (psycopg.Error, OSError, FeedError)


class NodeLease:
    """This node's row and its slot's: registered before the slot is made, renewed while it is its own, and left in the end.

    As long as the lease holds, the other nodes leave the slot alone.

    Attributes:
        registered: this process has written the row.
        made: the row was not there before.
    """

    def __init__(self, database: Database, settings: FeedSettings) -> None:
        self._database = database
        self._settings = settings
        self._held = False
        self.registered = False
        self.made = False

    async def register(self) -> None:
        """Write the row, or renew its lease. Raises ``FeedError`` if the slot belongs to another node, ``psycopg.Error`` or
        ``OSError``.
        """
        made = await self._write(self._settings.lease)
        self.made = self.made or made
        self.registered = True

    def hold(self) -> None:
        """The slot is this node's: the lease is renewed from now on."""
        self._held = True

    async def renew(self) -> None:
        """Write the row now, if the lease is held; before that, the session registers the node as soon as it can.

        Raises as :meth:`register`.
        """
        if self._held:
            await self.register()

    async def run(self) -> None:
        """Renew the lease three times in its length, for ever, and remove nodes that did not."""
        await every(self._settings.lease / 3, self._look, self._failed, _PASSING)

    async def _look(self) -> None:
        """While ``realtime.nodes`` is locked the renewal waits for the lock without a pause. The leases of other nodes may
        have run out meanwhile for the same reason: they are looked at the next time.
        """
        if self._held:
            waiting = AsyncRetrying(retry=retry_if_exception_type(TableLockedError), before_sleep=self._note_lock)
            await waiting(self.renew)
            if waiting.statistics["attempt_number"] == 1:
                await self.remove_expired()

    def _note_lock(self, attempt: RetryCallState) -> None:
        if attempt.attempt_number == 1 and attempt.outcome is not None:
            error = attempt.outcome.exception()
            _log.warning("node %s: the lease waits for a lock: %s", self._settings.node, error)

    def _failed(self, error: Exception) -> None:
        _log.warning("node %s: %s", self._settings.node, str(error).strip().split("\n", 1)[0])

    async def remove_expired(self) -> None:
        """Remove the other nodes whose lease has run out, their slots, and slots whose node is gone.

        A slot that is in use keeps its row and its node's, so that it is tried again; a slot without a row is never touched.
        """
        settings = self._settings
        for row in await self._database.rows("feed_left_slots", node=settings.node, slot=settings.slot_name):
            if row["active"]:
                continue
            if row["has_slot"]:
                try:
                    await drop_own_slot(self._database, row["slot"])
                except SlotBusyError:
                    continue  # it came back this very moment
                except FeedError as error:
                    _log.info("%s: another node was faster", error)
            if row["id"] is None:
                await self._database.rows("feed_slot_remove", slot=row["slot"])
                _log.warning("slot %s belonged to a node that is gone: removed", row["slot"])
            else:
                await self._remove(row["id"], always=False)
                _log.warning("node %s has not renewed its lease: removed, with its slot %s", row["id"], row["slot"])

    async def leave(self, *, for_good: bool) -> None:
        """This node stops on purpose. For good: its row goes. Else it keeps its slot, for ``keep_slot`` seconds."""
        self._held = False
        if for_good:
            await self._remove(self._settings.node, always=True)
        else:
            await self._write(self._settings.keep_slot)

    async def _write(self, lease: float) -> bool:
        """Write the row; returns whether there was none."""
        settings = self._settings
        rows = await self._database.rows(
            "feed_node_register",
            node=settings.node,
            slot=settings.slot_name,
            ephemeral=settings.ephemeral,
            host=socket.gethostname(),
            pid=os.getpid(),
            lease=lease,
        )
        if rows:
            return bool(rows[0]["made"])
        owners = await self._database.rows("feed_node_owner", node=settings.node, slot=settings.slot_name)
        if owners and owners[0]["expired"]:
            await self._remove(owners[0]["id"], always=False)
            return await self._write(lease)
        owner = f"node {owners[0]['id']} on {owners[0]['host']}" if owners else "another node"
        raise FeedError(f"slot {settings.slot_name} belongs to {owner}: give each node a slot name of its own")

    async def _remove(self, node: str, *, always: bool) -> None:
        await self._database.rows("feed_node_remove", node=node, always=always)
