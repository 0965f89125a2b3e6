"""The events of a channel in their order, held back until those who subscribe have had the time to listen.

Two things wait. After the first answer to a subscription everything does, until the caller that awaits ``subscribe()`` has
gone on, as it may add listeners then. And what nothing listens to waits for the first listener of its event: messages, of
the history too, without end while there is no listener of messages at all, then for some seconds; others for some seconds.

The invariant: who listens to several events gets them in their order.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["EVENTS", "OWN", "HeldEvents", "is_reserved"]

EVENTS = (
    "presence:join", "presence:update", "presence:leave", "room:created", "room:updated", "room:closed",
    "room:occupied", "room:vacated",
)  # fmt: skip
"""Those of a channel that have two parts, as names of messages may have them; the last two are messages."""
OWN = re.compile(r"(presence|room):(?!(occupied|vacated)$)")
"""Begins the names of these."""

_MAX_HELD = 1000  # events; the oldest are dropped
_WAIT = 5.0  # seconds
_TURNS = 8  # of the loop. A caller goes on in the next one; each task or gather() around subscribe() takes two more
_RESERVED = re.compile(rf"(error|gap|subscribed|\*)$|{OWN.pattern}")

Event = tuple[str, *tuple[Any, ...]]


def is_reserved(event: str) -> bool:
    """Whether it is an event of channels besides their messages. A message of such a name is delivered under ``*`` only;
    those that ``realtime.announce_occupancy()`` publishes are messages.
    """
    return _RESERVED.match(event) is not None


class HeldEvents:
    """``deliver`` is called with each event, and what comes with it. It returns False if it is to wait for a listener."""

    def __init__(self, deliver: Callable[..., bool]) -> None:
        self._deliver = deliver
        self._now = time.monotonic
        self._pausing = False
        self._paused = deque[Event]()  # wait for the caller, or are just delivered
        self._held = list[tuple[float, Event]]()  # wait for a listener: until when at most
        self._until = math.inf  # when none waits any more; never, before there is a listener of messages
        self._due = False  # there is a listener that has not got what waits for it
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, event: str, *payload: Any) -> None:
        """Deliver it now, or later in its order."""
        if self._pausing:
            self._paused.append((event, *payload))
            return
        self._due = self._due or self._is_over(self._until)
        self._deliver_held()
        if not self._deliver(event, *payload):
            self._loop = asyncio.get_running_loop()
            self._held.append((math.inf if event == "message" else self._now() + _WAIT, (event, *payload)))
            del self._held[:-_MAX_HELD]

    def pause(self) -> None:
        """The subscription has just begun."""
        if self._until < math.inf:
            self._until = self._now() + _WAIT
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

    def release(self, *, of_messages: bool) -> None:
        """There is a listener: it gets what waits for it when others, added with it, are there, too."""
        if of_messages and self._until == math.inf:
            self._until = self._now() + _WAIT
        if self._held and not self._due and self._loop is not None:
            self._due = True
            self._loop.call_soon(self._deliver_held)

    def _deliver_held(self) -> None:
        """Deliver what waits to those that listen now. Where that adds a listener, it begins anew."""
        while self._due:
            self._due, index = False, 0
            while index < len(self._held) and not self._due:
                most, event = self._held[index]
                if self._is_over(min(most, self._until)) or self._deliver(*event):
                    del self._held[index : index + 1]
                else:
                    index += 1

    def _is_over(self, most: float) -> bool:
        return self._now() >= most

    def drop(self) -> None:
        """The subscription has ended: what waits is not delivered."""
        self._pausing = False
        self._paused.clear()
        self._held.clear()
