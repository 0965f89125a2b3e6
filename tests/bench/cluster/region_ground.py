"""A primary region and another one on this machine, and what crosses between them.

Over loopback proxies delay what crosses. In network namespaces each region is one, and a switch between them delays packets
as ``tc netem delay`` at both ends of a link would; PostgreSQL is a third one, no way from the primary region.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.cli.local_postgres import LocalPostgres
from tests.cluster.links import Links
from tests.cluster.namespaces.namespaces import Namespaces
from tests.cluster.namespaces.reachable import REACHABLE, let_in_others
from tests.support.ports import free_port
from tests.support.servers.link import Link
from tests.support.servers.processes import ServerProcess, start
from tests.support.servers.region_servers import Side, regions

__all__ = ["OTHER", "PRIMARY", "Regions", "regions_apart", "server"]

PRIMARY, OTHER = "primary", "region"
_POSTGRES = "postgres"
_LIMITS = {"max_connections_per_ip": "100000", "max_connection_rate": "1000000", "max_message_rate": "10000"}


@dataclass(frozen=True, slots=True)
class Regions:
    """``nats``: the server of each; ``dsns``: by which its parts reach PostgreSQL; ``links``: the networks that they are in.

    ``counted``: what has crossed so far, by what it is.
    """

    nats: dict[str, Side]
    dsns: dict[str, str]
    links: Links
    counted: Callable[[], dict[str, int]]

    def crossed(self) -> dict[str, int]:
        """``counted``, and the messages over the leaf node's connection, signs of life included."""
        messages = self.links.inside(PRIMARY, self.nats[PRIMARY].crossed)
        return {"messages": messages.sent, "messages back": messages.received, **self.counted()}

    async def start(self, command: str, region: str, **more: Any) -> ServerProcess:
        """``realtime COMMAND`` in a region, ready."""
        config = {**self.nats[region].settings("relay" if command == "relay" else "node"), **_LIMITS, **more}
        config["host"] = self.links.listens(region)
        process = await start(
            *(command, "--dsn", self.dsns[region]),
            port=free_port(),
            config=config,
            preloaded=False,
            namespace=self.links.namespace(region),
        )
        process.host = self.links.near(region)
        await process.healthy()
        return process


@contextmanager
def server(folder: Path, *, namespaces: bool) -> Iterator[LocalPostgres]:
    """A PostgreSQL for :func:`regions_apart`, which runs. It syncs, as a user's does."""
    folder.parent.chmod(0o755)
    with ExitStack() as stack:
        postgres = LocalPostgres(folder, settings=REACHABLE if namespaces else {})
        postgres.start()
        stack.callback(postgres.delete)
        if namespaces:
            let_in_others(postgres)
        yield postgres


@asynccontextmanager
async def regions_apart(
    folder: Path, slot: str, dsn: str, port: int, delay: float, *, namespaces: bool
) -> AsyncIterator[Regions]:
    """Both regions, ``delay`` seconds one way between them. ``dsn``: of PostgreSQL at ``port`` of 127.0.0.1."""
    make = _in_namespaces if namespaces else _over_loopback
    async with make(folder, slot, dsn, port, delay) as made:
        yield made


@asynccontextmanager
async def _over_loopback(folder: Path, slot: str, dsn: str, port: int, delay: float) -> AsyncIterator[Regions]:
    async with regions(folder, slot, delay) as made, Link("127.0.0.1", port, delay) as far:

        def counted() -> dict[str, int]:
            return {"bytes": made.link.down, "bytes back": made.link.up, "SQL bytes": far.up + far.down}

        dsns = {PRIMARY: dsn, OTHER: dsn.replace(f":{port}", f":{far.port}")}
        yield Regions({PRIMARY: made.primary, OTHER: made.region}, dsns, Links(), counted)


@asynccontextmanager
async def _in_namespaces(folder: Path, slot: str, dsn: str, port: int, delay: float) -> AsyncIterator[Regions]:
    links = Namespaces([PRIMARY, OTHER], [_POSTGRES])
    leaf = free_port()
    made: dict[str, Side] = {}
    try:
        here, there = (links.add(each, _POSTGRES, port) for each in (PRIMARY, OTHER))
        hosts = {each: links.add(to, each, leaf).partition(":")[0] for each, to in ((PRIMARY, OTHER), (OTHER, PRIMARY))}
        for link in links.between([OTHER], [PRIMARY, _POSTGRES]):
            link.slow(delay, 0.0)
        made[PRIMARY] = Side(folder / PRIMARY, slot, "--leaf-port", str(leaf), host=hosts[PRIMARY])
        join = made[PRIMARY].folder / "leaf.toml"
        made[OTHER] = Side(folder / OTHER, slot, "--region", "eu", "--primary", str(join), host=hosts[OTHER])
        for name, side in made.items():
            links.inside(name, side.start)
        local = f"127.0.0.1:{port}"
        dsns = {PRIMARY: dsn.replace(local, here), OTHER: dsn.replace(local, there)}
        yield Regions(made, dsns, links, functools.partial(_passed, links))
    finally:
        for side in made.values():
            side.kill()
        await links.close()


def _passed(links: Namespaces) -> dict[str, int]:
    """Headers of IP and TCP included."""
    passed = links.passed()
    sql = passed[OTHER, _POSTGRES], passed[_POSTGRES, OTHER]
    there, back = passed[PRIMARY, OTHER], passed[OTHER, PRIMARY]
    return {
        "packets": there.packets,
        "bytes": there.bytes,
        "packets back": back.packets,
        "bytes back": back.bytes,
        "SQL bytes": sum(each.bytes for each in sql),
    }
