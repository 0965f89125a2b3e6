"""The metrics of all processes: nodes, and relays of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.metrics.registry import Registry
from server.cluster.relay_metrics import RelayMetrics
from server.observe.node_metrics import NodeMetrics

__all__ = ["families_of_all"]


def families_of_all() -> Mapping[str, Any]:
    """The families, by name."""
    relay = Registry()
    RelayMetrics(relay)
    return {**NodeMetrics().registry.families, **relay.families}
