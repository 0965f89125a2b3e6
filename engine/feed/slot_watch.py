"""How the slot is doing, as PostgreSQL sees it: looked at now and then, so that metrics and alerts need no query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import psycopg
import structlog

from engine.postgres.reconnecting import Database
from engine.tasks import every

__all__ = ["STATES", "SlotFigures", "SlotWatch"]

STATES: Final = ("reserved", "extended", "unreserved", "lost", "missing")
"""``wal_status`` of PostgreSQL's ``pg_replication_slots``, and ``missing``: there is no such slot."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SlotFigures:
    """``state``: one of ``STATES``. ``lag``: bytes of WAL behind the confirmed position; ``retained``: that the slot keeps
    from being removed; ``safe``: that can be written before the slot is in danger, None without ``max_slot_wal_keep_size``.
    ``server``: the version of PostgreSQL.
    """

    state: str
    lag: int
    retained: int
    safe: int | None
    server: str


class SlotWatch:
    """Looks every ``interval`` seconds. ``figures``: what was seen last; None: nothing yet."""

    def __init__(self, database: Database, slot: str, interval: float) -> None:
        self._database = database
        self._slot = slot
        self._interval = interval
        self.figures: SlotFigures | None = None
        self._absent: str | None = None

    @property
    def problems(self) -> list[str]:
        """Problems of the slot that an operator has to solve, in words."""
        if self._absent is None:
            return []
        return [
            f"the stream waits for standbys: synchronized_standby_slots names slots that no standby uses: {self._absent}"
        ]

    async def run(self) -> None:
        """Look, for ever."""
        try:
            await self.look()
        except (psycopg.Error, OSError) as error:
            self._failed(error)
        await every(self._interval, self.look, self._failed, (psycopg.Error, OSError))

    async def look(self) -> None:
        """Look now. Raises ``psycopg.Error`` or ``OSError``."""
        [row] = await self._database.rows("feed_slot_figures", slot=self._slot)
        self.figures = SlotFigures(**row)
        [row] = await self._database.rows("feed_absent_standbys", slot=self._slot)
        if row["slots"] != self._absent:
            self._absent = row["slots"]
            if self._absent is not None:
                _log.warning("standbys_awaited", slot=self._slot, absent=self._absent)

    def _failed(self, error: Exception) -> None:
        _log.info("slot_not_looked_at", slot=self._slot, error=str(error).strip().split("\n", 1)[0])
