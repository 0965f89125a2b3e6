"""Schedules reads on the connection pool, so that slow queries and locked tables cannot use up all connections.

Two lanes share the connections. Every query begins in the quick one, where a read is cut off after a short time. One that
was cut off goes on in the slow lane, which has a quarter of the connections and lets a read take its full time. So
however many queries are slow, or become so, most connections are free again within that short time. Inside a lane each
user has a share (:mod:`engine.postgres.fair_lane`), so one user's reads do not keep those of others waiting. Half of the
quick lane is for users who have not read much lately: many who do can make them wait no more than one can.

A read that waits for a lock is cut off soon, too. While a table is known to be locked one read at a time tries it; the
others wait for what that one finds, without a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Hashable, Iterable, Mapping, Set
from contextlib import asynccontextmanager

from engine.postgres.errors import TableLockedError
from engine.postgres.fair_lane import FairLane, ReadPlace

__all__ = ["Lanes"]

_Probe = asyncio.Future[str | None]  # who holds the lock, in words; None: it is free, or that is not known


class Lanes:
    """The turns of one pool's reads.

    Args:
        size: connections that reads may use; two at least are assumed.
        each: reads of one user at the same time in a lane, at most; half of the lane at most.
    """

    def __init__(self, size: int, each: int = 2) -> None:
        slow = max(1, size // 4)
        quick = max(1, size - slow)
        self._slow = FairLane(slow, max(1, min(each, slow // 2)))
        self._quick = FairLane(quick, max(1, min(each, quick // 2)), spare=quick // 2)
        self._locked: dict[int, _Probe | None] = {}  # with the read that tries it, if one does
        self.most = slow + quick

    @property
    def usage(self) -> Mapping[str, tuple[int, int]]:
        """How many reads run in each lane, and how many wait."""
        return {"quick": self._quick.usage, "slow": self._slow.usage}

    @asynccontextmanager
    async def enter(
        self, tables: Set[int], *, slow: bool = False, holders: Collection[Hashable] = ()
    ) -> AsyncIterator[ReadPlace]:
        """Wait for a place in the lane to read ``tables`` (oids) for ``holders``; none: for the service itself.

        Raises ``TableLockedError`` if another read has just found that one of them still is. What is raised inside as
        ``TableLockedError`` is what the others find.
        """
        lane = self._slow if slow else self._quick
        while True:
            await self._learn(tables)
            async with lane.place(holders) as place:
                if any(self._locked[table] is not None for table in self._locked.keys() & tables):
                    continue  # another read began to try them while this one waited for its place
                async with self._trying(tables):
                    yield place
                    self._unlock(tables)
                    return

    @asynccontextmanager
    async def _trying(self, tables: Set[int]) -> AsyncIterator[None]:
        """Inside, this is the read that tries those of ``tables`` that are locked, if one is."""
        probe, found = self._probe(tables), None
        try:
            yield
        except TableLockedError as error:
            found = str(error)
            raise
        finally:
            self._end_probe(probe, found)

    def lock(self, tables: Iterable[int]) -> None:
        """A read found these tables locked."""
        for table in tables:
            self._locked.setdefault(table, None)

    def _unlock(self, tables: Iterable[int]) -> None:
        for table in tables:
            self._locked.pop(table, None)

    async def _learn(self, tables: Set[int]) -> None:
        """Wait for the reads that try those of ``tables`` that are locked."""
        while probes := {probe for table in self._locked.keys() & tables if (probe := self._locked[table]) is not None}:
            await asyncio.wait(probes)
            for probe in probes:
                if (holder := probe.result()) is not None:
                    raise TableLockedError(holder)

    def _probe(self, tables: Set[int]) -> _Probe | None:
        """Become the read that tries those of ``tables`` that are locked; None if none is."""
        locked = self._locked.keys() & tables
        if not locked:
            return None
        probe: _Probe = asyncio.get_running_loop().create_future()
        for table in locked:
            self._locked[table] = probe
        return probe

    def _end_probe(self, probe: _Probe | None, found: str | None) -> None:
        if probe is None:
            return
        for table, trying in self._locked.items():
            if trying is probe:
                self._locked[table] = None
        probe.set_result(found)
