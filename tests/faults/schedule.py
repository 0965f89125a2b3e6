"""Faults at random, by seed: each undone after some seconds, several at a time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from tests.cluster.parts import Parts

__all__ = ["Fault", "Schedule"]

Fault = Callable[["Schedule"], Coroutine[Any, Any, None]]


class Schedule:
    """One run. ``faults``: by name. ``done``: what has happened: seconds since the beginning, and in words. ``begun``: how
    often each was chosen; one whose parts are out of order already does nothing.
    """

    def __init__(self, parts: Parts, seed: int, faults: Mapping[str, Fault]) -> None:
        self.parts = parts
        self.chance = random.Random(seed)
        self.done: list[tuple[float, str]] = []
        self.begun: Counter[str] = Counter()
        self._order = random.Random(seed)
        self._began = time.monotonic()
        self._busy: set[object] = set()  # what is out of order already
        self._faults = faults

    async def run(self, seconds: float) -> None:
        """Do it for so many seconds, and undo the last ones."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while time.monotonic() - began < seconds:
                name = self._order.choice(list(self._faults))
                self.begun[name] += 1
                group.create_task(self._faults[name](self))
                await asyncio.sleep(self._order.uniform(0.5, 5.0))

    def note(self, what: str) -> None:
        """Something has happened."""
        self.done.append((round(time.monotonic() - self._began, 2), what))

    @contextlib.contextmanager
    def using(self, *parts: object) -> Iterator[None]:
        """The parts are out of order inside."""
        self._busy.update(parts)
        try:
            yield
        finally:
            self._busy.difference_update(parts)

    def free(self, *parts: object) -> bool:
        """Whether nothing is wrong with any of the parts."""
        return not self._busy.intersection(parts)

    async def pause(self, most: float) -> None:
        """Wait for some time."""
        await asyncio.sleep(self.chance.uniform(0.2, most))
