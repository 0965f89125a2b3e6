"""For how long a process has shown no sign of life: its event loop sends one every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from server.workers.record import WorkerRecord

__all__ = ["LOOK", "SilenceWatch"]

LOOK: Final = 5.0
"""Longest time between two looks, in seconds."""

_LONGEST: Final = 60.0  # seconds


class SilenceWatch:
    """Adds up the silence of processes, while this process itself runs.

    At most ``LOOK`` counts for each look: a machine, or a supervisor, that was suspended makes no process silent.
    ``longest``: seconds that a process may be silent.
    """

    def __init__(self, longest: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = _LONGEST if longest is None else longest
        self._clock = clock
        self._looked = clock()

    def look(self, records: Iterable[WorkerRecord]) -> list[WorkerRecord]:
        """Look at all records, after what they have sent was read; returns those that have been silent for too long.

        One that was asked to end is not counted: it has a time for that. One that starts is: its event loop runs from the
        beginning, also while it waits for the database.
        """
        now = self._clock()
        passed, self._looked = min(now - self._looked, LOOK), now
        counted = [record for record in records if record.runs and record.overdue is None]
        for record in counted:
            record.silent += passed
        return [record for record in counted if record.silent >= self._longest]
