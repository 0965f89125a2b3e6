"""Run a relay until a signal stops it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from dataclasses import replace

from engine.tasks import end
from server.app.listening import listen, url_of
from server.app.settings import Settings, SettingsError
from server.app.version import package_version
from server.cluster.relay_http import answering
from server.cluster.relay_service import RelayService
from server.logs.output import OUTPUT

__all__ = ["serve_relay"]


def serve_relay(settings: Settings, dsn: str, ready: Callable[[str], None] = lambda url: None) -> None:
    """Until SIGINT or SIGTERM. ``ready``: is called with its address. Raises ``SettingsError`` or ``ServeError``."""
    listener = listen(settings.host, settings.port, settings.user_timeout)
    with contextlib.closing(listener), OUTPUT.apart(), asyncio.Runner() as runner:
        runner.run(_serve(settings, dsn, listener, ready))


async def _serve(settings: Settings, dsn: str, listener: socket.socket, ready: Callable[[str], None]) -> None:
    cluster = settings.cluster
    if cluster is None:
        raise SettingsError("a relay needs NATS: set nats_url (--nats nats://user:password@host:4222)")
    if cluster.origin is not None:
        raise SettingsError("a relay publishes to the primary region's NATS: nats_origin is for nodes of other regions")
    name = settings.name_in_cluster(settings.slot_name, listener.getsockname()[1])
    feed = replace(settings.feed_settings, node_id=None)
    service = RelayService(dsn, feed, cluster, name, package_version(), settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    key = None if settings.rest_key is None else settings.rest_key.get_secret_value()
    async with answering(service, listener, key):
        ready(url_of(listener, "http"))
        running = asyncio.create_task(service.run())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            await end([running, stopping])
