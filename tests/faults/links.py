"""The network between the parts of a cluster: a proxy for each pair, which can hold, lose, delay and cut what passes.

Proxies need no privileges and no kernel modules, so the same faults run everywhere, and each direction of a link fails by
itself. A link that is held keeps its connections, as one whose packets are dropped: TCP brings later what was sent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from tests.faultproxy.proxy import FaultProxy
from tests.support.ports import free_port

__all__ = ["TROUBLES", "Links"]


def _held(link: FaultProxy, _: random.Random) -> None:
    link.hold()


def _held_one_way(link: FaultProxy, chance: random.Random) -> None:
    up = chance.random() < 0.5
    link.hold(up=up, down=not up)


def _cut(link: FaultProxy, _: random.Random) -> None:
    link.refuse = True
    link.cut()


def _slow(link: FaultProxy, chance: random.Random) -> None:
    link.delay, link.loss = chance.choice((0.02, 0.1, 0.3)), chance.choice((0.0, 0.05, 0.2))


def _narrow(link: FaultProxy, chance: random.Random) -> None:
    link.bytes_per_second = chance.choice((50_000, 500_000))


TROUBLES: dict[str, Callable[[FaultProxy, random.Random], None]] = {
    "nothing passes": _held,
    "nothing passes one way": _held_one_way,
    "connections are cut": _cut,
    "delays and losses": _slow,
    "little passes": _narrow,
}
"""What can happen to a link, in words."""


class Links:
    """Links by the names of their two ends."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, str], FaultProxy] = {}
        self._stack = AsyncExitStack()

    def add(self, client: str, server: str, port: int, *, greets: bool = False) -> int:
        """A link over which ``client`` reaches ``server`` at ``port``; returns the port to connect to once all is started.

        ``greets``: the server speaks first.
        """
        link = self._links[client, server] = FaultProxy("127.0.0.1", port, listen=free_port(), greets=greets)
        return link.port

    async def start(self) -> None:
        """Listen."""
        for link in self._links.values():
            await self._stack.enter_async_context(link)

    def between(self, ones: Iterable[str], others: Iterable[str]) -> list[FaultProxy]:
        """All links between parts of two groups, in either direction."""
        ones, others = set(ones), set(others)
        return [
            link
            for (client, server), link in self._links.items()
            if (client in ones and server in others) or (client in others and server in ones)
        ]

    async def close(self) -> None:
        """End all connections and listeners."""
        await self._stack.aclose()
