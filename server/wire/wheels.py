"""What each of many connections has to do again and again: one timer for all of them.

Theory of operation. A wheel turns once in ``interval`` seconds. It has places, and a member is put into the one that was
last at the top, so its first beat comes after one interval, less a place at most. It stays there, so the beats of a
server's connections are spread as the connections came. The wheel stops only at places with members: an empty one has no
timer, and one with a single member wakes up once in ``interval``. A stop that is late makes all later ones late, so no
member has two beats in quick succession.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

__all__ = ["Member", "Wheel", "Wheels"]

_PLACES: Final = 256
_FEWEST: Final = 4
_SHORTEST: Final = 0.005  # seconds between two places


class Member(Protocol):
    """What has something to do each ``interval``."""

    def beat(self) -> None:
        """An interval has passed since the last beat."""


class Wheel:
    """See the module. ``interval`` in seconds."""

    def __init__(self, interval: float) -> None:
        count = max(_FEWEST, min(_PLACES, int(interval / _SHORTEST)))
        self._step = interval / count
        self._places: list[set[Member]] = [set() for _ in range(count)]
        self._last = 0  # the place where it stopped last
        self._at = 0.0  # when that was
        self._ahead = count  # places from there to the next one with members
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(map(len, self._places))

    def enter(self, member: Member) -> int:
        """Call ``member.beat()`` until it leaves. Returns its place."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._timer is None:
            self._at = now
            self._stop_after(len(self._places), loop)
        passed = int((now - self._at) / self._step)
        if passed >= self._ahead:
            passed = self._ahead - 1
        place = (self._last + passed) % len(self._places)
        self._places[place].add(member)
        return place

    def leave(self, member: Member, place: int) -> None:
        """Call it no more. May be called again."""
        self._places[place].discard(member)

    def _stop_after(self, places: int, loop: asyncio.AbstractEventLoop) -> None:
        self._ahead = places
        self._timer = loop.call_later(places * self._step, self._stop)

    def _stop(self) -> None:
        loop, count = asyncio.get_running_loop(), len(self._places)
        self._last = (self._last + self._ahead) % count
        self._at = loop.time()
        here = self._places[self._last]
        for member in tuple(here):
            if member in here:  # the beat of another one may have ended it
                try:
                    member.beat()
                except Exception as problem:  # noqa: BLE001 - of one member; as for a callback of its own
                    loop.call_exception_handler({"message": f"a beat of {member} failed", "exception": problem})
        for places in range(1, count + 1):
            if self._places[(self._last + places) % count]:
                self._stop_after(places, loop)
                return
        self._timer = None


class Wheels:
    """The wheels of a server by their interval."""

    def __init__(self) -> None:
        self._wheels: dict[float, Wheel] = {}

    def every(self, seconds: float) -> Wheel:
        """The wheel of this interval."""
        wheel = self._wheels.get(seconds)
        if wheel is None:
            wheel = self._wheels[seconds] = Wheel(seconds)
        return wheel
