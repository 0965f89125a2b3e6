"""The life of a relay's process: standby, leading, standby again.

Theory of operation
-------------------
A relay is *standby* until it has won the election, and leads for a term. The term ends when its session with the lock has
ended, when another relay has published, or when it can neither read the slot nor publish; it is a standby again then. A
relay that was asked to stop ends its term in order, and gives the lock back last, so another one takes over at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import psycopg
import structlog

from engine.cluster.election import LATELY, Allowance, Election, LeadershipLostError
from engine.cluster.identity import DatabaseIdentity, OtherDatabaseError, check_same, identity_of
from engine.cluster.messages import pulse_of
from engine.cluster.nats_errors import NatsFailedError, NatsRefusedError
from engine.cluster.nats_stream import connected
from engine.cluster.publisher import FencedError
from engine.cluster.settings import ClusterSettings
from engine.errors import BunbaseError
from engine.feed.settings import FeedSettings
from engine.lsn import format_lsn
from engine.postgres.reconnecting import Database
from engine.tasks import end
from server.analytics.settings import AnalyticsSettings
from server.cluster.relay_term import RelayTerm

__all__ = ["ENDINGS", "RelayService"]

_log = structlog.get_logger("realtime.relay")

_PAUSE = 0.5  # seconds after a term that failed, so that another relay has its turn
_REFUSED_PAUSE = 5.0  # seconds after one that an operator has to make possible
_LOOK = 2.0  # seconds for the look at the stream before the election
_ANSWER = 1.0  # seconds for each answer in it


ENDINGS = ("lock_lost", "fenced", "nats", "other_database", "feed")
"""Kinds of reasons for which a term ends: its lock was lost, another relay has published, NATS could not be reached, the
stream was of another database, the slot could not be read.
"""


def _ending_of(error: BaseException) -> str:
    kinds = {
        LeadershipLostError: "lock_lost",
        FencedError: "fenced",
        NatsFailedError: "nats",
        OtherDatabaseError: "other_database",
    }
    return next((name for kind, name in kinds.items() if isinstance(error, kind)), "feed")


class RelayService:
    """One relay. ``name``: in the cluster.

    Attributes:
        role: ``leader``, or ``standby``.
        terms: how often it has led.
        ended: how often a term has ended, by the kind of reason (see :data:`ENDINGS`).
        published: messages that NATS has acknowledged in terms that are over; ``published_bytes``: of their contents.
        problem: why it neither leads nor waits for its turn, in words; None: it does.
    """

    def __init__(
        self,
        dsn: str,
        feed: FeedSettings,
        cluster: ClusterSettings,
        name: str,
        version: str,
        analytics: AnalyticsSettings,
    ) -> None:
        self._dsn = dsn
        self._analytics = analytics
        self._feed = feed
        self._cluster = cluster
        self._version = version
        self._began = time.monotonic()
        self.name = name
        self.role: Literal["leader", "standby"] = "standby"
        self.terms = 0
        self.ended: Counter[str] = Counter()
        self.published = self.published_bytes = 0
        self.problem: str | None = None
        self.term: RelayTerm | None = None
        self.election = Election(dsn, cluster, name)
        self._nats = Allowance(LATELY * cluster.lease)
        self._unreached: str | None = None  # why the last term could not publish

    async def run(self) -> None:
        """Until the task is cancelled."""
        while True:
            pause = _PAUSE
            try:
                await self._once()
            except (BunbaseError, psycopg.Error, OSError) as error:
                pause = _REFUSED_PAUSE if isinstance(error, OtherDatabaseError | NatsRefusedError) else _PAUSE
                self.problem = str(error).strip().split("\n", 1)[0]
                _log.warning("relay_term_ended", slot=self._cluster.slot, relay=self.name, reason=self.problem)
                if self.role == "leader":
                    self._count(_ending_of(error))
                    self._unreached = self.problem if isinstance(error, NatsFailedError) else None
            finally:
                self.role = "standby"
                await self.election.resign()
            await asyncio.sleep(pause)

    def _count(self, ending: str) -> None:
        self.ended[ending] += 1
        if ending == "nats":
            self._nats.failed(time.monotonic())

    def _of_term(self) -> ClusterSettings:
        """NATS that was not reached in time may be slow, as all of a machine that has much to do. A term that ends for that
        is followed by one that needs as long for its begin, so the next ones give it more time.
        """
        cluster, factor = self._cluster, self._nats.factor(time.monotonic())
        return replace(cluster, publish_timeout=factor * cluster.publish_timeout, answer=factor * cluster.answer)

    async def _once(self) -> None:
        database = await self._own_stream()
        self.problem = None
        await self.election.won()
        self.role, self.problem = "leader", None
        self.terms += 1
        self.term = term = RelayTerm(
            self._dsn, self._feed, self._of_term(), self.name, database, self.election.prove, self._analytics
        )
        term.publisher.problem = self._unreached  # until it has reached NATS
        leading, holding = asyncio.create_task(term.run()), asyncio.create_task(self.election.hold())
        try:
            await asyncio.wait({leading, holding}, return_when=asyncio.FIRST_COMPLETED)
            for each in (holding, leading):
                if each.done():
                    each.result()
        finally:
            await end([holding, leading])
            self.term = None
            self.published += term.publisher.queue.acknowledged
            self.published_bytes += term.publisher.queue.acknowledged_bytes

    async def _own_stream(self) -> DatabaseIdentity:
        """The database; before it leads, and makes a slot, a relay looks whether the stream is of this one.

        Raises ``OtherDatabaseError``, and ``NatsRefusedError`` if its user may not look. Without an answer of NATS the
        publisher finds out.
        """
        async with Database(
            self._dsn, f"realtime relay {self.name} identity", self._cluster.publish_timeout
        ) as database:
            ours = await identity_of(database)
        look = replace(self._cluster, answer=_ANSWER)
        try:
            async with asyncio.timeout(_LOOK), connected(look, f"realtime relay {self.name}") as stream:
                last = await stream.last_pulse()
                if last is not None:
                    check_same(self._cluster, pulse_of(last), ours)
        except NatsRefusedError:
            raise
        except (NatsFailedError, TimeoutError):
            pass
        return ours

    def status(self) -> dict[str, Any]:
        """The body of ``GET /health``."""
        term = self.term
        feed = {} if term is None else self._of_feed(term)
        well = term is None or feed["state"] == "streaming"
        channels = None if term is None else term.channels
        problem = self.problem if term is None else term.publisher.problem
        problems = [problem] if problem else []
        problems += [] if channels is None else channels.problems
        problems += [] if term is None else term.feed.slot.problems
        return {
            "status": "ok" if well and not problems else "degraded",
            "role": self.role,
            "relay": self.name,
            "leader": self.election.leader,
            "terms": self.terms,
            "leaseAgeSeconds": round(self.election.lease_age, 3),
            **({} if term is None else {"feed": feed, "stream": self._of_stream(term)}),
            "problems": problems,
            "version": self._version,
            "uptimeSeconds": round(time.monotonic() - self._began),
        }

    def _of_feed(self, term: RelayTerm) -> dict[str, Any]:
        state, lag = term.feed.state, term.feed.lag
        return {
            "position": format_lsn(term.feed.received),
            "confirmed": format_lsn(term.feed.confirmed),
            "lagBytes": lag.bytes,
            "lagSeconds": round(lag.seconds, 3),
            "state": state.status,
            "reason": state.reason,
            "slot": self._cluster.slot,
            "decoder": term.feed.plugin,
        }

    def _of_stream(self, term: RelayTerm) -> dict[str, Any]:
        publisher = term.publisher
        return {
            "name": self._cluster.stream,
            "position": format_lsn(publisher.position),
            "acknowledged": format_lsn(publisher.reached),
            "waitingBytes": publisher.queue.size,
            "waitingMessages": len(publisher.queue),
            "sequence": publisher.stored,
            "generation": str(publisher.generation),
            "messages": publisher.queue.acknowledged,
            "bytes": publisher.queue.acknowledged_bytes,
        }
