"""How many connections a node can have: what the operator plans for it, and never more than the files it may open."""

from __future__ import annotations

import math
import resource
from typing import Final

from engine.metrics.registry import Registry

__all__ = ["Capacity", "connections_with"]

_OTHER_FILES: Final = 200
"""Files of the process besides: connections to the database, libraries, the log."""


class Capacity:
    """A gauge of it, which is looked at whenever metrics are read: the limit of a running process can be changed."""

    def __init__(self, registry: Registry, planned: int | None) -> None:
        gauge = registry.gauge(
            "realtime_connections_capacity",
            "How many connections the node can have: as planned, and never more than it may open files.",
        )

        def measure() -> None:
            gauge.value = connections_with(resource.getrlimit(resource.RLIMIT_NOFILE)[0], planned)

        registry.before_reading(measure)


def connections_with(open_files: int, planned: int | None = None) -> float:
    """How many connections a process can have that may open that many files, a file each; infinite without a limit."""
    possible = math.inf if open_files == resource.RLIM_INFINITY else max(1, open_files - _OTHER_FILES)
    return possible if planned is None else min(possible, planned)
