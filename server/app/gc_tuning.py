"""Settings of Python's cyclic garbage collector, and of its threads, that fit this process.

Windows and rows are millions of long-lived objects without cycles: reference counting frees them, and a full collection
only walks over them, for seconds if there are enough, while every client waits. Few objects form cycles (tasks, exceptions,
connections). So collections of old objects are made rare, and the objects that exist when serving begins are frozen.

A collection takes about a microsecond for each young object that it frees, so the number of young ones bounds the pause:
with 100,000 a flood of requests made everything wait for 140 ms.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

__all__ = ["share_interpreter", "tune_gc"]


_YOUNG: Final = 5_000  # new objects until the young ones are looked at
_MIDDLE: Final = 1_000  # such looks until those that have lived through one are
_OLD: Final = 1_000
_SWITCH: Final = 0.0005  # seconds


def tune_gc() -> None:
    """Call once, when everything that stays is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


def share_interpreter() -> None:
    """Let the event loop interrupt a thread that reads a client's SQL after half a millisecond.

    Python's own interval is 5 ms, which each turn of the event loop then waits: an answer took 5 to 20 ms instead of 1.
    """
    sys.setswitchinterval(_SWITCH)
