"""The parts of a cluster on one machine, each a process that can be killed, stopped and started again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psycopg
from nats.errors import Error as NatsError

from engine.cluster.nats_stream import Found, NatsFailedError, connected
from engine.cluster.settings import ClusterSettings
from engine.tasks import end
from tests.cluster.databases import Databases
from tests.cluster.links import CLIENTS, Links
from tests.cluster.namespaces.namespaces import Namespaces
from tests.cluster.nats_servers import NatsServers, nats_names
from tests.cluster.time_limit import TimeLimit
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, start

__all__ = ["Parts", "Server"]

RECOVERS = 120.0
"""Seconds in which everything has to work again after the faults: a :class:`tests.cluster.time_limit.TimeLimit`."""

KEY = "the-key-of-the-operator-of-this-run"
"""Without it, ``/health`` has more only for the machine itself."""

_LOOKED_AT = 60  # messages of the stream


class Server:
    """A relay or a node: a process that is started again on its port. ``command``: of ``realtime``; ``trees``: of the
    versions that it is started with in turn, None: this one. ``near``: its address here; ``namespace``: its network.

    ``link``: host and port for clients. ``ended``: how often it has ended by itself.
    """

    def __init__(
        self,
        name: str,
        command: str,
        dsn: str,
        config: dict[str, Any],
        trees: tuple[Path | None, ...] = (None,),
        *,
        near: str = "127.0.0.1",
        namespace: Path | None = None,
    ) -> None:
        self.name = name
        self.port = free_port()
        self.link = f"{near}:{self.port}"
        self._near = near
        self._namespace = namespace
        self._command = command
        self._dsn = dsn
        self._trees = itertools.cycle(trees)
        self._config = config | {"node_name": name, "log_format": "json"}
        self.process: ServerProcess | None = None
        self.lines: list[str] = []
        self.ended = 0

    @property
    def near(self) -> str:
        """Its address here, whatever its links do."""
        return f"{self._near}:{self.port}"

    @property
    def url(self) -> str:
        """The same with its scheme."""
        return f"http://{self.near}"

    @property
    def clients_url(self) -> str:
        """Its address for clients, over a link that may fail."""
        return f"http://{self.link}"

    async def start(self) -> None:
        """Start the process; it need not be ready at once."""
        command, tree = (self._command, "--dsn", self._dsn), next(self._trees)
        config, namespace = self._config, self._namespace
        self.process = await start(*command, port=self.port, config=config, tree=tree, namespace=namespace)
        self.process.host = self._near

    async def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the process, by default at once."""
        if self.process is not None:
            process, self.process = self.process, None
            process.process.send_signal(signal.SIGCONT)
            await process.end(how)
            self.lines += process.lines

    async def keep(self) -> None:
        """Start the process again whenever it has ended by itself, as what supervises it does; forever."""
        while True:
            await asyncio.sleep(0.5)
            if self.process is not None and self.process.process.returncode is not None:
                self.ended += 1
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
                headers = {"Authorization": f"Bearer {KEY}"}
                body: dict[str, Any] = (await http.get(f"{self.url}/health", headers=headers)).json()
                return body
        return {}


