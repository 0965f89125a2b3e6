"""The time at which something was published, inside of what is published."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["MARK", "SHORTEST", "now", "stamp", "taken"]

MARK: Final = b"@@"
_DIGITS: Final = 19
SHORTEST: Final = len(MARK) + _DIGITS + 1
"""Bytes of a stamp without padding."""

now = time.monotonic_ns
"""Nanoseconds of ``CLOCK_MONOTONIC``: the same clock in every process of a machine."""


def stamp(size: int = SHORTEST) -> bytes:
    """The present time as a text that stands in JSON as it is, padded to ``size`` bytes."""
    return b"%b%0*d;" % (MARK, _DIGITS, now()) + b"x" * (size - SHORTEST)


def taken(body: bytes, at: int) -> int:
    """Nanoseconds until ``at`` since the first stamp in ``body``; -1 if there is none."""
    found = body.find(MARK)
    return -1 if found < 0 else at - int(body[found + len(MARK) : found + len(MARK) + _DIGITS])
