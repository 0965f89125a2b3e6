"""A time limit that is longer on a machine without time: what is to happen within it depends on no speed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

__all__ = ["TimeLimit"]

_WEIGHT: Final = 0.8
"""Part of the time in which processes waited for a processor that does not count: where they always do, the limit is five
times as long.
"""


def _stalled() -> float:
    """Seconds in which a process that could run had to wait for a processor (Linux' PSI); 0 where that is not known."""
    try:
        some = Path("/proc/pressure/cpu").read_text().split("\n", 1)[0]
        return int(some.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError):
        return 0.0


class TimeLimit:
    """``seconds`` from now on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began, self._stalled = time.monotonic(), _stalled()

    @property
    def over(self) -> bool:
        """Whether they have passed."""
        waited = max(0.0, _stalled() - self._stalled)
        return time.monotonic() - self._began - _WEIGHT * waited > self._seconds
