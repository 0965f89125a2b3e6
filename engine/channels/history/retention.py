"""What has to be done now and then: partitions made ahead, messages expired. One node at a time, by an advisory
lock in SQL.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import psycopg
import structlog

from engine.channels.core.messages.decode import RecordReader
from engine.channels.core.messages.model import UnavailableError
from engine.channels.core.settings import ChannelSettings
from engine.channels.db.store import Store
from engine.postgres.errors import function_refuses, reason

__all__ = ["Retention"]

_BATCH = 10_000  # rows removed in one transaction

_log = structlog.get_logger(__name__)


class Retention:
    """See the module."""

    def __init__(self, store: Store, settings: ChannelSettings) -> None:
        self._store = store
        self._settings = settings
        self._began: datetime | None = None
        self._left = False

    async def prepare(self, reader: RecordReader) -> None:
        """Before a node takes part: learn the stream key, and remove the connections that an earlier run of it left behind.

        A trigger that refuses their removal does not stop the node: they are removed once it lets them (:meth:`clear`).
        """
        [row] = await self._store.rows("engine_settings")
        reader.key, self._began = row["stream_key"], row["now"]
        try:
            await self._forget()
        except psycopg.Error as error:
            if not function_refuses(error):
                raise
            _log.warning("earlier_connections_remain", error=reason(error))
            self._left = True

    async def clear(self) -> None:
        """Remove the connections of an earlier run, if :meth:`prepare` was refused that."""
        if self._left:
            await self._store.insistence.done("the removal of connections of an earlier run", self._forget)

    async def _forget(self) -> None:
        await self._store.keep("engine_forget_connections", node=self._settings.node_id, before=self._began)

    async def run(self) -> None:
        """Now, and every so often."""
        while True:
            try:
                await self._store.rows("engine_make_partitions", days=self._settings.partitions_ahead)
                while (await self._store.rows("engine_drop_partitions"))[0]["dropped"]:
                    pass
                await self._expire()
            except (psycopg.Error, UnavailableError) as error:
                _log.warning("maintenance_failed", error=str(error).strip())
            await asyncio.sleep(self._settings.maintenance_interval)

    async def _expire(self) -> None:
        """In short transactions, until there is nothing left."""
        while True:
            removed = (await self._store.rows("engine_expire_messages", most=_BATCH))[0]["removed"]
            if removed < _BATCH:
                return
