"""NATS servers of a primary and another region with what ``realtime nats-config`` writes, and a link between them."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import tomllib
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from engine.cluster.settings import ClusterSettings
from server.cli.serving.local_nats import nats_server_program
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.link import Link

__all__ = ["RegionServers", "Side", "regions"]

_HOST = "127.0.0.1"


class Crossed(NamedTuple):
    """Messages over a leaf node's connection, as the primary counts them."""

    sent: int
    received: int


class Side:
    """The one NATS server of a region. ``arguments``: of the command; ``host``: its address."""

    def __init__(self, folder: Path, slot: str, *arguments: str, host: str = _HOST) -> None:
        self.host = host
        self.folder, self.slot = folder / "made", slot
        self.store, self.port, self.monitoring = folder / "store", free_port(), free_port()
        made = realtime(
            *("nats-config", str(self.folder), "--make-certificates", "--slot-name", slot, "--server", host),
            *("--store", str(self.store), "--port", str(self.port), "--monitoring-port", str(self.monitoring)),
            *arguments,
        )
        assert made.returncode == 0, made.stderr
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "nats.log").open("ab") as log:
            config = self.folder / f"{self.host}.conf"
            self.process = subprocess.Popen([nats_server_program(), "-c", config], stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def wipe(self) -> None:
        """Remove what it has stored. It must not run."""
        shutil.rmtree(self.store, ignore_errors=True)

    def settings(self, part: str) -> dict[str, Any]:
        """Of a relay or a node, as the command has written them."""
        return tomllib.loads((self.folder / f"{self.slot}-{part}.toml").read_text())

    def reach(self, part: str) -> ClusterSettings:
        found = self.settings(part)
        ca, origin = Path(found["nats_ca"]), found.get("nats_origin")
        return ClusterSettings(urls=tuple(found["nats_url"]), slot=self.slot, ca=ca, origin=origin)

    def crossed(self) -> Crossed:
        """Over all connections of leaf nodes. Called in the network of the server."""
        trusting = ssl.create_default_context(cafile=self.folder / "ca.pem")
        trusting.check_hostname = False  # it is asked at 127.0.0.1, whatever its address is
        with urllib.request.urlopen(f"https://{_HOST}:{self.monitoring}/leafz", context=trusting) as answer:
            leafs = json.load(answer)["leafs"]
        return Crossed(sum(each["out_msgs"] for each in leafs), sum(each["in_msgs"] for each in leafs))


class RegionServers(NamedTuple):
    """``link``: in the connection of ``region`` to ``primary``."""

    primary: Side
    region: Side
    link: Link

    def cut(self) -> None:
        """Until :meth:`join`."""
        self.link.refuse = True
        self.link.cut()

    def join(self) -> None:
        """The connection can be made again."""
        self.link.refuse = False


@asynccontextmanager
async def regions(folder: Path, slot: str, delay: float = 0.0) -> AsyncIterator[RegionServers]:
    """Both servers run. ``delay``: of the link, in seconds."""
    leaf = free_port()
    primary = Side(folder / "primary", slot, "--leaf-port", str(leaf))
    async with Link(_HOST, leaf, delay) as link:
        join = folder / "leaf.toml"
        join.write_text((primary.folder / "leaf.toml").read_text().replace(f":{leaf}", f":{link.port}"))
        region = Side(folder / "region", slot, "--region", "eu", "--primary", str(join))
        try:
            primary.start()
            region.start()
            yield RegionServers(primary, region, link)
        finally:
            region.kill()
            primary.kill()
