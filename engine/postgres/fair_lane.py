"""Places for reads, shared out fairly among those for whom the reads are.

The semaphores of asyncio serve who came first, so a user with a thousand reads would keep all others waiting behind them.
Here each holder has a queue of its own; a free place goes to the holders in turn, and none has more than its share at a
time.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Collection, Hashable
from contextlib import asynccontextmanager

__all__ = ["FairLane"]

_Waiter = asyncio.Future[None]


class FairLane:
    """Places of one lane.

    Invariants: as many reads as ``places`` run at most, and of one holder ``each`` at most; while a place is free, every
    holder with a waiting read has ``each`` running ones.
    """

    def __init__(self, places: int, each: int) -> None:
        self._free = places
        self._each = each
        self._running: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[_Waiter]] = {}
        self._turns: OrderedDict[Hashable, None] = OrderedDict()  # holders with a waiting read that may run

    @asynccontextmanager
    async def place(self, holders: Collection[Hashable]) -> AsyncIterator[None]:
        """Wait for a place for a read that is made for all of ``holders``; none: for the service itself, without a share.

        It counts for the one of them with the fewest reads.
        """
        holder = min(holders, key=self._reads) if holders else object()
        await self._take(holder)
        try:
            yield
        finally:
            self._leave(holder)

    def _reads(self, holder: Hashable) -> int:
        return self._running[holder] + len(self._waiting.get(holder, ()))

    async def _take(self, holder: Hashable) -> None:
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append(waiter)
        self._enlist(holder)
        self._grant()
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._leave(holder)  # the place was granted at the same moment
            raise

    def _leave(self, holder: Hashable) -> None:
        self._running[holder] -= 1
        if not self._running[holder]:
            del self._running[holder]
        self._free += 1
        self._enlist(holder)
        self._grant()

    def _enlist(self, holder: Hashable) -> None:
        if holder in self._waiting and self._running[holder] < self._each:
            self._turns.setdefault(holder)

    def _grant(self) -> None:
        while self._free and self._turns:
            holder, _ = self._turns.popitem(last=False)
            waiter = self._next(holder)
            if waiter is not None:
                waiter.set_result(None)
                self._free -= 1
                self._running[holder] += 1
                self._enlist(holder)

    def _next(self, holder: Hashable) -> _Waiter | None:
        """The first of the holder's reads that still waits: a cancelled one stays in the queue until its turn."""
        queue = self._waiting[holder]
        found = None
        while queue and found is None:
            waiter = queue.popleft()
            found = None if waiter.cancelled() else waiter
        if not queue:
            del self._waiting[holder]
        return found
