"""How many processors this process may use: what ``workers`` is if it is not given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["cores"]

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""Of a container (cgroup v2): microseconds of processor time per period, or ``max`` (Linux, admin-guide/cgroup-v2)."""


def cores(quota: Path = _QUOTA) -> int:
    """The processors that the system lets this process run on, and not more than the quota of its container has in full; 1
    at least. 1 where processes cannot be forked (Windows).
    """
    if not hasattr(os, "fork"):
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, _, period = quota.read_text().strip().partition(" ")
        if allowed != "max":
            usable = min(usable, int(allowed) // int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup, or one of another form: no quota
        return max(1, usable)
    return max(1, usable)
