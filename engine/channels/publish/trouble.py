"""Publishing that fails again and again, for ``/health``. No I/O."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["Trouble"]

_MAX_FAILURES: Final = 3  # failures in succession that are no problem yet
_FORGET: Final = 60.0  # seconds after the last failure: nothing may be published that would end the problem


class Trouble:
    """Failures in succession: messages that the database refused for reasons of its own, and failed attempts to reach it."""

    def __init__(self, what: str = "messages cannot be stored") -> None:
        self._what = what
        self._count = 0
        self._reason = ""
        self._last = 0.0

    def failed(self, reason: str) -> None:
        """A message was refused, or the connection could not be had."""
        if time.monotonic() - self._last > _FORGET:
            self._count = 0
        self._count += 1
        self._reason = " ".join(reason.split())
        self._last = time.monotonic()

    def over(self) -> None:
        """Messages were stored."""
        self._count = 0

    @property
    def problem(self) -> str | None:
        """What keeps messages from being stored, in words; None: nothing that lasts."""
        if self._count <= _MAX_FAILURES or time.monotonic() - self._last > _FORGET:
            return None
        return f"{self._what}, {self._count} times in succession: {self._reason}"
