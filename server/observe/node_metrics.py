"""All metrics of one node: the registry, and what is counted in it, made once and passed to the parts."""

from __future__ import annotations

from engine.metrics.live import LiveMetrics
from engine.metrics.publishing import PublishMetrics
from engine.metrics.registry import Registry
from server.observe.capacity import Capacity
from server.observe.engine_state import EngineState
from server.observe.loop_lag import LoopLag
from server.observe.meters import Meters
from server.observe.node_load import LoadMetrics
from server.observe.refusals import Refusals

__all__ = ["NodeMetrics"]


class NodeMetrics:
    """``registry`` is read by ``GET /metrics``; the other attributes count. ``version``: of this server.
    ``planned_connections``: how many connections it is meant for.
    """

    def __init__(self, version: str = "", planned_connections: int | None = None) -> None:
        self.registry = registry = Registry()
        self.meters = Meters(registry)
        self.capacity = Capacity(registry, planned_connections)
        self.engine = EngineState(registry, version)
        self.live = LiveMetrics(registry)
        self.loop_lag = LoopLag(registry)
        self.load = LoadMetrics(registry)
        self.refusals = Refusals(registry)
        self.publishing = PublishMetrics(registry)
