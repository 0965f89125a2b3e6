"""Settings of Python's cyclic garbage collector that fit this process.

Windows and rows are millions of long-lived objects without cycles: reference counting frees them, and a full collection
only walks over them, for seconds if there are enough, while every client waits. Few objects form cycles (tasks, exceptions,
connections). So collections are made rare, and the objects that exist when serving begins are frozen.
"""

from __future__ import annotations

import gc

__all__ = ["tune_gc"]


def tune_gc() -> None:
    """Call once, when everything that stays is loaded. Young objects are looked at every 100,000 new ones."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
