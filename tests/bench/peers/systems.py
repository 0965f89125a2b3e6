"""The peers: how each is started, and what its clients send. Defaults wherever there are some."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.bench.scenario import Wire

__all__ = ["PEERS", "Peer"]

_HERE: Final = Path(__file__).parent
_INSTALLED: Final = _HERE.parents[2] / ".realtime/peers"
_DEBIAN: Final = _INSTALLED / "debian"
_NODE: Final = shutil.which("node") or "node"
_SECONDS: Final = 30.0
_WIRES: Final = "tests.bench.peers.wires"


@dataclass(frozen=True)
class Peer:
    """``command``: of a folder for files, a port and a database. ``needs``: what has to be there."""

    name: str
    command: Callable[[Path, int], list[str]]
    needs: Path
    wire: Wire
    environment: Mapping[str, str]

    @property
    def installed(self) -> bool:
        """Whether it can be started."""
        return self.needs.exists() and (self.command(_HERE, 0)[0] != _NODE or shutil.which("node") is not None)

    @asynccontextmanager
    async def started(self, port: int, dsn: str = "") -> AsyncIterator[str]:
        """Its address, until the end."""
        with tempfile.TemporaryDirectory() as folder:
            process = await asyncio.create_subprocess_exec(
                *self.command(Path(folder), port),
                env={**os.environ, "PORT": str(port), "DSN": dsn, "NODE_ENV": "production", **self.environment},
                stdout=DEVNULL,
                stderr=DEVNULL,
            )
            try:
                async with asyncio.timeout(_SECONDS):
                    while not _listens(port):
                        if process.returncode is not None:
                            raise RuntimeError(f"{self.name} has ended with {process.returncode}")
                        await asyncio.sleep(0.05)
                yield f"http://127.0.0.1:{port}"
            finally:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _node(script: str) -> Callable[[Path, int], list[str]]:
    return lambda folder, port: [_NODE, str(_HERE / "servers" / script)]


def _nats(folder: Path, port: int) -> list[str]:
    configuration = folder / "nats.conf"
    configuration.write_text(
        f"host: 127.0.0.1\nport: -1\nwebsocket {{ host: 127.0.0.1, port: {port}, no_tls: true }}\n"
    )
    return [str(_INSTALLED / "python/bin/nats-server"), "-c", str(configuration)]


def _mosquitto(folder: Path, port: int) -> list[str]:
    configuration = folder / "mosquitto.conf"
    configuration.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nset_tcp_nodelay true\nmax_queued_messages 100000\n"
    )
    return [str(_DEBIAN / "usr/sbin/mosquitto"), "-c", str(configuration)]


_JSON: Final = Wire(f"{_WIRES}:Json", publish='{"type":"message","channel":"%c","data":"%d"}', acked=False)
_MODULES: Final = _HERE / "node_modules/.package-lock.json"
_LIBRARIES: Final = {"LD_LIBRARY_PATH": str(_DEBIAN / "usr/lib/x86_64-linux-gnu")}

PEERS: Final[Mapping[str, Peer]] = {
    peer.name: peer
    for peer in (
        Peer("ws", _node("ws.mjs"), _MODULES, _JSON, {}),
        Peer(
            "uWebSockets",
            lambda folder, port: [str(_INSTALLED / "python/bin/python"), str(_HERE / "servers/uws.py")],
            _INSTALLED / "python/bin/python",
            _JSON,
            {},
        ),
        Peer(
            "NATS",
            _nats,
            _INSTALLED / "python/bin/nats-server",
            Wire(f"{_WIRES}:Nats", "SUB %c 1%n\r\nPING\r\n", "PUB %c %s\r\n%d\r\n", acked=False),
            {},
        ),
        Peer(
            "Mosquitto",
            _mosquitto,
            _DEBIAN / "usr/sbin/mosquitto",
            Wire(f"{_WIRES}:Mqtt", "SUB %c", "PUB %c %d", acked=False),
            _LIBRARIES,
        ),
        Peer(
            "Socket.IO",
            _node("socketio.mjs"),
            _MODULES,
            Wire(f"{_WIRES}:SocketIo", '420["subscribe","%c"]', '42["publish","%c","%d"]', acked=False),
            {},
        ),
        Peer(
            "byhand",
            _node("byhand.mjs"),
            _MODULES,
            Wire(f"{_WIRES}:Json", '{"kind":%n}', acked=False),
            {},
        ),
    )
}
"""By name. ``byhand`` is a consumer of the WAL, for live queries; the others are for channels."""
