"""Locks that other sessions hold on the tables of the schema ``realtime``: what needs the table waits, or is refused.

A lock that is found twice in succession is named in the log and in ``/health``, until it is released. A lock is taken for
the same while its session is in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import psycopg
import structlog

from engine.postgres.errors import AWAY, reason
from engine.postgres.lock_holders import BLOCKS_INSERTS, holder_in_words, holders_of

__all__ = ["TableLocks"]

_log = structlog.get_logger(__name__)

_EVERY: Final = 0.5  # seconds between two looks
_SPELLED_OUT: Final = 3  # locks that are named
_Key = tuple[str, int | None]  # a table's name and a process, None: of a prepared transaction


class TableLocks:
    """Looks twice a second.

    Args:
        connection: lends a connection, also while others wait for a lock.
    """

    def __init__(self, connection: Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]]) -> None:
        self._connection = connection
        self._seen: Mapping[_Key, Mapping[str, Any]] = {}
        self._named: Mapping[_Key, Mapping[str, Any]] = {}

    @property
    def problem(self) -> str | None:
        """Which tables are locked, and by whom; None: none for longer than a moment."""
        words = [holder_in_words(row) for row in self._named.values()]
        if not words:
            return None
        more = [f"{len(words) - _SPELLED_OUT} more locks"] if len(words) > _SPELLED_OUT else []
        return f"{'; '.join([*words[:_SPELLED_OUT], *more])}. What needs the table waits or is refused until that ends"

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.look()

    async def look(self, stalled: Collection[str] = ()) -> bool:
        """Look once. A lock on one of the tables ``stalled`` (``schema.name``) is named at once.

        Returns whether one of these is locked.
        """
        try:
            rows = await self._rows()
        except (psycopg.Error, *AWAY) as error:
            _log.info(
                "table_locks_not_looked_at", error=reason(error) if isinstance(error, psycopg.Error) else str(error)
            )
            return False
        found = {(row["name"], row["pid"]): row for row in rows}
        named = {key: row for key, row in found.items() if key[0] in stalled or self._is_known(key, row)}
        self._note(named)
        self._seen = found
        return any(name in stalled for name, _ in named)

    def _is_known(self, key: _Key, row: Mapping[str, Any]) -> bool:
        """Whether the last look found the lock, too, in the same transaction (that began at ``since``)."""
        before = self._seen.get(key)
        return before is not None and before["since"] == row["since"]

    def _note(self, named: Mapping[_Key, Mapping[str, Any]]) -> None:
        before, self._named = self._named, named
        for key in named.keys() - before.keys():
            _log.warning("table_locked", reason=holder_in_words(named[key]))
        for name in _names(before) - _names(named):
            _log.info("table_unlocked", table=name)

    async def _rows(self) -> list[dict[str, Any]]:
        async with self._connection() as connection:
            return await holders_of(connection, None, BLOCKS_INSERTS)


def _names(keys: Iterable[_Key]) -> set[str]:
    return {name for name, _ in keys}
