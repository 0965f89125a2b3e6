"""Pings: notices that the other side of a WebSocket shows no sign of life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Heartbeat"]


class Heartbeat:
    """Calls ``ping`` every ``interval`` seconds from ``start`` to ``stop``, and ``drop`` after ``allowed`` silent ones.

    ``reading_paused``: whether reading is paused, so that no pong can arrive.
    """

    def __init__(
        self,
        interval: float,
        allowed: int,
        *,
        ping: Callable[[], None],
        reading_paused: Callable[[], bool],
        drop: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._allowed = allowed
        self._ping = ping
        self._reading_paused = reading_paused
        self._drop = drop
        self._received = True
        self._missed = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The connection is there."""
        self._timer = self._loop.call_later(self._interval, self._beat)

    def stop(self) -> None:
        """It is being closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def received(self) -> None:
        """The other side has shown a sign of life, or could not."""
        self._received = True

    def _beat(self) -> None:
        self._missed = 0 if self._received or self._reading_paused() else self._missed + 1
        self._received = False
        if self._missed >= self._allowed:
            self._drop()
            return
        self._timer = self._loop.call_later(self._interval, self._beat)
        self._ping()
