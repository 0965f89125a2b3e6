"""Return freed memory to the system.

glibc keeps freed memory that lies between allocations still in use: after a burst of large requests a process holds several
times the memory it needs. ``malloc_trim`` (malloc_trim(3)) returns whole pages of it, in about 30 ms for 150 MB. Other C
libraries do not need this; with them the module does nothing.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

__all__ = ["give_back", "resident"]

_SOON: Final = 5.0  # seconds between two attempts while they free memory
_SELDOM: Final = 60.0
_WORTH: Final = 8 << 20  # bytes that an attempt frees, or by which the process grows, for the next one to come soon

_log = structlog.get_logger("realtime.memory")


def resident() -> int:
    """Bytes of this process in memory; 0 where the system has no such figure (outside Linux)."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def give_back(soon: float = _SOON, seldom: float = _SELDOM) -> None:
    """Return freed memory until cancelled: every ``soon`` seconds while an attempt frees memory or the process grows; then
    at growing intervals, up to ``seldom`` seconds.
    """
    trim = _malloc_trim()
    if trim is None:
        return
    last, pause, waited = resident(), soon, 0.0
    while True:
        await asyncio.sleep(soon)
        waited += soon
        before = resident()
        grown = before >= last + _WORTH
        if waited < pause and not grown:
            continue
        trim(0)
        last, waited = resident(), 0.0
        freed = before - last
        if freed >= _WORTH:
            _log.debug("memory_released", bytes=freed, resident=last)
        pause = soon if grown or freed >= _WORTH else min(2 * pause, seldom)


def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``; None where there is none."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows
        return None
    return found
