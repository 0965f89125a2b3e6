"""The events of a channel in their order, held back until those who subscribe have had the time to listen.

Two things wait. After the first answer to a subscription everything does, until the caller that awaits ``subscribe()`` has
gone on, as it may add listeners then. And messages, of the history too, wait for the first listener of messages, which may
be added at any time.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["EVENTS", "OWN", "HeldEvents", "is_reserved"]

EVENTS = ("presence:join", "presence:update", "presence:leave", "room:created", "room:updated", "room:closed")
"""Those of a channel that have two parts, as names of messages may have them."""
OWN = re.compile(r"(presence|room):(?!(occupied|vacated)$)")
"""Begins the names of these."""

_MAX_HELD = 1000  # messages; the oldest are dropped
_TURNS = 8  # of the loop. A caller goes on in the next one; each task or gather() around subscribe() takes two more
_RESERVED = re.compile(rf"(error|gap|subscribed|\*)$|{OWN.pattern}")

Event = tuple[str, *tuple[Any, ...]]


def is_reserved(event: str) -> bool:
    """Whether it is an event of channels besides their messages. A message of such a name is delivered under ``*`` only;
    those that ``realtime.announce_occupancy()`` publishes are messages.
    """
    return _RESERVED.match(event) is not None


class HeldEvents:
    """``deliver`` is called with each event, and what comes with it."""

    def __init__(self, deliver: Callable[..., None]) -> None:
        self._deliver = deliver
        self._pausing = False
        self._paused = deque[Event]()  # wait for the caller, or are just delivered
        self._held: deque[Event] | None = deque(maxlen=_MAX_HELD)  # None: there is a listener, or was one
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, event: str, *payload: Any) -> None:
        """Deliver it now, or later in its order."""
        if self._pausing:
            self._paused.append((event, *payload))
        elif event == "message" and self._held is not None:
            self._loop = asyncio.get_running_loop()
            self._held.append((event, *payload))
        else:
            self._deliver(event, *payload)

    def pause(self) -> None:
        """The subscription has just begun."""
        self._pausing, self._paused = True, deque(self._paused)
        self._resume_after(_TURNS, self._paused)

    def _resume_after(self, turns: int, paused: deque[Event]) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._resume_after, turns - 1, paused)
        elif paused is self._paused:
            self.flush()

    def flush(self) -> None:
        """Wait no more for the caller."""
        self._pausing = False
        while self._paused:
            self.put(*self._paused.popleft())

    def release(self) -> None:
        """There is a listener of messages: those that wait are delivered when others, added with it, are there, too."""
        if not self._held or self._loop is None:
            self._held = None
        else:
            self._loop.call_soon(self._deliver_held, self._held)

    def _deliver_held(self, held: deque[Event]) -> None:
        if held is self._held:
            while held:
                self._deliver(*held.popleft())
            self._held = None

    def drop(self) -> None:
        """The subscription has ended: what waits is not delivered."""
        self._pausing = False
        self._paused.clear()
        if self._held is not None:
            self._held.clear()
