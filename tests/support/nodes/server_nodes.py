"""Nodes to be driven: each a whole server behind a port, in this process or in one of its own that can be killed."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import uvicorn

from engine.feed.settings import DecoderName
from engine.postgres.errors import UNREADABLE
from server.app.http_app import make_app
from server.app.node import Node
from server.app.settings import Settings
from server.app.uvicorn_http import arrivals
from server.observe.health import health_routes
from server.rest import Rest
from server.rest.access import Access
from server.transports.http_routes import transport_routes
from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import ServerProcess, start

__all__ = ["LEASE", "ModelNode", "NodeHere", "NodeOutside", "errors_in"]

LEASE = 3.0
"""Seconds; the shortest that the settings allow."""


class ModelNode(ABC):
    """A node that is up or down. ``gaps`` counts how often its slot was taken away. ``config``: settings of its own.

    ``address``: host and port for clients; ``headers``: of requests to its REST API.
    """

    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, dsn: str, decoder: DecoderName, config: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.dsn = dsn
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.slot = config.get("slot_name", slot_name())
        self.up = False
        self.gaps = 0
        self._config: dict[str, Any] = {
            "slot_name": self.slot,
            "decoder": decoder,
            "lease": LEASE,
            "heartbeat_interval": 0.5,
            "trust_user_parameter": True,
            "max_message_rate": 100_000.0,
            **config,
        }

    @abstractmethod
    async def start(self) -> None:
        """Up again, under the same name and slot."""

    @abstractmethod
    async def stop(self) -> None:
        """Down in order."""

    @abstractmethod
    async def kill(self) -> None:
        """Down without a word, where that can be done; else in order."""

    @abstractmethod
    def complaints(self) -> list[str]:
        """What it logged as an error."""


class NodeHere(ModelNode):
    """A node in this process; its errors are in this process's log."""

    def __init__(self, dsn: str, decoder: DecoderName, config: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(dsn, decoder, config)
        self._settings = Settings(**self._config)

    async def start(self) -> None:
        while True:
            try:
                await self._start()
                break
            except UNREADABLE:  # its connections were killed as it began: a process would end, and be started again
                await self.stop()
        self.up = True

    async def _start(self) -> None:
        self._node = Node(self._settings, self.dsn)
        access, size = Access(None, self._node.keys), self._settings.max_message_size
        self._rest = Rest(self.dsn, "test", access=access, pool_size=2, message_size=size)
        transports = transport_routes(self._node.sessions, self._settings.allowed_origins)
        self._server = uvicorn.Server(
            uvicorn.Config(
                make_app(health_routes(self._node.status), [*transports, self._rest.mount]),
                http=arrivals(self._node),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=8,
            )
        )
        self._serving = asyncio.create_task(self._server._serve([socket.create_server(("127.0.0.1", self.port))]))
        await self._node.start()
        await self._rest.start()

    async def stop(self) -> None:
        self.up = False
        self._server.should_exit = True
        await self._serving
        await self._rest.stop()
        await self._node.stop()

    async def kill(self) -> None:
        await self.stop()

    def complaints(self) -> list[str]:
        failure = self._node.failure
        return [] if failure is None else [f"the node failed: {failure!r}"]


class NodeOutside(ModelNode):
    """A node in a process of its own."""

    def __init__(self, dsn: str, decoder: DecoderName, config: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(dsn, decoder, config)
        self._config["log_format"] = "json"
        self._lines: list[str] = []
        self._process: ServerProcess | None = None

    async def start(self) -> None:
        self._process = await start("serve", "--dsn", self.dsn, port=self.port, config=self._config)
        self._process.lines = self._lines
        await self._process.healthy()
        self.up = True

    async def stop(self) -> None:
        self.up = False
        assert self._process is not None
        await self._process.end()

    async def kill(self) -> None:
        self.up = False
        assert self._process is not None
        await self._process.end(signal.SIGKILL)

    def complaints(self) -> list[str]:
        return errors_in(self._lines)


def errors_in(lines: Iterable[str]) -> list[str]:
    """The lines of a log in JSON that are errors, or parts of a trace."""
    return [line for line in lines if _is_error(line)]


def _is_error(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return "Traceback" in line
    return isinstance(entry, dict) and entry.get("level") in ("error", "critical")
