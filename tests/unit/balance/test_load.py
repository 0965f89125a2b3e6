"""The signal that a scale-out goes by."""

from __future__ import annotations

import pytest

from engine.metrics.registry import Registry
from server.observe.loop_lag import LoopLag
from server.observe.node_load import LoadMetrics


@pytest.mark.parametrize(
    ("connections", "processor", "lag", "load"),
    [
        (10, 0.0, 0.0, 0.1),
        (80, 0.4, 0.0, 0.8),
        (10, 1.2, 0.0, 0.6),
        (10, 0.4, 0.05, 0.5),
        (10, 0.4, 30.0, 1.0),
        (150, 0.4, 30.0, 1.5),
    ],
)
def test_a_node_is_as_full_as_the_scarcest_of_connections_processor_and_event_loop(
    connections: int, processor: float, lag: float, load: float
) -> None:
    registry = Registry()
    registry.gauge("realtime_connections_capacity", "").value = 100
    metrics, lags = LoadMetrics(registry), LoopLag(registry)
    metrics.take(0.0, 0.0, 0)
    for _ in range(20):
        lags._lags.observe(lag)
    sample = metrics.take(2.0, processor, connections)
    assert sample.cpu == pytest.approx(processor / 2)
    assert registry.value("realtime_load_ratio") == pytest.approx(load, abs=0.1)


def test_the_lag_is_that_of_the_last_two_seconds() -> None:
    registry = Registry()
    registry.gauge("realtime_connections_capacity", "").value = 100
    metrics, lags = LoadMetrics(registry), LoopLag(registry)
    lags._lags.observe(5.0)
    metrics.take(0.0, 0.0, 0)
    assert registry.value("realtime_load_ratio") == 1.0
    metrics.take(2.0, 0.0, 0)
    assert registry.value("realtime_load_ratio") == 0.0
