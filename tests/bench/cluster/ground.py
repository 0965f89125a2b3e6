"""A cluster of processes on this machine, and the processor time of each of its parts."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.bench.load.usage import ran
from server.cli.local_postgres import LocalPostgres
from server.cli.serving.local_nats import LocalNats
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import ServerProcess, start

__all__ = ["Cluster", "cluster", "servers"]

_NODE = {"max_connections_per_ip": "100000", "max_connection_rate": "1000000"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A relay that leads, and nodes of one process each: forks of one that has the modules, of which many start soon."""

    dsn: str
    relay: ServerProcess
    nodes: tuple[ServerProcess, ...]
    nats: int
    """The process of the NATS server."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Of the nodes' WebSockets."""
        return tuple(each.websocket for each in self.nodes)

    def spent(self) -> dict[str, float]:
        """Microseconds for which the parts have run: ``nodes`` together, ``relay`` and ``nats``."""
        nodes = sum(ran(each.process.pid) for each in self.nodes)
        return {"nodes": nodes / 1000, "relay": ran(self.relay.process.pid) / 1000, "nats": ran(self.nats) / 1000}


@contextmanager
def servers(**settings: str) -> Iterator[tuple[LocalPostgres, LocalNats]]:
    """A PostgreSQL with these settings, and a NATS server; both run."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        postgres, nats = LocalPostgres(Path(folder) / "pg", settings=settings), LocalNats(Path(folder) / "nats")
        postgres.start()
        stack.callback(postgres.delete)
        nats.start()
        stack.callback(nats.stop)
        yield postgres, nats


@asynccontextmanager
async def cluster(
    postgres: LocalPostgres, nats: LocalNats, nodes: int, name: str, **relay_config: object
) -> AsyncIterator[Cluster]:
    """With a database of its own. ``name``: of its slot; ``relay_config``: settings of the relay."""
    assert nats.process is not None, "it was started"
    dsn = fresh_database(postgres)
    config = {"nats_url": nats.url, "slot_name": name}
    async with AsyncExitStack() as stack:

        async def run(command: str, **more: object) -> ServerProcess:
            process = await start(command, "--dsn", dsn, port=free_port(), config=config | more)
            stack.push_async_callback(process.end)
            return process

        relay = await run("relay", **relay_config)
        await relay.healthy()
        started = []
        for _ in range(nodes):  # one after the other: a machine with few cores starts them no sooner at once
            started.append(await run("serve", **_NODE, ephemeral="true"))
            await started[-1].healthy()
        yield Cluster(dsn, relay, tuple(started), nats.process.pid)
