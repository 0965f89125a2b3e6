"""The network between the parts of a cluster: a proxy for each pair, which can hold, lose, delay and cut what passes.

Proxies need no privileges and no kernel modules, so the same faults run everywhere, and each direction of a link fails by
itself. A link that is held keeps its connections, as one whose packets are dropped: TCP brings later what was sent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Protocol, TypeVar

from tests.faultproxy.proxy import FaultProxy
from tests.support.ports import free_port

__all__ = ["CLIENTS", "TROUBLES", "Link", "Links"]

CLIENTS: Final = "clients"
"""What links call all clients."""

T = TypeVar("T")


class Link(Protocol):
    """What is between two parts."""

    def hold(self, *, up: bool = True, down: bool = True) -> None:
        """Nothing passes to the server (``up``), or to the client (``down``)."""

    def sever(self) -> None:
        """All connections are reset, and those that come."""

    def slow(self, delay: float, loss: float) -> None:
        """What passes takes up to ``delay`` seconds, and the part ``loss`` of it is lost, so that TCP brings it late."""

    def narrow(self, bytes_per_second: int) -> None:
        """So much passes."""

    def heal(self) -> None:
        """Everything passes."""


class ProxyLink(FaultProxy):
    """A :class:`Link` that is a proxy."""

    def sever(self) -> None:
        """See ``Link``."""
        self.refuse = True
        self.cut()

    def slow(self, delay: float, loss: float) -> None:
        """See ``Link``."""
        self.delay, self.loss = delay, loss

    def narrow(self, bytes_per_second: int) -> None:
        """See ``Link``."""
        self.bytes_per_second = bytes_per_second


def _held_one_way(link: Link, chance: random.Random) -> None:
    up = chance.random() < 0.5
    link.hold(up=up, down=not up)


TROUBLES: dict[str, Callable[[Link, random.Random], None]] = {
    "nothing passes": lambda link, _: link.hold(),
    "nothing passes one way": _held_one_way,
    "connections are cut": lambda link, _: link.sever(),
    "delays and losses": lambda link, chance: link.slow(
        chance.choice((0.02, 0.1, 0.3)), chance.choice((0.0, 0.05, 0.2))
    ),
    "little passes": lambda link, chance: link.narrow(chance.choice((50_000, 500_000))),
}
"""What can happen to a link, in words."""


class Links:
    """Links by the names of their two ends; all parts are processes of one machine with one address."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, str], Link] = {}
        self._proxies: list[ProxyLink] = []
        self._stack = AsyncExitStack()

    def add(self, client: str, server: str, port: int, *, greets: bool = False) -> str:
        """A link over which ``client`` reaches ``server`` at ``port``; returns the address to connect to once all runs.

        ``greets``: the server speaks first.
        """
        link = self._links[client, server] = ProxyLink("127.0.0.1", port, listen=free_port(), greets=greets)
        self._proxies.append(link)
        return f"127.0.0.1:{link.port}"

    def listens(self, name: str) -> str:
        """The address that a part listens at."""
        return "127.0.0.1"

    def near(self, name: str) -> str:
        """The address at which it is reached from here, whatever its links do."""
        return "127.0.0.1"

    def namespace(self, name: str) -> Path | None:
        """Of the network that it is in; None: that of this process."""
        return None

    def inside(self, name: str, function: Callable[[], T]) -> T:
        """Call ``function`` in this network. Processes that it starts are there."""
        return function()

    async def start(self) -> None:
        """Listen."""
        for link in self._proxies:
            await self._stack.enter_async_context(link)

    def between(self, ones: Iterable[str], others: Iterable[str]) -> list[Link]:
        """All links between parts of two groups, in either direction."""
        ones, others = set(ones), set(others)
        return [
            link
            for (client, server), link in self._links.items()
            if (client in ones and server in others) or (client in others and server in ones)
        ]

    @property
    def all(self) -> list[Link]:
        """Every one."""
        return list(self._links.values())

    async def close(self) -> None:
        """End all connections and listeners."""
        await self._stack.aclose()