class Parts:
    """Everything. ``database``: a migrated one of ``databases``, by its name; ``other``: the tree of another version, which
    relays and nodes are started with in turn with this one; ``node_config``: further settings of nodes.

    ``dsn``: of it, without a link between.
    """

    def __init__(  # noqa: PLR0913
        self,
        databases: Databases,
        database: str,
        folder: Path,
        *,
        nodes: int = 3,
        relays: int = 2,
        nats: int = 1,
        other: Path | None = None,
        namespaces: bool = False,
        node_config: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        versions = (None,) if other is None else (None, other)
        self._versions = itertools.cycle([versions, versions[::-1]])
        self.databases = databases
        self.dsn = _either_of((f"127.0.0.1:{server.port}" for server in databases.servers), database)
        self.slot = "faults_" + database[-12:]
        relay_names, node_names = [f"relay{n}" for n in range(relays)], [f"node{n}" for n in range(nodes)]
        self.links = (
            Namespaces([*relay_names, *node_names, *nats_names(nats)], self.postgres) if namespaces else Links()
        )
        self.nats = NatsServers(folder / "nats", nats, self.links)
        self._nats_replicas = nats
        self._node_config = node_config
        self.relays = [self._server(name, "relay", database) for name in relay_names]
        self.nodes = [self._server(name, "serve", database) for name in node_names]
        for node in self.nodes:
            node.link = self.links.add(CLIENTS, node.name, node.port)
        self._keeping: list[asyncio.Task[None]] = []

    def _server(self, name: str, command: str, database: str) -> Server:
        """A server that reaches the others over links."""
        addresses = [
            self.links.add(name, to, server.port)
            for to, server in zip(self.postgres, self.databases.servers, strict=True)
        ]
        nats = [
            each.url.replace(f"127.0.0.1:{each.port}", self.links.add(name, to, each.port, greets=True))
            for to, each in zip(self.nats.names, self.nats.all, strict=True)
        ]
        config: dict[str, Any] = {
            "nats_url": nats,
            "nats_replicas": self._nats_replicas,
            "slot_name": self.slot,
            "trust_user_parameter": "true",
            "host": self.links.listens(name),
            "rest_key": KEY,
        }
        if command == "serve":  # all clients have one address
            config |= {"max_connection_rate": 100_000, "max_connections_per_ip": 10_000, **self._node_config}
        dsn, near, namespace = _either_of(addresses, database), self.links.near(name), self.links.namespace(name)
        return Server(name, command, dsn, config, next(self._versions), near=near, namespace=namespace)

    @property
    def postgres(self) -> list[str]:
        """The names of the PostgreSQL servers."""
        return [f"postgres{number}" for number in range(len(self.databases.servers))]

    @property
    def servers(self) -> list[Server]:
        """Relays and nodes."""
        return self.relays + self.nodes

    @property
    def places(self) -> list[str]:
        """All names that links are between."""
        return [*(each.name for each in self.servers), *self.nats.names, *self.postgres, CLIENTS]

    async def start(self, *, nodes: bool = True) -> None:
        """Start all, or all but the nodes, and wait until these work. The servers of PostgreSQL run."""
        await self.links.start()
        await self.nats.start()
        servers = self.servers if nodes else self.relays
        await asyncio.gather(*(each.start() for each in servers))
        self._keeping = [asyncio.create_task(each.keep()) for each in servers]
        if nodes:
            await self.recovered()
        else:
            await self._wait(TimeLimit(RECOVERS), "no relay leads", self._leads)

    async def leader(self) -> Server | None:
        """The relay that leads, as far as one is known."""
        for each in self.relays:
            if (await each.health()).get("role") == "leader":
                return each
        return None

    async def all_have_the_stream(self) -> bool:
        """Whether every NATS server has all of it."""
        settings = ClusterSettings(urls=self.nats.urls, slot=self.slot)
        try:
            async with connected(settings, "the faults") as stream:
                cluster = (await stream.client.jetstream().stream_info(settings.stream)).cluster
        except (NatsFailedError, NatsError, TimeoutError):
            return False
        others = (cluster and cluster.replicas) or []
        return len(others) + 1 == len(self.nats.all) and all(each.current for each in others)

    async def lose(self, chance: random.Random) -> list[str]:
        """Remove some of the last messages of the stream; returns their subjects. None, if NATS does not answer.

        Those that a message over another topic follows at once which may be about the same channel, if there are any.
        """
        settings = ClusterSettings(urls=self.nats.urls, slot=self.slot)
        lost: list[str] = []
        with contextlib.suppress(NatsFailedError, NatsError, TimeoutError):
            async with connected(settings, "the faults") as stream:
                state = await stream.state()
                last = 0 if state is None else state.last
                found = [await stream.find(sequence) for sequence in range(max(1, last - _LOOKED_AT), last + 1)]
                kinds = [_kind(settings, each) for each in found]
                behind = [*kinds[1:], ""]
                crossed = [{*each} == {"channel", "events"} for each in zip(kinds, behind, strict=True)]
                followed = (
                    crossed
                    if any(crossed)
                    else [bool(here and next_) for here, next_ in zip(kinds, behind, strict=True)]
                )
                either = [each for each, wanted in zip(found, followed, strict=True) if wanted and each is not None]
                for each in chance.sample(either, min(len(either), chance.choice((1, 1, 3)))):
                    await stream.client.jetstream().delete_msg(settings.stream, each.sequence)
                    lost.append(each.subject.removeprefix(settings.prefix))
        return lost

    async def recovered(self) -> None:
        """Wait until PostgreSQL answers, a relay leads and nodes follow. Raises ``AssertionError`` with what does not."""
        limit = TimeLimit(RECOVERS)
        await self._wait(limit, "PostgreSQL does not answer", self._answers)
        await self._wait(limit, "no relay leads", self._leads)
        for node in self.nodes:
            await self._wait(limit, f"{node.name} does not follow", partial(self._follows, node))

    async def _wait(self, limit: TimeLimit, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        while not await holds():
            if limit.over:
                health = {each.name: await each.health() for each in self.servers}
                for body in health.values():
                    body.pop("configuration", None)
                raise AssertionError(f"{what} {RECOVERS:.0f} s after the last fault: {health}")
            await asyncio.sleep(0.2)

    async def _answers(self) -> bool:
        with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
            return bool(await self.sql("select 1"))
        return False

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
        await self.links.close()

    async def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement; raises ``psycopg.Error``."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
                cursor = await connection.execute(statement.encode(), parameters or None)
                return await cursor.fetchall() if cursor.description else []


def _kind(settings: ClusterSettings, found: Found | None) -> str:
    """Of a message: "table", "channel" or "events"; "" for a sign of life, and where there is none."""
    if found is None or found.subject == settings.pulses:
        return ""
    return found.subject.removeprefix(settings.prefix).split(".")[1]


def _either_of(addresses: Iterable[str], database: str) -> str:
    """A DSN of the servers at these addresses: the primary is taken."""
    return f"postgresql://postgres@{','.join(addresses)}/{database}?target_session_attrs=read-write"
