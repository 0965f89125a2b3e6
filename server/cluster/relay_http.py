"""A relay's port: ``/health``, ``/health/live``, ``/health/ready`` and ``/metrics``, for operators."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.requests import Request
from starlette.routing import Route

from engine.metrics.registry import Registry
from server.app.http_app import make_app
from server.auth.api_keys import KeyRing
from server.cluster.relay_metrics import RelayMetrics
from server.cluster.relay_service import RelayService
from server.observe.endpoint import PATH, MetricsEndpoint
from server.observe.health import health_routes
from server.rest.access import Access

__all__ = ["answering"]

_SHUTDOWN = 2  # seconds for connections to close


@asynccontextmanager
async def answering(service: RelayService, listener: socket.socket, rest_key: str | None) -> AsyncIterator[None]:
    """Answer requests at ``listener``. ``rest_key``: which operators of other machines need."""
    access = Access(rest_key, KeyRing())

    async def admit(request: Request) -> None:
        access.check(request, "metrics")

    registry = Registry()
    RelayMetrics(registry).follow(service)
    metrics = MetricsEndpoint(registry, admit)
    app = make_app(health_routes(service.status, admit), [Route(PATH, metrics.__call__, methods=["GET"])])
    server = uvicorn.Server(
        uvicorn.Config(
            app, ws="none", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=_SHUTDOWN
        )
    )
    serving = asyncio.create_task(server._serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
