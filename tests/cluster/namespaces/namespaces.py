"""Links that are packets between network namespaces: one for each node, relay and NATS server.

PostgreSQL and the clients are in the namespace of this process, each with an address of its own. Addresses of 198.18.0.0/15
(RFC 2544) exist in these namespaces alone. Those of 198.19.0.0/16 are for the run itself, which asks parts for their health
whatever is between them.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.cluster.links import CLIENTS, Links
from tests.cluster.namespaces.switch import LIBC, NEW_NETWORK, Order, Passed, Plan, Trouble
from tests.support.servers.processes import ROOT

__all__ = ["POSSIBLE", "Namespaces", "PacketLink", "own_network"]

T = TypeVar("T")

POSSIBLE = os.geteuid() == 0 and Path("/dev/net/tun").exists()
"""Whether this process may make namespaces and devices: root on Linux."""

_OPERATOR, _POSTGRES, _CLIENTS = "198.19.0.1", "198.18.0.1", "198.18.0.2"
NETWORK = "198.18.0.0/15"


def own_network() -> None:
    """This process, and those that it starts, are alone in a network. Before any thread is started. Raises ``OSError``."""
    if LIBC.unshare(NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no network namespace (are you root?)")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class PacketLink:
    """A :class:`tests.cluster.links.Link` that is packets from one namespace to another, and back."""

    def __init__(self, name: str, ends: tuple[str, str], send: Callable[[list[Order]], None]) -> None:
        self._name = name
        self._ends = ends
        self._send = send
        self._up, self._down = Trouble(), Trouble()

    def _both(self, **values: object) -> None:
        for trouble in (self._up, self._down):
            for name, value in values.items():
                setattr(trouble, name, value)
        self._changed()

    def _changed(self) -> None:
        client, server = self._ends
        self._send([Order(self._name, client, server, self._up), Order(self._name, server, client, self._down)])

    def hold(self, *, up: bool = True, down: bool = True) -> None:
        """Drop what goes to the server, or to the client."""
        self._up.drop, self._down.drop = up, down
        self._changed()

    def sever(self) -> None:
        """Answer each packet with the end of its connection."""
        self._both(reset=True)

    def slow(self, delay: float, loss: float) -> None:
        """Seconds that a packet takes, and the part of packets that is lost."""
        self._both(delay=delay, loss=loss / 4)  # a chunk of a proxy is several packets

    def narrow(self, bytes_per_second: int) -> None:
        """As many pass."""
        self._both(rate=bytes_per_second)

    def heal(self) -> None:
        """All packets pass."""
        self._up, self._down = Trouble(), Trouble()
        self._changed()


class Namespaces(Links):
    """See the module. ``places``: the names of the parts with a namespace each."""

    def __init__(self, places: Iterable[str], postgres: Iterable[str]) -> None:
        super().__init__()
        self._postgres = set(postgres)
        self._numbers = {name: number for number, name in enumerate(places, 10)}
        self._switch: subprocess.Popen[bytes] | None = None
        self._spaces: dict[str, int] = {}
        self._open()

    def _open(self) -> None:
        here = {_POSTGRES: "postgres", _CLIENTS: CLIENTS, _OPERATOR: ""}
        others = {
            name: {f"198.18.0.{n}": name, f"198.18.1.{n}": name, f"198.19.0.{n}": ""}
            for name, n in self._numbers.items()
        }
        routes = {"198.18.0.0/24": _POSTGRES, "198.18.1.0/24": _CLIENTS, "198.19.0.0/16": _OPERATOR}
        plan = msgspec.json.encode(Plan({"": here, **others}, routes)).decode()
        command = [sys.executable, "-m", "tests.cluster.namespaces.switch", plan]
        self._switch = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._switch.stdout is not None
        self._spaces = json.loads(self._switch.stdout.readline())

    def _order(self, orders: list[Order]) -> None:
        assert self._switch is not None
        assert self._switch.stdin is not None
        self._switch.stdin.write(msgspec.json.encode(orders) + b"\n")
        self._switch.stdin.flush()

    def add(self, client: str, server: str, port: int, *, greets: bool = False) -> str:
        """See ``Links``."""
        ends = (client, "postgres" if server in self._postgres else server)
        self._links[client, server] = PacketLink(f"{client} {server}", ends, self._order)
        if server in self._postgres:
            return f"{_POSTGRES}:{port}"
        return f"198.18.{int(client == CLIENTS)}.{self._numbers[server]}:{port}"

    def passed(self) -> dict[tuple[str, str], Passed]:
        """What has passed so far, by sender and receiver."""
        self._order([])
        assert self._switch is not None
        assert self._switch.stdout is not None
        counted = msgspec.json.decode(self._switch.stdout.readline(), type=list[Passed])
        return {(each.source, each.target): each for each in counted}

    def listens(self, name: str) -> str:
        """See ``Links``."""
        return "0.0.0.0"

    def near(self, name: str) -> str:
        """See ``Links``."""
        return f"198.19.0.{self._numbers[name]}"

    def namespace(self, name: str) -> Path | None:
        """See ``Links``."""
        assert self._switch is not None
        return Path(f"/proc/{self._switch.pid}/fd/{self._spaces[name]}")

    def inside(self, name: str, function: Callable[[], T]) -> T:
        """See ``Links``."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(str(self.namespace(name)), os.O_RDONLY)
        try:
            _enter(there)
            return function()
        finally:
            _enter(here)
            os.close(there)
            os.close(here)

    async def start(self) -> None:
        """The switch runs already."""

    async def close(self) -> None:
        """End the switch, and with it all namespaces."""
        self._end()

    def _end(self) -> None:
        if self._switch is not None:
            self._switch.kill()
            for pipe in (self._switch.stdin, self._switch.stdout):
                assert pipe is not None
                pipe.close()
            self._switch.wait()


def _enter(space: int) -> None:
    if LIBC.setns(space, NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")
