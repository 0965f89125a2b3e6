"""The workers of one command: how many, with which settings, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import structlog
from starlette.routing import BaseRoute

from engine.errors import RealtimeError
from server.app.listening import SharedPort, listen
from server.app.server import serve
from server.app.settings import Settings
from server.app.version import package_version
from server.cli.serving.usable import check_usable
from server.logs.output import OUTPUT
from server.workers.cores import cores
from server.workers.relay_process import run_relay_process
from server.workers.sockets import leave
from server.workers.supervisor import Supervisor
from server.workers.worker import RELAY, Worker

__all__ = ["Served", "Workers", "serve_with_workers", "workers_of"]

_MARGIN = 30.0  # seconds for which the relay outlasts workers that drain, if the supervisor has died

_MAX_UNASKED = 8
"""Workers where their number is not given: with more a PostgreSQL has too few connections (``max_connections`` is 100)."""

_FIXED = (
    "dsn",
    "host",
    "port",
    "workers",
    *("slot_name", "slot_failover", "ephemeral", "decoder", "heartbeat_interval", "lease"),
    *("nats_url", "nats_ca", "node_name"),
    *("log_level", "log_format"),
)
"""Settings of the supervisor, the relay, or the log of all: changed by a start."""

ExitOf = Callable[[RealtimeError | psycopg.Error], tuple[str, int]]

_log = structlog.get_logger("realtime.workers")


@dataclass(frozen=True, slots=True)
class Served:
    """What :func:`server.app.server.serve` is given."""

    settings: Settings
    dsn: str
    routes: Sequence[BaseRoute] = ()
    ready: Callable[[str], None] = lambda url: None
    listener: socket.socket | None = None


def workers_of(settings: Settings) -> int:
    """How many there are: as the settings ask for, or one per processor."""
    return settings.workers or min(cores(), _MAX_UNASKED)


def serve_with_workers(served: Served, exit_of: ExitOf, reload: Callable[[], Settings] | None = None) -> None:
    """Serve until SIGINT or SIGTERM, by as many workers as the settings ask for: one is this process.

    ``exit_of``: what is reported of an error of a worker, and its exit code. ``reload``: reads the settings again, for a
    rolling restart. Raises as ``serve`` does, and ``WorkersFailedError``.
    """
    settings = served.settings
    count = workers_of(settings)
    if count == 1:
        serve(settings, served.dsn, served.routes, served.ready, served.listener)
        return
    listener = served.listener or listen(settings.host, settings.port, settings.user_timeout)
    port = SharedPort(listener, settings.user_timeout)
    workers = Workers(served, exit_of, reload)
    scheme = "http" if settings.tls_certificate is None else "https"
    directory = TemporaryDirectory(prefix="realtime-", ignore_cleanup_errors=True)  # of mode 0700
    try:
        Supervisor(
            count,
            workers.run,
            port.open,
            Path(directory.name),
            ready=lambda: served.ready(port.url(scheme)),
            reload=workers.reload,
            conclude=workers.conclude,
            drain_time=settings.drain_time,
        ).run()
    finally:
        port.close()
        directory.cleanup()


class Workers:
    """Runs workers with ``settings``: those that were read last, or the former ones if a worker cannot start with them."""

    def __init__(self, served: Served, exit_of: ExitOf, reload: Callable[[], Settings] | None) -> None:
        self._served = served
        self._exit_of = exit_of
        self.settings = self._proven = served.settings  # proven: every worker has started with them
        self._read = reload

    def reload(self) -> None:
        """Read the settings again. Raises ``SettingsError``, also if they cannot be used."""
        if self._read is None:
            return
        read, now = self._read(), self.settings
        kept = {name: getattr(now, name) for name in _FIXED if getattr(read, name) != getattr(now, name)}
        if kept:
            _log.warning("settings_need_restart", settings=sorted(kept))
        settings = read.model_copy(update=kept)
        check_usable(settings)
        self.settings = settings

    def conclude(self, proven: bool) -> None:
        """A rolling restart has ended. ``proven``: all workers have started with the settings that were read last."""
        if proven:
            self._proven = self.settings
        else:
            self.settings = self._proven

    def run(self, worker: Worker) -> int:
        """One worker, to its end; what it cannot do is reported as by a command. Returns its exit code."""
        dsn, settings = self._served.dsn, self.settings
        try:
            if worker.number == RELAY:
                version, leave_timeout = package_version(), settings.drain_time + _MARGIN
                with OUTPUT.apart():
                    asyncio.run(
                        run_relay_process(dsn, settings.feed_settings, worker, version, leave_timeout, settings.cluster)
                    )
            else:
                serve(settings.of_worker(worker.number, worker.count), dsn, self._served.routes, worker=worker)
        except (RealtimeError, psycopg.Error) as wrong:
            message, code = self._exit_of(wrong)
            print(f"realtime: {message}", file=sys.stderr, flush=True)
            return code
        finally:
            if worker.left_alone:
                leave(worker.directory)
        return 0
