"""The parts of a cluster on one machine, each a process that can be killed, stopped and started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg

from engine.tasks import end
from server.cli.local_postgres import LocalPostgres
from server.cli.serving.local_nats import LocalNats
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, start

__all__ = ["NatsServers", "Parts", "Server"]

RECOVERS = 120.0
"""Seconds in which everything has to work again after the faults."""


class Server:
    """A relay or a node: a process that is started again on its port. ``command``: of ``realtime``."""

    def __init__(self, name: str, command: str, dsn: str, config: dict[str, Any]) -> None:
        self.name = name
        self.port = free_port()
        self._command = command
        self._dsn = dsn
        self._config = config | {"node_name": name, "log_format": "json"}
        self.process: ServerProcess | None = None
        self.lines: list[str] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start the process; it need not be ready at once."""
        self.process = await start(self._command, "--dsn", self._dsn, port=self.port, config=self._config)

    async def kill(self) -> None:
        """End the process at once."""
        if self.process is not None:
            process, self.process = self.process, None
            process.process.send_signal(signal.SIGCONT)
            await process.end(signal.SIGKILL)
            self.lines += process.lines

    async def keep(self) -> None:
        """Start the process again whenever it has ended by itself, as what supervises it does; forever."""
        while True:
            await asyncio.sleep(0.5)
            if self.process is not None and self.process.process.returncode is not None:
                await self.kill()
                await self.start()

    def pause(self) -> None:
        """Stop the process without an end of its connections."""
        if self.process is not None:
            self.process.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        if self.process is not None:
            self.process.process.send_signal(signal.SIGCONT)

    @property
    def log(self) -> list[str]:
        """What it has logged, also before it was killed."""
        return self.lines + ([] if self.process is None else self.process.lines)

    async def health(self) -> dict[str, Any]:
        """The body of ``/health``; empty where nothing answers."""
        with contextlib.suppress(httpx.HTTPError):
            async with httpx.AsyncClient(timeout=2.0) as http:
                body: dict[str, Any] = (await http.get(f"{self.url}/health")).json()
                return body
        return {}


class NatsServers:
    """NATS servers: a cluster if they are several."""

    def __init__(self, folder: Path, count: int) -> None:
        routes = [free_port() for _ in range(count)]
        names = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        self.all = []
        for number, route in enumerate(routes):
            cluster = f'server_name: "n{number}"\ncluster {{ name: c, listen: "127.0.0.1:{route}", routes: [{names}] }}'
            self.all.append(LocalNats(folder / f"n{number}", free_port(), cluster if count > 1 else ""))

    async def start(self, *servers: LocalNats) -> None:
        """Start those, or all."""
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in servers or self.all))

    def kill(self, *servers: LocalNats, wipe: bool = False) -> None:
        """End those, or all, at once. ``wipe``: remove what they have stored."""
        for each in servers or self.all:
            if each.process is not None:
                each.process.send_signal(signal.SIGCONT)
            each.kill()
            if wipe:
                each.wipe()


class Parts:
    """Everything. ``dsn``: a migrated database of ``postgres``."""

    def __init__(
        self, postgres: LocalPostgres, dsn: str, folder: Path, *, nodes: int = 3, relays: int = 2, nats: int = 1
    ) -> None:
        self.postgres = postgres
        self.dsn = dsn
        self.slot = "faults_" + dsn.rsplit("/", 1)[1][-12:]
        self.nats = NatsServers(folder / "nats", nats)
        config = {
            "nats_url": [each.url for each in self.nats.all],
            "nats_replicas": nats,
            "slot_name": self.slot,
            "trust_user_parameter": "true",
        }
        self.relays = [Server(f"relay{n}", "relay", dsn, config) for n in range(relays)]
        self._keeping: list[asyncio.Task[None]] = []
        self.nodes = [Server(f"node{n}", "serve", dsn, config) for n in range(nodes)]

    @property
    def servers(self) -> list[Server]:
        """Relays and nodes."""
        return self.relays + self.nodes

    async def start(self) -> None:
        """Start all and wait until all work."""
        await self.nats.start()
        await asyncio.gather(*(each.start() for each in self.servers))
        self._keeping = [asyncio.create_task(each.keep()) for each in self.servers]
        await self.recovered()

    async def leader(self) -> Server | None:
        """The relay that leads, as far as one is known."""
        for each in self.relays:
            if (await each.health()).get("role") == "leader":
                return each
        return None

    async def recovered(self) -> None:
        """Wait until a relay leads and every node follows. Raises ``AssertionError`` with what does not."""
        began = time.monotonic()
        await self._wait(began, "no relay leads", self._leads)
        for node in self.nodes:
            await self._wait(began, f"{node.name} does not follow", partial(self._follows, node))

    async def _wait(self, began: float, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        while not await holds():
            if time.monotonic() - began > RECOVERS:
                health = {each.name: await each.health() for each in self.servers}
                raise AssertionError(f"{what} {RECOVERS:.0f} s after the last fault: {health}")
            await asyncio.sleep(0.2)

    async def _leads(self) -> bool:
        health = [await each.health() for each in self.relays]
        return any(each.get("role") == "leader" and each["feed"]["state"] == "streaming" for each in health)

    async def _follows(self, node: Server) -> bool:
        health = await node.health()
        return health.get("status") in ("ok", "degraded") and health["feed"]["state"] == "streaming"

    async def close(self) -> None:
        """End all."""
        await end(self._keeping)
        await asyncio.gather(*(each.kill() for each in self.servers))
        self.nats.kill()

    async def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement; raises ``psycopg.Error``."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
                cursor = await connection.execute(statement.encode(), parameters or None)
                return await cursor.fetchall() if cursor.description else []
