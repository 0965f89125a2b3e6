"""When the connections of a server write: together, in turns.

A write is a system call, which costs more than all else that is done for a receiver, and it costs the same with one frame as
with several; the receiver wakes up once. So under load frames are gathered for a short time. Theory of operation: the first
frame that is queued schedules a turn, in which each connection writes all that it has by then. A turn is put off

* while more transactions have arrived than could be applied: what a connection gets next is often here already;
* after a turn that took long, for a multiple of that: so writing takes a bounded part of the processor. A turn of a few
  connections takes too little to be noticed: an idle server writes in the next turn of the event loop.

It is not put off for longer than ``HOLD``, nor once a connection has much to write (:meth:`WriteTurns.have_next`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

__all__ = ["HOLD", "WriteTurns"]

HOLD: Final = 0.015
"""Seconds for which a turn is put off at most."""

_REST: Final = 3.0  # times what a turn took
_LEAST: Final = 0.0005  # seconds: timers of uvloop count milliseconds


class WriteTurns:
    """The connections with frames to write.

    Args:
        behind: whether transactions that have arrived wait to be applied, and this goes on in the next turn of the loop.
        clock: seconds that only grow.
    """

    def __init__(
        self, behind: Callable[[], bool] = lambda: False, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._behind = behind
        self._clock = clock
        self._due: list[Callable[[], None]] = []
        self._since = 0.0
        self._rested = 0.0  # when the next turn may be
        self._next = False
        self._resting: asyncio.TimerHandle | None = None

    def add(self, write: Callable[[], None]) -> None:
        """Call ``write`` once, soon."""
        if not self._due:
            self._since = self._clock()
            asyncio.get_running_loop().call_soon(self._write)
        self._due.append(write)

    def have_next(self) -> None:
        """Have the turn in the next turn of the event loop, if one is due: a connection has much to write."""
        if self._next or not self._due:
            return
        self._next = True
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        loop, now = asyncio.get_running_loop(), self._clock()
        self._resting = None
        if now - self._since < HOLD and not self._next:
            if self._behind():
                loop.call_soon(self._write)
                return
            if (wait := self._rested - now) > _LEAST:
                self._resting = loop.call_later(wait, self._write)
                return
        due, self._due, self._next = self._due, [], False
        for write in due:
            try:
                write()
            except Exception as problem:  # noqa: BLE001 - of one connection; as for a callback of its own
                loop.call_exception_handler({"message": f"{write} failed", "exception": problem})
        done = self._clock()
        self._rested = done + min(HOLD, _REST * (done - now))
