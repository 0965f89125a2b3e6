"""Which relay of a slot leads: an advisory lock of PostgreSQL, and a lease on top.

Theory of operation
-------------------
The lock belongs to a session of its own. If the leading relay ends, so does its session, and the next look of a standby
takes the lock. A relay that is stopped or cut off keeps its session, as far as PostgreSQL knows. So the leading one runs a
statement four times in each ``lease``, and a standby that sees (``pg_stat_activity``) that there was none for a lease ends
that session and the WAL sender of the slot. No table has the lease, and times are those of the database's clock.

A database that answers slowly, and a machine on which a relay waits for its turn, must not end one term after the other.
So an answer may take several leases, the time that a standby's own look takes is not counted as the leading relay's silence,
a relay that has ended sessions lately tolerates more of it in the next one, and one that got no answer lately waits longer.

A relay whose session has ended does not lead any more (:meth:`Election.hold` raises), and the stream refuses what it
publishes (:mod:`engine.cluster.publisher`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Any, Final

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row

from engine.cluster.settings import ClusterSettings
from engine.errors import FeedError
from engine.postgres.connections.opening import UnansweredError, connect
from engine.postgres.connections.session_settings import READS_ANYWAY
from engine.postgres.statements.named_queries import query

__all__ = ["LATELY", "Allowance", "Election", "LeadershipLostError"]

_log = structlog.get_logger(__name__)

_LOOKS: Final = 10  # of a standby in each lease
_BEATS: Final = 4  # of the leading relay
_ANSWER: Final = 3  # leases that the database may take for an answer
LATELY: Final = 60
"""Leases for which a failure counts."""
_MAX_FACTOR: Final = 4  # times what is waited for otherwise


class LeadershipLostError(FeedError):
    """The session that holds the lock has ended."""


class Allowance:
    """How many times as long as otherwise is waited for what has failed lately, since it may only be slow: twice for each
    failure, four times at most. ``window``: seconds for which a failure counts.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._failed_at: deque[float] = deque(maxlen=_MAX_FACTOR)

    def failed(self, now: float) -> None:
        """It has failed. ``now``: monotonic."""
        self._failed_at.append(now)

    def factor(self, now: float) -> float:
        """See the class."""
        return float(min(2 ** sum(now - at < self._window for at in self._failed_at), _MAX_FACTOR))


class Election:
    """One relay's part in it. ``relay``: its name, which its session has.

    Attributes:
        leader: the name of the relay that leads, as far as it is known.
        deposed: how often this relay has ended the sessions of a silent one.
    """

    def __init__(self, dsn: str, settings: ClusterSettings, relay: str) -> None:
        self._dsn = dsn
        self._settings = settings
        self._relay = relay
        self._connection: psycopg.AsyncConnection[DictRow] | None = None
        self._proved_at = 0.0
        self._silence, self._answers = (Allowance(LATELY * settings.lease) for _ in range(2))
        self.leader: str | None = None
        self.deposed = 0

    @property
    def lease_age(self) -> float:
        """Seconds since this relay has proved that it leads; 0 if it does not."""
        return time.monotonic() - self._proved_at if self._proved_at else 0.0

    async def won(self) -> None:
        """Wait until this relay leads. Raises ``psycopg.Error`` or ``OSError`` if the database cannot be asked."""
        while True:
            asked = time.monotonic()
            row = await self._ask("relay_try_lead", slot=self._settings.slot)
            took = time.monotonic() - asked
            self.leader = row["leader"]
            if row["leads"]:
                self.leader, self._proved_at = self._relay, time.monotonic()
                _log.info("relay_leads", slot=self._settings.slot, relay=self._relay)
                return
            if row["silent"] is not None and row["silent"] > self._tolerated(asked) + took:
                _log.warning("relay_deposed", slot=self._settings.slot, relay=row["leader"], silent=row["silent"])
                await self._ask("relay_depose", pid=row["pid"], slot=self._settings.slot)
                self.deposed += 1
                self._silence.failed(asked)
                continue
            await asyncio.sleep(self._settings.lease / _LOOKS)

    def _tolerated(self, now: float) -> float:
        """Seconds of silence that end a term: a lease, and twice as much for each that this relay has ended lately."""
        return self._settings.lease * self._silence.factor(now)

    async def hold(self) -> None:
        """Keep the lease, until it is lost. Raises ``LeadershipLostError``."""
        while True:
            await asyncio.sleep(self._settings.lease / _BEATS)
            await self.prove()

    async def prove(self) -> None:
        """Make sure that this relay leads, and renew the lease. Raises ``LeadershipLostError``."""
        if self._connection is None or self._connection.closed:
            raise LeadershipLostError("the session of the lock was closed")
        try:
            await self._ask("relay_beat")
        except (psycopg.Error, OSError) as error:
            raise LeadershipLostError(f"the session of the lock has ended: {str(error).strip()}") from error
        self._proved_at = time.monotonic()

    async def resign(self) -> None:
        """Let another relay lead."""
        connection, self._connection, self.leader = self._connection, None, None
        self._proved_at = 0.0
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()

    async def _ask(self, name: str, **parameters: object) -> dict[str, Any]:
        try:
            return await self._answer(name, **parameters)
        except UnansweredError:
            self._answers.failed(time.monotonic())
            raise

    async def _answer(self, name: str, **parameters: object) -> dict[str, Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await connect(
                self._dsn,
                f"realtime relay {self._relay}",
                READS_ANYWAY,
                answer_timeout=_ANSWER * self._settings.lease * self._answers.factor(time.monotonic()),
                autocommit=True,
                row_factory=dict_row,
            )
        cursor = await self._connection.execute(query(name).encode(), parameters or None)
        row = await cursor.fetchone()
        return row or {}
