"""The relay's process: it reads the slot of a machine for its workers, and ends after them."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

from engine.cluster.settings import ClusterSettings
from engine.feed.settings import FeedSettings
from engine.metrics.registry import Registry
from engine.postgres.reconnecting import Database
from engine.relay.listener import Listener
from engine.relay.relay import Relay
from engine.tasks import end
from server.observe.node_status import cluster_status
from server.observe.stream_state import StreamState
from server.workers.machine_metrics import RelayFigures, packed, showing
from server.workers.source import relay_figures, relay_pid_file, relay_socket, slot_feed
from server.workers.worker import Worker

__all__ = ["run_relay_process"]


async def run_relay_process(
    dsn: str,
    settings: FeedSettings,
    worker: Worker,
    version: str,
    leave_timeout: float,
    cluster: ClusterSettings | None = None,
) -> None:
    """Relay until the supervisor asks for the end. If the supervisor has died, the workers end by themselves: they are
    served for ``leave_timeout`` seconds more, or until they have left. ``cluster``: whose relay has the slot; this one then
    takes its stream from NATS.

    Raises ``FeedError`` if the database cannot be followed.
    """
    stop = asyncio.Event()
    signal.signal(
        signal.SIGTERM, signal.SIG_IGN
    )  # sent to all processes of a service: the workers still need the stream
    pid_file = relay_pid_file(worker.directory)
    pid_file.write_text(str(os.getpid()))
    relay = Relay(slot_feed(dsn, replace(settings, shared=True), cluster))
    registry = Registry()
    StreamState(registry).follow(relay.feed)
    exposed = registry.exposed()

    def figures() -> RelayFigures:
        return RelayFigures(packed(exposed), cluster_status(relay.feed))

    async with (
        Listener(relay, relay_socket(worker.directory), version).open(),
        showing(relay_figures(worker.directory), figures),
    ):
        running = asyncio.create_task(relay.run())
        waiting = {asyncio.create_task(each) for each in (stop.wait(), relay.ready.wait())}
        obeying = asyncio.create_task(worker.obey(_NoEntrance(), stop.set, stop.set))
        try:
            await asyncio.wait({running, *waiting}, return_when=asyncio.FIRST_COMPLETED)
            if relay.ready.is_set():
                await _forget_connections(dsn, settings)
                await worker.ready(_NoEntrance())
            stopped = asyncio.create_task(stop.wait())
            waiting.add(stopped)
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done() and worker.left_alone:
                await _workers_left(relay, leave_timeout)
        finally:
            pid_file.unlink(missing_ok=True)
            await end([obeying, *waiting])
            if not running.done():
                await end([running])
    if not running.cancelled():
        running.result()


async def _forget_connections(dsn: str, settings: FeedSettings) -> None:
    """Those of a server of one process, which was the node of this name before: if it was killed, nothing else does."""
    async with Database(dsn, f"realtime node {settings.node}", settings.lease / 3) as database:
        await database.rows("relay_forget_connections", node=settings.node)


async def _workers_left(relay: Relay, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while relay.workers:
                relay.took.clear()
                await relay.took.wait()
    except TimeoutError:
        return


class _NoEntrance:
    """No client comes to a relay."""

    async def open(self) -> None:
        """See ``server.workers.worker.Entrance``."""

    async def shut(self) -> None:
        """See ``server.workers.worker.Entrance``."""
