"""A cluster in network namespaces: nodes that the model drives, relays, NATS servers, and links between all of them."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Any

from engine.feed.settings import DecoderName
from server.cli.local_postgres import LocalPostgres
from tests.cluster.databases import Databases
from tests.cluster.links import TROUBLES, Link
from tests.cluster.parts import KEY, Parts, Server
from tests.support.nodes.server_nodes import LEASE, ModelNode, errors_in

__all__ = ["PartsApart"]


class _NodeApart(ModelNode):
    """A node in a namespace of its own. Clients reach it over a link."""

    def __init__(self, dsn: str, decoder: DecoderName, server: Server, slot: str) -> None:
        super().__init__(dsn, decoder, {"slot_name": slot})
        self.port = server.port
        self.address = server.link
        self.headers = {"Authorization": f"Bearer {KEY}"}
        self._server = server

    async def start(self) -> None:
        await self._server.start()
        assert self._server.process is not None
        await self._server.process.healthy()
        self.up = True

    async def stop(self) -> None:
        self.up = False
        await self._server.kill(signal.SIGTERM)

    async def kill(self) -> None:
        self.up = False
        await self._server.kill()

    def complaints(self) -> list[str]:
        return errors_in(self._server.log)


class PartsApart:
    """Three nodes, two relays and three NATS servers. ``server`` is reached by others (``tests.cluster.namespaces``)."""

    def __init__(self, server: LocalPostgres, dsn: str, decoder: DecoderName) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="realtime-model-")
        config: dict[str, Any] = {
            "decoder": decoder,
            "lease": LEASE,
            "heartbeat_interval": 0.5,
            "max_message_rate": 100_000.0,
        }
        self._parts = Parts(
            Databases(server),
            dsn.rpartition("/")[2],
            Path(self._folder.name),
            nats=3,
            namespaces=True,
            node_config=config,
        )
        self.nodes = [_NodeApart(dsn, decoder, each, self._parts.slot) for each in self._parts.nodes]
        self._over: set[asyncio.TimerHandle] = set()

    @property
    def addresses(self) -> list[str]:
        """Of the relays, whatever the links do."""
        return [each.near for each in self._parts.relays]

    async def start(self) -> None:
        """All but the nodes."""
        await self._parts.start(nodes=False)

    async def stop(self) -> None:
        """End all."""
        self.heal()
        await self._parts.close()
        self._folder.cleanup()

    def trouble(self, one: int, other: int, what: str, seconds: float, chance: Any) -> None:
        """Something is wrong with the links between two parts, for some time."""
        names = self._parts.places
        links = self._parts.links.between([names[one % len(names)]], [names[other % len(names)]])
        for link in links:
            TROUBLES[what](link, chance)
        handle = asyncio.get_running_loop().call_later(seconds, self._end, links)
        self._over.add(handle)

    def _end(self, links: list[Link]) -> None:
        for link in links:
            link.heal()

    def heal(self) -> None:
        """Nothing is wrong any more."""
        for handle in self._over:
            handle.cancel()
        self._over.clear()
        for link in self._parts.links.all:
            link.heal()
