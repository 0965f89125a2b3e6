"""What has to be done now and then: partitions made ahead, messages and notes of kicks expired. One node at a time, by an
advisory lock in SQL, or each other rows. What fails does not stop the rest.
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
            for work in (self._make_partitions, self._drop_partitions, self._expire_messages, self._expire_kicks):
                try:
                    await work()
                except (psycopg.Error, UnavailableError) as error:
                    _log.warning("maintenance_failed", what=work.__name__.strip("_"), error=str(error).strip())
            await asyncio.sleep(self._settings.maintenance_interval)

    async def _make_partitions(self) -> None:
        await self._store.rows("engine_make_partitions", days=self._settings.partitions_ahead)

    async def _drop_partitions(self) -> None:
        while (await self._store.rows("engine_drop_partitions"))[0]["dropped"]:
            pass

    async def _expire_messages(self) -> None:
        await self._expire("engine_expire_messages")

    async def _expire_kicks(self) -> None:
        await self._expire("engine_expire_kicks")

    async def _expire(self, name: str) -> None:
        """In short transactions, until there is nothing left."""
        while (await self._store.rows(name, most=_BATCH))[0]["removed"] >= _BATCH:
            pass
