"""When the connections of a server write: together, in turns.

A write is a system call, which costs more than all else that is done for a receiver, and it costs the same with one frame as
with several; the receiver wakes up once. So under load frames are gathered for a short time. Theory of operation: the first
frame that is queued schedules a turn, in which each connection writes all that it has by then. A turn is put off

* while more transactions have arrived than could be applied: what a connection gets next is often here already;
* while writing has taken more than a quarter of the time, beyond a burst of ``BURST`` that passes at once: so it takes a
  bounded part of the processor, and what a server with time to spare sends is written in the next turn of the event loop.

It is not put off for longer than ``HOLD``, nor once a connection has much to write (:meth:`WriteTurns.have_next`).

A turn of many connections is written in batches, of ``AT_ONCE`` and of about ``ENOUGH`` seconds at most, between which the
event loop does other work: it reads, and applies transactions. What a connection gets before its batch goes with it; what it
gets afterwards is for the next turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["AT_ONCE", "BURST", "ENOUGH", "HOLD", "WriteTurns", "Writer"]

HOLD: Final = 0.015
"""Seconds for which a turn is put off at most."""

AT_ONCE: Final = 400
"""Connections that write before the event loop does other work, unless ``ENOUGH`` is over before."""

ENOUGH: Final = 0.002
"""Seconds of writing after which the event loop does other work."""

BURST: Final = 0.02
"""Seconds by which writing may be ahead of its share of the time before a turn is put off."""

_LOOK_EVERY: Final = 10  # connections, at the clock
_SHARE: Final = 4.0  # writing takes one of so many seconds
_LEAST: Final = 0.0005  # seconds: timers of uvloop count milliseconds


class Writer(Protocol):
    """A connection with frames to write."""

    def write_queued(self) -> None:
        """Write what is queued."""


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
        self._due: list[Writer] = []  # of the next turn
        self._since = 0.0
        self._rested = 0.0  # when all writing so far will have been its share of the time
        self._next = False
        self._resting: asyncio.TimerHandle | None = None
        self._writing: list[Writer] = []  # of the turn at hand, whose next batch begins at ``_written``
        self._written = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, writer: Writer) -> None:
        """Have ``writer`` write once, soon."""
        due = self._due
        due.append(writer)
        if len(due) == 1:
            self._since = self._clock()
            if not self._writing:
                self._soon(self._begin)

    def _soon(self, call: Callable[[], None]) -> None:
        if self._loop is None:  # asyncio.get_running_loop() asks the system for the process's id, each time
            self._loop = asyncio.get_running_loop()
        self._loop.call_soon(call)

    def have_next(self) -> None:
        """Have the turn in the next turn of the event loop, if one is due: a connection has much to write."""
        if self._next or not self._due:
            return
        self._next = True
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        loop, now = asyncio.get_running_loop(), self._clock()
        self._resting = None
        if now - self._since < HOLD and not self._next:
            if self._behind():
                loop.call_soon(self._begin)
                return
            if (wait := self._rested - BURST - now) > _LEAST:
                self._resting = loop.call_later(wait, self._begin)
                return
        self._writing, self._written, self._due, self._next = self._due, 0, [], False
        self._write_batch()

    def _write_batch(self) -> None:
        loop, began, first = asyncio.get_running_loop(), self._clock(), self._written
        for writer in self._writing[first : first + AT_ONCE]:
            self._written += 1
            try:
                writer.write_queued()
            except Exception as problem:  # noqa: BLE001 - of one connection; as for a callback of its own
                loop.call_exception_handler({"message": f"{writer} failed to write", "exception": problem})
            if self._written % _LOOK_EVERY == 0 and self._clock() - began > ENOUGH:
                break
        done = self._clock()
        self._rested = min(max(self._rested, began) + _SHARE * (done - began), done + BURST + HOLD)
        if self._written < len(self._writing):
            loop.call_soon(self._write_batch)
            return
        self._writing = []
        if self._due:
            loop.call_soon(self._begin)
