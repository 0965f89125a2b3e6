"""How many connections a node can have, which alerts and Prometheus' rules compare with those that it has."""

from __future__ import annotations

import math
import resource

import pytest

from server.observe.capacity import connections_with
from server.observe.node_metrics import NodeMetrics

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("open_files", "planned", "expected"),
    [(1024, None, 824), (1024, 500, 500), (1024, 5000, 824), (100, None, 1), (UNLIMITED, None, math.inf)],
)
def test_the_capacity_is_what_is_planned_and_at_most_what_the_open_files_allow(
    open_files: int, planned: int | None, expected: float
) -> None:
    assert connections_with(open_files, planned) == expected


def test_a_limit_of_open_files_that_is_changed_while_the_node_runs_counts_at_once() -> None:
    registry = NodeMetrics().registry
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
        registry.measure()
        assert registry.value("realtime_connections_capacity") == soft - 201
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_planned_connections_are_what_the_node_shows() -> None:
    registry = NodeMetrics(planned_connections=7).registry
    registry.measure()
    assert registry.value("realtime_connections_capacity") == 7
