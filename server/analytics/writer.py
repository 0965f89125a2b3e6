"""Adds to the database what a node has counted: when a minute of the database's clock has ended, in one statement.

What cannot be written is kept and written later, for up to ``MAX_MINUTES``. Each write has a number, so that one whose
commit succeeded although the connection was lost is not added again. A crash loses what was counted since the last write;
messages of channels that the slot sends again are counted then.

Every few minutes a node asks PostgreSQL to make hours and days of the minutes; one does it, the others see that it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import structlog

from engine.background import BackgroundService
from engine.errors import RealtimeError
from engine.lsn import format_lsn
from server.analytics.counter import UsageCounter
from server.statistics.writer import Write

__all__ = ["DatabaseClock", "Kept", "UsageSource", "UsageWriter"]

_PASSING: Final = (RealtimeError, psycopg.Error, OSError)
_LAST_WRITE: Final = 8.0  # seconds that a stop waits for it
_ROLL_UP: Final = 300.0  # seconds between passes
_ROLL_UP_AGAIN: Final = 240.0  # seconds after another node's pass

_log = structlog.get_logger(__name__)


class DatabaseClock:
    """Seconds since 1970 as the database has them: this machine's, corrected by what was measured last."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._ahead = 0.0

    def __call__(self) -> float:
        """The time."""
        return self._clock() + self._ahead

    def set(self, asked: float, now: float) -> None:
        """The database has answered ``now``; it was asked at ``asked`` of the machine's clock."""
        self._ahead = now - (asked + self._clock()) / 2

    @property
    def machine(self) -> float:
        """This machine's time."""
        return self._clock()


@dataclass(frozen=True, slots=True)
class Kept:
    """For how many seconds minutes, hours and days are kept, and how many channels of each are listed."""

    minutes: float
    hours: float
    days: float
    channels: int


@dataclass(frozen=True, slots=True)
class UsageSource:
    """What is read once a minute: messages received and sent since the start, and the subscribers of channels.

    ``renew``: called as often, for what is to be looked at now and then.
    """

    received: Callable[[], int]
    sent: Callable[[], int]
    subscribers: Callable[[], Iterable[tuple[str, int]]]
    renew: Callable[[], None] = lambda: None


class UsageWriter(BackgroundService):
    """See the module. ``write`` reaches the database of the node called ``node_id``; ``interval``: seconds."""

    def __init__(
        self,
        node_id: str,
        counter: UsageCounter,
        clock: DatabaseClock,
        source: UsageSource,
        write: Write,
        interval: float,
        kept: Kept,
    ) -> None:
        super().__init__("analytics")
        self._node = node_id
        self._counter = counter
        self._clock = clock
        self._source = source
        self._write = write
        self._interval = interval
        self._kept = kept
        self._run = uuid.uuid4().hex
        self._number = 0
        self._batch: tuple[str | None, list[dict[str, Any]]] | None = None  # position, minutes: not written yet
        self._ascii = False  # the encoding of the database lacks characters that names of channels have
        self._rolled_up_at = float("-inf")

    def start(self) -> None:
        """Begin to write."""
        self._background.spawn(self._go_on())

    async def stop(self) -> None:
        """Write what was counted so far, if the database takes it, and stop."""
        await self._background.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WRITE):
                await self.finish(self._clock())

    async def _go_on(self) -> None:
        await self._attempt(self._begin)
        while True:
            now = self._clock()
            end = (now // self._interval + 1) * self._interval
            await asyncio.sleep(end - now)
            await self.finish(end - self._interval)
            await self._attempt(self._roll_up)

    async def finish(self, at: float) -> None:
        """The minute of ``at``, or a part of it, has ended: note what is now, and write. What fails is logged."""
        source = self._source
        source.renew()
        self._counter.sample(at, source.received(), source.sent(), source.subscribers())
        await self._attempt(lambda: self.write(at))
        self._counter.wait(at)

    async def write(self, at: float) -> None:
        """Add the minutes up to that of ``at``. Raises ``RealtimeError`` or ``psycopg.Error``."""
        await self._begin()
        while self._batch is not None or self._take(at):
            assert self._batch is not None
            position, minutes = self._batch
            text = json.dumps([_in_ascii(each) for each in minutes] if self._ascii else minutes)
            asked = self._clock.machine
            [row] = await self._write(
                "usage_add", node=self._node, run=self._run, batch=self._number, position=position, minutes=text
            )
            self._clock.set(asked, row["now"])
            self._batch = None

    def _take(self, at: float) -> bool:
        minutes = self._counter.take(at, self._kept.channels)
        if minutes:
            position = self._counter.position
            self._batch = None if position is None else format_lsn(position), minutes
            self._number += 1
        return bool(minutes)

    async def _begin(self) -> None:
        if self._counter.position is None:
            asked = self._clock.machine
            [row] = await self._write("usage_begin", node=self._node)
            self._clock.set(asked, row["now"])
            self._counter.begin(row["position"])
        if self._counter.users.needs_salts:
            rows = await self._write("usage_salts")
            self._counter.users.learn({row["day"]: bytes(row["salt"]) for row in rows})

    async def _roll_up(self) -> None:
        if self._clock() - self._rolled_up_at < _ROLL_UP:
            return
        kept = self._kept
        await self._write(
            "usage_roll_up",
            every=_ROLL_UP_AGAIN,
            minutes=kept.minutes,
            hours=kept.hours,
            days=kept.days,
            channels=kept.channels,
        )
        self._rolled_up_at = self._clock()

    async def _attempt(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
        except _PASSING as error:
            self._ascii = self._ascii or isinstance(error, psycopg.errors.UntranslatableCharacter)
            _log.warning("analytics_not_written", error=" ".join(str(error).split()), dropped=self._counter.dropped)


def _in_ascii(minute: dict[str, Any]) -> dict[str, Any]:
    """The minute with the channels whose names every encoding has."""
    return {**minute, "channels": {name: each for name, each in minute["channels"].items() if name.isascii()}}
