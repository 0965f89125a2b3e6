"""The rounds of a scenario as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from server.bench.scenario import Figures

__all__ = ["cells", "cores"]

_COLUMNS: Final = (
    ("rate/s", "rate", ",.0f"),
    ("clients", "clients", ",.0f"),
    ("messages", "messages", ",.0f"),
    ("deliveries", "deliveries", ",.0f"),
    ("subscriptions", "subscriptions", ",.0f"),
    ("missing", "missing", ",.0f"),
    ("took s", "took_s", ",.2f"),
    ("deliveries/s", "deliveries_per_s", ",.0f"),
    ("connects/s", "connects_per_s", ",.0f"),
    ("clients/s", "clients_per_s", ",.0f"),
    ("subscriptions/s", "subscriptions_per_s", ",.0f"),
    ("MB/s", "bytes_per_s", ",.1f"),
    ("connect p50 ms", "opened_p50_ms", ",.1f"),
    ("p95", "opened_p95_ms", ",.1f"),
    ("p99", "opened_p99_ms", ",.1f"),
    ("answer p50 ms", "answered_p50_ms", ",.1f"),
    ("p95", "answered_p95_ms", ",.1f"),
    ("p99", "answered_p99_ms", ",.1f"),
    ("delivery p50 ms", "latency_p50_ms", ",.2f"),
    ("p95", "latency_p95_ms", ",.2f"),
    ("p99", "latency_p99_ms", ",.2f"),
    ("all p50 ms", "complete_p50_ms", ",.1f"),
    ("p95", "complete_p95_ms", ",.1f"),
    ("p99", "complete_p99_ms", ",.1f"),
    ("commit p50 ms", "acked_p50_ms", ",.2f"),
    ("p95", "acked_p95_ms", ",.2f"),
    ("server µs/delivery", "server_us_per_delivery", ",.1f"),
    ("server ms/connect", "server_ms_per_connect", ",.2f"),
    ("server ms/client", "server_ms_per_client", ",.2f"),
    ("server ms/subscription", "server_ms_per_subscription", ",.2f"),
    ("bytes/connection", "server_bytes_per_connection", ",.0f"),
    ("kernel", "kernel_bytes_per_connection", ",.0f"),
    ("bytes/subscription", "server_bytes_per_subscription", ",.0f"),
    ("cores at rest", "server_cores_at_rest", ",.3f"),
    ("sustained", "sustained", ""),
)
_CORES: Final = ("server", "postgres", "clients")


def cores(figures: Figures) -> dict[str, float]:
    """Processors that were busy for the server, PostgreSQL and the clients, as far as they could be seen."""
    took = figures["took_s"] or 1.0
    return {name: figures["cpu_s"][name] / took for name in _CORES if name in figures["cpu_s"]}


def cells(rounds: Sequence[Figures]) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of a table of rounds: the columns of which any has a figure."""
    shown = [column for column in _COLUMNS if any(column[1] in each for each in rounds)]
    names = [name for name in _CORES if any(name in each["cpu_s"] for each in rounds)]
    heads = [head for head, _, _ in shown] + [f"{name} cores" for name in names]
    lines = [
        [_cell(each.get(key), form, key) for _, key, form in shown]
        + [f"{busy[name]:.2f}" if name in busy else "-" for name in names]
        for each in rounds
        for busy in [cores(each)]
    ]
    return heads, lines


def _cell(value: Any, form: str, key: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value / 1e6 if key == "bytes_per_s" else value, form)
