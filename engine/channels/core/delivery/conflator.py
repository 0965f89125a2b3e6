"""Conflation of one sequence of messages: of those with one value, the latest, and at most one in an interval.

Theory of operation. The messages with one value are a *lane*; a message without a value has none. The conflator is *idle* or
*holding*:

- Idle: a message passes at once if it has no lane, or nothing of its lane has passed in the last interval. Another one is
  held, and the conflator is holding.
- Holding: every message is held, behind those that are held already; one of a lane takes the place of the one of its lane
  that is held. So what passes keeps its order, and no position goes back. When nothing of any held lane has passed in the
  last interval (``due``), all of them pass, and the conflator is idle.

All that passes while it is idle passes before it holds. So ``due`` is at most one interval after the first message was held:
no message is late by more than that, and a lane whose messages keep coming is never starved by others.

Memory is bounded: with too many held, or too many bytes of them, all pass early. Of the lanes that passed the oldest are
forgotten, whose next message passes at once then. Time is passed in, in nanoseconds that only grow. No I/O.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from engine.channels.core.delivery.events import MessageEvent

__all__ = ["MAX_BYTES", "MAX_LANES", "Conflator"]

MAX_LANES: Final = 1_000
"""Messages that are held, and lanes that are remembered, at most."""

MAX_BYTES: Final = 1024 * 1024
"""Bytes of payload and values that are held at most, beyond one message."""


class Conflator:
    """See the module. ``interval`` in nanoseconds. ``due``: when what is held passes; None: nothing is held."""

    __slots__ = ("_held", "_interval", "_passed", "_size", "due")

    def __init__(self, interval: int) -> None:
        self.due: int | None = None
        self._interval = interval
        self._held: dict[object, MessageEvent] = {}  # by lane, or by itself; in their order
        self._passed: OrderedDict[bytes, int] = OrderedDict()  # when each lane passed last; in this order
        self._size = 0

    def __len__(self) -> int:
        return len(self._held)

    def take(self, event: MessageEvent, lane: bytes | None, now: int) -> list[MessageEvent]:
        """The next message; what passes now, in order."""
        passing = self.release(now)
        self._forget(now)
        if self.due is None and (lane is None or lane not in self._passed):
            self._pass(lane, now)
            passing.append(event)
            return passing
        key: object = event if lane is None else lane
        before = self._held.pop(key, None)
        if before is not None:
            self._size -= _size(before, lane)
        self._held[key] = event
        self._size += _size(event, lane)
        passed = None if lane is None else self._passed.get(lane)
        ready = now if passed is None else passed + self._interval
        self.due = ready if self.due is None else max(self.due, ready)
        if len(self._held) > MAX_LANES or self._size > MAX_BYTES:
            passing += self.flush(now)
        return passing

    def release(self, now: int) -> list[MessageEvent]:
        """What is held, if it is due."""
        return [] if self.due is None or now < self.due else self.flush(now)

    def flush(self, now: int) -> list[MessageEvent]:
        """What is held, due or not."""
        passing = list(self._held.values())
        for key in self._held:
            self._pass(key if isinstance(key, bytes) else None, now)
        self._held = {}
        self._size = 0
        self.due = None
        return passing

    def _pass(self, lane: bytes | None, now: int) -> None:
        if lane is not None:
            self._passed[lane] = now
            self._passed.move_to_end(lane)
            if len(self._passed) > MAX_LANES:
                self._passed.popitem(last=False)

    def _forget(self, now: int) -> None:
        passed, before = self._passed, now - self._interval
        while passed and next(iter(passed.values())) <= before:
            passed.popitem(last=False)


def _size(event: MessageEvent, lane: bytes | None) -> int:
    return len(event.row.payload) + (0 if lane is None else len(lane))
