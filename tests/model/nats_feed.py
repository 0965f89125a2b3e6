"""What stands between the database and the nodes in a cluster: a relay that reads one slot, and a NATS server."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Any

from server.cli.serving.local_nats import LocalNats
from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import ServerProcess, start

__all__ = ["NatsFeed"]


class NatsFeed:
    """Of the database ``dsn``."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._folder = tempfile.TemporaryDirectory(prefix="realtime-model-")
        self._nats = LocalNats(Path(self._folder.name), free_port())
        self._relay: ServerProcess | None = None
        self.slot = slot_name()

    def config(self, number: int) -> dict[str, Any]:
        """What the settings of a node need."""
        return {"slot_name": self.slot, "nats_url": [self._nats.url], "node_name": f"{self.slot}_{number}"}

    async def start(self) -> None:
        """The relay leads."""
        await asyncio.to_thread(self._nats.start)
        config: dict[str, object] = {"slot_name": self.slot, "nats_url": [self._nats.url], "log_format": "json"}
        self._relay = await start("relay", "--dsn", self._dsn, port=free_port(), config=config)
        await self._relay.healthy(200)

    @property
    def addresses(self) -> list[str]:
        """Of the relay, while it is there."""
        return [] if self._relay is None else [f"127.0.0.1:{self._relay.port}"]

    async def stop(self) -> None:
        """End both."""
        if self._relay is not None:
            await self._relay.end(signal.SIGKILL)
        self._nats.kill()
        self._folder.cleanup()
