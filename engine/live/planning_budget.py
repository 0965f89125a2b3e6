"""What the queries of one user may cost: its share of the database connections and of the processor.

Planning is the only work that a client can ask for at its full message rate. Without a share of its own, one client
with SQL that is slow to check would keep all others waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass

from psycopg import errors

from engine.postgres.errors import AWAY
from engine.time_budget import TimeBudget

__all__ = ["PlanningBudget"]

_AT_ONCE = 2
_BURST = 5.0
_RATE = 0.25
_LIGHT = 0.05  # seconds: who has used no more lately does not wait for others
_MAX_SECONDS = 5.0  # for one query: a statement is cut off after so many seconds, so what takes longer is the database


@dataclass(slots=True, eq=False)
class _Planning:
    """A planning under way, and the seconds that it has cost so far."""

    seconds: float = 0.0


class PlanningBudget(TimeBudget):
    """Planning time of one user's connections, in seconds: 5 at once, and a quarter of a second per second after that.

    At most two of its queries are planned at the same time, and of those with long SQL one: it is known only afterwards what
    reading that has taken. Nothing is refused: what is beyond the budget waits.
    ``at_once_lock``: held by the one that is planned without asking the database.

    Args:
        clock: seconds, on a clock that never goes back.
        processor: seconds that the event loop has computed.
    """

    __slots__ = ("_long_lock", "_planning_lock", "_processor", "_shared", "_under_way", "at_once_lock")

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, processor: Callable[[], float] = time.thread_time
    ) -> None:
        super().__init__(_RATE, _BURST, clock)
        self._processor = processor
        self._planning_lock = asyncio.Semaphore(_AT_ONCE)
        self._long_lock = asyncio.Lock()
        self.at_once_lock = asyncio.Lock()
        self._under_way: list[_Planning] = []
        self._shared = 0.0, 0.0  # up to when time is shared out among those under way: none yet

    @property
    def light(self) -> bool:
        """Whether hardly anything of it has been used lately."""
        return self.left >= _BURST - _LIGHT

    @contextmanager
    def charging(self) -> Iterator[None]:
        """Charge for the planning of one query inside.

        Only what the query itself may have caused: 5 seconds at most, nothing if the database was away or a table locked.
        A planning that an outage held up for a minute would otherwise make its connection wait for minutes afterwards.
        Two plannings side by side wait for one event loop, so the time that it computes is shared out between them; the
        database works for both at once, and that time counts for each.
        """
        self._share_out()
        planning, passes = _Planning(), False
        self._under_way.append(planning)
        try:
            yield
        except AWAY as error:
            passes = not isinstance(error, errors.QueryCanceled)
            raise
        finally:
            self._share_out()
            self._under_way.remove(planning)
            if not passes:
                self.charge(min(planning.seconds, _MAX_SECONDS))

    def _share_out(self) -> None:
        """Count the time since the last call for the plannings under way."""
        (began, computed), self._shared = self._shared, (self._clock(), self._processor())
        passed = self._shared[0] - began
        computing = min(self._shared[1] - computed, passed)
        for planning in self._under_way:
            planning.seconds += passed - computing + computing / len(self._under_way)

    @asynccontextmanager
    async def lock(self, *, long: bool = False) -> AsyncIterator[None]:
        """Wait until fewer than two other plannings of this user run, and for the budget. ``long``: and for the long one."""
        async with self._long_lock if long else nullcontext(), self._planning_lock:
            if wait := self.wait:
                await asyncio.sleep(wait)
            yield
