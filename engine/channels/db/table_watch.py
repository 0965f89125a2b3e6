"""Looks now and then whether the tables of the schema ``realtime`` are all there."""

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


class TableWatch:
    """``problem``: which are not, and what to do, in words."""

    def __init__(self, store: Store) -> None:
        self.problem: str | None = None
        self._store = store

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                [row] = await self._store.rows("missing_tables")
            except (psycopg.Error, UnavailableError) as error:
                log.debug("tables_not_looked_at", error=str(error).strip())  # the feed says that the database is away
                continue
            problem = tables_missing(row["names"])
            if problem is not None and problem != self.problem:
                log.error("tables_missing", reason=problem)
            self.problem = problem
