"""``realtime dev --nodes N``: a cluster on this machine, of this process as a node, and its children: other nodes, a relay.

A NATS server, a relay that reads the one slot, and N nodes on ports that follow one another, as they would be on N machines
(docs: Several machines). One that ends by itself is started again. All end with this process, which then drops the slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psycopg
import structlog

from engine.errors import RealtimeError
from engine.feed.slots import drop_slot
from engine.postgres.connections.opening import connect
from server.app.listening import listen_near, url_of
from server.app.settings import PREFIX, Settings
from server.cli.serving.local_nats import LocalNats, LocalNatsError
from server.workers.record import how_it_ended

__all__ = ["Cluster", "cluster"]

_ENDS: Final = 20.0  # seconds that a process may take to end
_LOOKS: Final = 1.0  # seconds between two looks at the processes

_log = structlog.get_logger("realtime.node")


@dataclass(frozen=True, slots=True)
class Cluster:
    """``settings``: those of the node that is this process. ``others``: addresses of the other nodes; ``relay``: of its
    ``/health``.
    """

    settings: Settings
    others: tuple[str, ...] = ()
    relay: str = ""


@contextmanager
def cluster(settings: Settings, dsn: str, port: int, nodes: int, config: Path | None) -> Iterator[Cluster]:
    """NATS, a relay, and all nodes but the first, which listens on ``port``; they end with the block.
    ``config``: the file with settings that was named.

    Raises ``LocalNatsError``, and ``ServeError`` if no ports are free.
    """
    with TemporaryDirectory(prefix="realtime-", ignore_cleanup_errors=True) as folder, _nats(Path(folder)) as nats:
        own = settings.model_copy(
            update={
                "nats_url": (nats.url,),
                "slot_name": f"{settings.slot_name[:55]}_cluster",
                "node_name": "node_1",
                "ephemeral": False,
                "workers": 1,
            }
        )
        environment = os.environ | _environment(own, dsn)
        parts = _Parts()
        addresses: list[str] = []
        try:
            parts.keep("nats", nats.restarted, nats.process)
            for command, name in [*(("serve", f"node_{number}") for number in range(2, nodes + 1)), ("relay", "relay")]:
                address, port = _free_address(settings, port + 1)
                addresses.append(address)
                arguments = [command, "--host", settings.host, "--port", str(port)]
                if config is not None:
                    arguments += ["--config", str(config)]
                parts.keep(name, partial(_start, arguments, environment | {f"{PREFIX}NODE_NAME": name}))
            *others, relay = addresses
            with parts.watched():
                yield Cluster(own, tuple(others), relay)
        finally:
            parts.end()
            _drop_slot(dsn, own.slot_name)


class _Parts:
    """Processes beside this one, by name. While they are watched, one that has ended is started again."""

    def __init__(self) -> None:
        self._starts: dict[str, Callable[[], subprocess.Popen[bytes]]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ending = threading.Event()

    def keep(
        self, name: str, start: Callable[[], subprocess.Popen[bytes]], running: subprocess.Popen[bytes] | None = None
    ) -> None:
        """Start it, unless it is ``running``."""
        self._starts[name] = start
        self._running[name] = running or start()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A thread looks at them each second."""
        thread = threading.Thread(target=self._watch, name="parts", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(_LOOKS):
            for name, process in tuple(self._running.items()):
                code = process.poll()
                if code is not None:
                    _log.warning("part_ended", name=name, pid=process.pid, how=how_it_ended(code))
                    with contextlib.suppress(LocalNatsError, OSError):  # at the next look again
                        self._running[name] = self._starts[name]()

    def end(self) -> None:
        """All at the same time; one that does not end is killed. The NATS server, of which the others have need, is not."""
        children = [process for name, process in self._running.items() if name != "nats"]
        for each in children:
            each.terminate()
        for each in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(_ENDS)
                continue
            each.kill()
            each.wait()


@contextmanager
def _nats(folder: Path) -> Iterator[LocalNats]:
    nats = LocalNats(folder)
    nats.start()
    try:
        yield nats
    finally:
        nats.stop()


def _environment(settings: Settings, dsn: str) -> Mapping[str, str]:
    """What the children do as this process does. Their command lines show no passwords."""
    given = {
        "dsn": dsn,
        "nats_url": json.dumps(settings.nats_url),
        "slot_name": settings.slot_name,
        "workers": "1",
        "drain_time": str(settings.drain_time),
        "trust_user_parameter": "true" if settings.trust_user_parameter else "false",
        "anonymous_channels": json.dumps(settings.anonymous_channels),
        "allowed_origins": json.dumps(settings.allowed_origins),
        "dashboard": "true" if settings.dashboard else "false",
        "log_level": settings.log_level,
        "log_events": json.dumps(settings.log_events),
        "log_format": settings.log_format,
    }
    return {f"{PREFIX}{name.upper()}": value for name, value in given.items()}


def _free_address(settings: Settings, port: int) -> tuple[str, int]:
    """The first free port from ``port`` on, and its address."""
    with contextlib.closing(listen_near(settings.host, port, settings.user_timeout)) as probe:
        return url_of(probe), int(probe.getsockname()[1])


def _start(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    started = [sys.executable, "-m", "server", *arguments]
    return subprocess.Popen(started, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)


def _drop_slot(dsn: str, name: str) -> None:
    """So that it keeps no WAL. There is none if the relay had not come to lead."""
    with contextlib.suppress(RealtimeError, psycopg.Error):
        asyncio.run(_drop(dsn, name))


async def _drop(dsn: str, name: str) -> None:
    async with await connect(dsn, "realtime dev", answer_timeout=_ENDS) as connection:
        await drop_slot(connection, name)
