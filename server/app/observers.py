"""What watches a node while it serves: its statistics in the database, its alerts, and how full it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from engine.channels.service import Channels
from engine.live.service import LiveQueries
from server.alerts.measures import Measures
from server.alerts.watch import AlertWatch
from server.alerts.webhook import WebhookSender
from server.app.drain import Connections
from server.app.settings import Settings
from server.balance.mover import Location, Mover
from server.observe.node_metrics import NodeMetrics
from server.statistics.writer import statistics_of

__all__ = ["start_observers"]


def start_observers(  # noqa: PLR0913
    settings: Settings,
    node_id: str,
    status: Callable[[], Mapping[str, Any]],
    metrics: NodeMetrics,
    live: LiveQueries,
    channels: Channels,
    connections: Connections,
    stack: AsyncExitStack,
) -> None:
    """Start them; they are stopped with ``stack``. ``status``: the body of ``/health``."""
    webhook = settings.alert_webhook
    alerts = AlertWatch(
        node_id,
        Measures(metrics.registry),
        channels.store.keep,
        settings.alert_interval,
        None if webhook is None else WebhookSender(webhook),
    )
    statistics = statistics_of(node_id, status, metrics.registry, live, channels)
    url = settings.url_of_node(settings.port, tls=settings.tls_certificate is not None)
    location = Location(node_id, url, settings.node_region)
    mover = Mover(location, settings.balance_share, status, metrics.load, connections, channels.store.keep)
    for service in (statistics, alerts, mover):
        stack.push_async_callback(service.stop)
        service.start()
