"""Looks now and then whether the tables of the schema ``realtime`` are all there, and can be written to."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from engine.channels.core.model import UnavailableError
from engine.channels.db.store import Store
from engine.postgres.missing_tables import tables_missing

__all__ = ["TableWatch"]

log = structlog.get_logger(__name__)

_EVERY = 1.0  # seconds
_READ_ONLY = (
    "the database is set read-only: messages and presence are refused, live queries go on. "
    "They are taken again as soon as default_transaction_read_only is off (`alter database NAME reset "
    "default_transaction_read_only`, or the same for the role or in postgresql.conf)"
)


class TableWatch:
    """``problem``: what is wrong, and what to do, in words."""

    def __init__(self, store: Store) -> None:
        self.problem: str | None = None
        self._store = store

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                [row] = await self._store.rows("missing_tables")
                [mode] = await self._store.rows("engine_read_only")
            except (psycopg.Error, UnavailableError) as error:
                log.debug("tables_not_looked_at", error=str(error).strip())  # the feed says that the database is away
                continue
            self._note(
                "tables_missing" if row["names"] else "database_read_only",
                tables_missing(row["names"]) or (_READ_ONLY if mode["read_only"] else None),
            )
            if mode["read_only"]:
                self._store.renew()  # a session keeps what the database said as it began

    def _note(self, event: str, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            log.error(event, reason=problem)
        self.problem = problem
