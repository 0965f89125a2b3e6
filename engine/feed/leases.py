"""This node's lease in ``realtime.nodes``, and the removal of nodes whose lease has run out, with their slots."""

from __future__ import annotations

import logging
import os
import socket

import psycopg

from engine.errors import FeedError
from engine.feed.settings import FeedSettings
from engine.feed.slots import SlotBusyError, drop_own_slot
from engine.postgres.connection import Database

__all__ = ["leave", "register", "remove_expired"]

_log = logging.getLogger(__name__)


async def register(database: Database, settings: FeedSettings, *, lease: float | None = None) -> bool:
    """Write or renew this node's lease; True if that made its row.

    Raises ``FeedError`` if the slot belongs to another node.
    """
    try:
        rows = await database.rows(
            "feed_node_register",
            node=settings.node,
            slot=settings.slot_name,
            throw_away=settings.throw_away,
            host=socket.gethostname(),
            pid=os.getpid(),
            lease=settings.lease if lease is None else lease,
        )
    except psycopg.errors.UniqueViolation as error:
        owners = await database.rows("feed_node_owner", node=settings.node, slot=settings.slot_name)
        if owners and owners[0]["expired"]:
            await database.rows("feed_node_remove", node=owners[0]["id"], always=False)
            return await register(database, settings, lease=lease)
        owner = f"node {owners[0]['id']} on {owners[0]['host']}" if owners else "another node"
        raise FeedError(
            f"slot {settings.slot_name} belongs to {owner}: give each node a slot name of its own"
        ) from error
    return bool(rows[0]["made"])


async def remove_expired(database: Database, settings: FeedSettings) -> list[str]:
    """Remove the other nodes whose lease has run out, and their slots; returns the ids of those removed.

    A slot that is in use keeps its node's row, so that it is tried again; a slot without a row is never touched.
    """
    removed = []
    for row in await database.rows("feed_nodes_expired", node=settings.node):
        if row["active"]:
            continue
        if row["has_slot"]:
            try:
                await drop_own_slot(database, row["slot"])
            except SlotBusyError:
                continue  # it came back this very moment
            except FeedError as error:
                _log.info("%s: another node was faster", error)
        await database.rows("feed_node_remove", node=row["id"], always=False)
        _log.warning("node %s has not renewed its lease: removed, with its slot %s", row["id"], row["slot"])
        removed.append(str(row["id"]))
    return removed


async def leave(database: Database, settings: FeedSettings, *, for_good: bool) -> None:
    """This node stops on purpose. For good: its row goes. Else it keeps its slot, for ``keep_slot`` seconds."""
    if for_good:
        await database.rows("feed_node_remove", node=settings.node, always=True)
    else:
        await register(database, settings, lease=settings.keep_slot)
