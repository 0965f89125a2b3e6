"""Places for reads, shared out fairly among those for whom the reads are.

The semaphores of asyncio serve who came first, so a user with a thousand reads would keep all others waiting behind them.
Here each holder has a queue of its own; a free place goes to the holders in turn, and none has more than its share at a
time. Turns alone let many greedy holders take all places, and every other one wait for theirs to end: so a holder that has
lately used more than its time (it is *heavy*; others are *light*) waits behind those that have not, and some places are for
these alone.

A place is for what others wait for, a connection. What is done with a result afterwards can wait for the user's turn at the
processor for seconds (:mod:`engine.work_turns`), so it gives up the place before, and counts for its holder only.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Collection, Hashable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

from engine.time_budget import TimeBudget

__all__ = ["FairLane", "ReadPlace"]

_Waiter = asyncio.Future[bool]  # of a place: whether a heavy holder has it

_RATE: Final = 0.2  # of a place, for as long as a holder likes
_BURST: Final = 0.2  # seconds of a place at once
_IN_A_ROW: Final = 8  # places that go to light holders while a heavy one waits that may have one
_LOOK_AT: Final = 4  # at each end of a read: more than it adds


class ReadPlace:
    """That of one read."""

    __slots__ = ("_free",)

    def __init__(self, free: Callable[[], None]) -> None:
        self._free: Callable[[], None] | None = free

    def free(self) -> None:
        """Give it to others; once it was, nothing is done. The read counts for its holder until it ends."""
        if self._free is not None:
            free, self._free = self._free, None
            free()


class FairLane:
    """Places of one lane.

    Invariants: as many reads as ``places`` have one at most, and of one holder ``each`` run at most. A place that is free
    goes to a holder with a waiting read and less than ``each`` running ones: a light one if there is any, but a heavy one
    after ``_IN_A_ROW`` light ones. At most ``places - spare`` reads are begun by heavy holders.

    Args:
        spare: places that only light holders may have.
        clock: seconds, monotonic.
    """

    def __init__(self, places: int, each: int, spare: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = places
        self._each = each
        self._for_heavy = places - spare
        self._clock = clock
        self._running: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[_Waiter]] = {}
        # Those of whom a read waits that may run.
        self._light: OrderedDict[Hashable, None] = OrderedDict()
        self._heavy: OrderedDict[Hashable, None] = OrderedDict()
        self._in_a_row = 0
        self._budgets: OrderedDict[Hashable, TimeBudget] = OrderedDict()  # of those that have used some of theirs

    @property
    def usage(self) -> tuple[int, int]:
        """How many reads run, and how many wait for a place."""
        return self._running.total(), sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, holders: Collection[Hashable]) -> AsyncIterator[ReadPlace]:
        """Wait for a place for a read that is made for all of ``holders``; none: for the service itself, without a share.

        It counts for a light one of them, and of these for the one with the fewest reads.
        """
        holder = min(holders, key=self._load) if holders else object()
        heavy = await self._take(holder)
        began = self._clock()

        def free() -> None:
            if holders:
                self._charge(holder, self._clock() - began)
            self._give_back(heavy)

        place = ReadPlace(free)
        try:
            yield place
        finally:
            place.free()
            self._leave(holder)

    def _load(self, holder: Hashable) -> tuple[bool, int]:
        return self._is_heavy(holder), self._running[holder] + len(self._waiting.get(holder, ()))

    def _is_heavy(self, holder: Hashable) -> bool:
        budget = self._budgets.get(holder)
        return budget is not None and budget.left < 0

    def _charge(self, holder: Hashable, seconds: float) -> None:
        budget = self._budgets.pop(holder, None) or TimeBudget(_RATE, _BURST, self._clock)
        budget.charge(seconds)
        self._budgets[holder] = budget
        for other in list(islice(self._budgets, _LOOK_AT)):
            if self._budgets[other].full:
                del self._budgets[other]
            else:
                self._budgets.move_to_end(other)

    async def _take(self, holder: Hashable) -> bool:
        """Wait for a place; whether it is one that a heavy holder has."""
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append(waiter)
        self._enlist(holder)
        self._grant()
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._give_back(waiter.result())  # it was granted at the same moment
                self._leave(holder)
            raise

    def _give_back(self, heavy: bool) -> None:
        self._free += 1
        self._for_heavy += heavy
        self._grant()

    def _leave(self, holder: Hashable) -> None:
        self._running[holder] -= 1
        if not self._running[holder]:
            del self._running[holder]
        self._enlist(holder)
        self._grant()

    def _enlist(self, holder: Hashable) -> None:
        if holder not in self._waiting or self._running[holder] >= self._each:
            return
        if holder not in self._light and holder not in self._heavy:
            (self._heavy if self._is_heavy(holder) else self._light)[holder] = None

    def _grant(self) -> None:
        while self._free:
            heavy = bool(self._heavy) and self._for_heavy > 0
            if heavy and self._light and self._in_a_row < _IN_A_ROW:
                heavy = False
            if not heavy and not self._light:
                return
            self._in_a_row = 0 if heavy or not self._heavy else self._in_a_row + 1
            holder, _ = (self._heavy if heavy else self._light).popitem(last=False)
            waiter = self._next(holder)
            if waiter is not None:
                waiter.set_result(heavy)
                self._free -= 1
                self._for_heavy -= heavy
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
