"""Python's cyclic garbage collector, told what this process is like.

Windows and rows are millions of long-lived objects without cycles: reference counting frees them, and a full collection
only walks over them, for seconds if there are enough, while every client waits. What does form cycles (tasks, exceptions,
connections) is little. So collections are made rare, and what exists when serving begins is left out of them.
"""

from __future__ import annotations

import gc

__all__ = ["tune_gc"]


def tune_gc() -> None:
    """Call once, when everything that stays is loaded. Young objects are looked at every 100,000 new ones."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
