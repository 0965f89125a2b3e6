"""What watches a node while it serves: its statistics in the database, and its alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from engine.channels.service import Channels
from engine.live.service import LiveQueries
from engine.metrics.registry import Registry
from server.alerts.measures import Measures
from server.alerts.watch import AlertWatch
from server.alerts.webhook import WebhookSender
from server.app.settings import Settings
from server.statistics.writer import statistics_of

__all__ = ["start_observers"]


def start_observers(
    settings: Settings,
    node_id: str,
    status: Callable[[], Mapping[str, Any]],
    registry: Registry,
    live: LiveQueries,
    channels: Channels,
    stack: AsyncExitStack,
) -> None:
    """Start them; they are stopped with ``stack``. ``status``: the body of ``/health``."""
    webhook = settings.alert_webhook
    alerts = AlertWatch(
        node_id,
        Measures(registry),
        channels.store.keep,
        settings.alert_interval,
        None if webhook is None else WebhookSender(webhook),
    )
    statistics = statistics_of(node_id, status, registry, live, channels)
    for service in (statistics, alerts):
        stack.push_async_callback(service.stop)
        service.start()
