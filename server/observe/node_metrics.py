"""All metrics of one node: the registry, and what is counted in it, made once and passed to the parts."""

from __future__ import annotations

import platform

from engine.metrics.registry import Registry
from server.observe.meters import Meters

__all__ = ["NodeMetrics"]


class NodeMetrics:
    """``registry`` is read by ``GET /metrics``; the other attributes count. ``version``: of this server."""

    def __init__(self, version: str = "") -> None:
        self.registry = registry = Registry()
        self.meters = Meters(registry)
        build = registry.gauges(
            "realtime_build_info", "Always 1; the labels name the versions.", "version", "python", "postgres"
        )
        self._build = build
        self._version = version
        self.serves("")

    def serves(self, postgres: str) -> None:
        """The version of the database is known."""
        self._build.clear()
        self._build.of(self._version, platform.python_version(), postgres).value = 1
