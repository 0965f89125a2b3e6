"""What a node measures for alerts: shares and latencies of the last five minutes, and nothing of what was before."""

from __future__ import annotations

import pytest

from engine.errors import ErrorCode
from engine.metrics.registry import Registry
from server.alerts.measures import FEW, WINDOW, Measures
from server.observe.capacity import Capacity
from server.observe.meters import Meters


class Node:
    def __init__(self, capacity: int = 100) -> None:
        registry = Registry()
        self.meters = Meters(registry)
        Capacity(registry, planned=capacity)
        self.measures = Measures(registry)

    def take(self, now: float, name: str) -> float:
        return self.measures.take(now)[name]


def test_the_share_of_connections_is_that_of_the_capacity_over_all_transports() -> None:
    node = Node()
    for transport, count in (("websocket", 70), ("sse", 10), ("poll", 5)):
        for _ in range(count):
            node.meters.of(transport).opened()
    assert node.take(0, "connection_share") == pytest.approx(0.85)


def test_few_errors_are_no_share_of_the_messages() -> None:
    node = Node()
    node.take(0, "error_share")
    meter = node.meters.of("websocket")
    for _ in range(FEW - 1):
        meter.received(10)
        node.meters.error("websocket", ErrorCode.CONNECTION_FAILED)
    for _ in range(10):
        meter.received(10)
    assert node.take(10, "error_share") == 0
    node.meters.error("websocket", ErrorCode.CONNECTION_FAILED)
    assert node.take(20, "error_share") == pytest.approx(FEW / (FEW + 9))


def test_errors_that_answer_no_message_are_a_share_of_one_at_most() -> None:
    node = Node()
    node.take(0, "error_share")
    for _ in range(100):
        node.meters.error("websocket", ErrorCode.CONNECTION_FAILED)
    assert node.take(10, "error_share") == 1


@pytest.mark.parametrize("code", [each for each in ErrorCode if each is not ErrorCode.CONNECTION_FAILED])
def test_what_clients_are_refused_is_no_error_of_the_node(code: ErrorCode) -> None:
    node = Node()
    node.take(0, "error_share")
    for _ in range(1_000):
        node.meters.of("websocket").received(10)
        node.meters.error("websocket", code)
    assert node.take(10, "error_share") == 0


@pytest.mark.parametrize("transport", ["sse", "poll"])
def test_clients_that_leave_other_transports_than_websocket_are_not_broken(transport: str) -> None:
    node = Node()
    node.take(0, "disconnect_share")
    for code, count, of in ((1006, 1_000, transport), (1006, 20, "websocket"), (1000, 20, "websocket")):
        for _ in range(count):
            node.meters.of(of).opened()
            node.meters.of(of).closed(code, 1.0)
    assert node.take(10, "disconnect_share") == pytest.approx(20 / 40), "only WebSockets count, on both sides"


def test_few_websockets_that_break_are_no_share_of_those_that_end() -> None:
    node = Node()
    meter = node.meters.of("websocket")
    for _ in range(1_000):
        meter.opened()
    node.take(0, "disconnect_share")
    for _ in range(FEW + 48):
        meter.closed(1006, 1.0)
        meter.opened()
    meter.closed(1006, 1.0)
    meter.opened()
    assert node.take(10, "disconnect_share") == 0, "of a thousand that are open some always break"
    meter.closed(1006, 1.0)
    meter.opened()
    assert node.take(20, "disconnect_share") == 1


def test_errors_of_requests_without_a_connection_are_not_counted_among_messages() -> None:
    node = Node()
    node.take(0, "error_share")
    for _ in range(100):
        node.meters.of("websocket").received(10)
        node.meters.error("http", ErrorCode.CONNECTION_FAILED)
    assert node.take(10, "error_share") == 0


def test_what_is_longer_ago_than_the_window_does_not_count() -> None:
    node = Node()
    meter = node.meters.of("websocket")
    node.take(0, "error_share")
    for _ in range(50):
        meter.received(10)
        node.meters.error("websocket", ErrorCode.CONNECTION_FAILED)
        meter.opened()
        meter.closed(1006, 1.0)
    first = node.measures.take(10)
    assert (first["error_share"], first["disconnect_share"]) == (1, 1)
    for now in range(20, round(WINDOW), 10):
        node.measures.take(now)
    assert node.take(WINDOW, "error_share") == 1, "still within the window"
    last = node.measures.take(WINDOW + 20)
    assert (last["error_share"], last["disconnect_share"]) == (0, 0)


def test_connections_that_end_with_a_close_frame_are_not_broken() -> None:
    node = Node()
    node.take(0, "disconnect_share")
    for code in [1000] * 30 + [1001] * 30 + [1006] * 15 + [1011] * 5:
        node.meters.of("websocket").opened()
        node.meters.of("websocket").closed(code, 1.0)
    assert node.take(10, "disconnect_share") == pytest.approx(20 / 80)


def test_the_latency_is_the_95th_percentile_of_the_window() -> None:
    node = Node()
    latencies = node.meters.latencies.of("websocket")
    latencies.observe(4_000_000, 1_000)
    node.take(0, "delivery_seconds")
    latencies.observe(1_000, 1_000)
    assert node.take(10, "delivery_seconds") <= 0.001
    latencies.observe(2_000_000, 100)
    assert node.take(20, "delivery_seconds") > 1
    assert Node().take(0, "delivery_seconds") == 0, "without a message there is no latency"
