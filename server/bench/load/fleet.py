"""All clients of a load, whichever process they are in."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from server.bench.load.child import Child
from server.bench.load.clients.tally import Tally
from server.bench.load.errors import BenchUsageError
from server.bench.load.orders import (
    Arrive,
    Connect,
    Count,
    Counts,
    Drop,
    Order,
    Plan,
    Publish,
    Receive,
    Subscribe,
    Write,
)
from server.bench.load.target import Target

__all__ = ["Fleet", "agents_needed"]

_OTHER_FILES: Final = 64
_AGENT: Final = "server.bench.load.agent"
CONNECTION: Final = "server.bench.load.clients.connection:Connection"


def agents_needed(clients: int, processes: int | None) -> int:
    """How many processes hold that many clients under the limit of open files. ``processes``: as many, if that is enough.

    Raises ``BenchUsageError`` if it is not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    each = (1 << 20 if hard == resource.RLIM_INFINITY else hard) - _OTHER_FILES
    if each < 1:
        raise BenchUsageError(f"a process may open {hard} files here, which is too little: raise `ulimit -n`")
    needed = -(-clients // each) or 1
    if processes is None:
        return needed
    if processes < needed:
        raise BenchUsageError(
            f"{clients:,} clients do not fit into {processes} processes of {hard:,} open files: raise `ulimit -n`, or "
            f"give --processes {needed}"
        )
    return processes


class Fleet:
    """Agents, which get their parts of each order at the same time."""

    def __init__(self, agents: Sequence[Child]) -> None:
        self._agents = agents
        self._next = 0
        self._sizes: dict[str, list[int]] = {}

    @classmethod
    @asynccontextmanager
    async def started(
        cls, target: Target, agents: int, *, every: int = 1, connection: str = CONNECTION
    ) -> AsyncIterator[Fleet]:
        """A fleet; its clients end with it."""
        children = []
        try:
            for number in range(agents):
                plan = Plan(
                    url=target.websocket,
                    connection=connection,
                    every=every,
                    tokens=list(target.tokens),
                    headers=dict(target.headers),
                    sources=_rotated(target.sources, number * len(target.sources) // agents),
                )
                child = await Child.start(_AGENT)
                children.append(child)
                child.send(msgspec.to_builtins(plan))  # by its input: arguments are seen by all users of the machine
            yield cls(children)
        finally:
            await asyncio.gather(*(child.end() for child in children))

    @property
    def pids(self) -> list[int]:
        """The processes of the agents."""
        return [child.pid for child in self._agents]

    async def connect(self, group: str, count: int, *, rate: float = 0.0, connection: str = "") -> Counts:
        """Open ``count`` connections more, ``rate`` a second. ``connection``: their class, if it is another one."""
        shares = self._shares(count)
        orders = []
        sizes = self._sizes.setdefault(group, [0] * len(self._agents))
        for at, share in enumerate(shares):
            part = rate * share / count if rate else 0.0
            orders.append(Connect(group, share, self._next, part, connection=connection))
            self._next += share
            sizes[at] += share
        return await self._all(orders)

    def numbers_from(self, first: int) -> None:
        """The next connection has this number."""
        self._next = first

    async def subscribe(self, order: Subscribe) -> Counts:
        """Subscribe a group; the rate is that of all."""
        return await self._all([self._part(order, order.group, at) for at in range(len(self._agents))])

    async def publish(self, order: Publish) -> Counts:
        """Publish by a group; the rate is that of all."""
        return await self._all([self._part(order, order.group, at) for at in range(len(self._agents))])

    async def receive(self, group: str, deliveries: int = 0, *, completed: int = 0, stuck: float = 10.0) -> Counts:
        """Wait until a group has got so many deliveries, equally many at each client; or until nothing comes."""
        shares = self._shares_of(group)
        orders = [Receive(group, round(deliveries * share), round(completed * share), stuck) for share in shares]
        return await self._all([order if share else None for order, share in zip(orders, shares, strict=True)])

    async def write(self, order: Write) -> Counts:
        """Execute SQL, by the last agent."""
        return await self._all([*([None] * (len(self._agents) - 1)), order])

    async def arrive(self, order: Arrive) -> Counts:
        """Clients arrive; the rate is that of all."""
        agents, total = len(self._agents), round(order.rate * order.seconds)
        parts = [
            msgspec.structs.replace(order, rate=order.rate / agents, first=self._next + at * total)
            for at in range(agents)
        ]
        self._next += agents * (total + 1)
        return await self._all(parts)

    async def drop(self, group: str, *, clean: bool = True) -> Counts:
        """End a group."""
        self._sizes.pop(group, None)
        return await self._all([Drop(group, clean)] * len(self._agents))

    async def count(self) -> Tally:
        """What has been counted since the last time."""
        answers = await asyncio.gather(*(self._ask(child, Count()) for child in self._agents))
        tally = Tally()
        for answer in answers:
            tally.add(Tally.from_json(answer))
        return tally

    def _part(self, order: Subscribe | Publish, group: str, at: int) -> Order | None:
        share = self._shares_of(group)[at]
        return msgspec.structs.replace(order, rate=order.rate * share) if share else None

    def _shares_of(self, group: str) -> list[float]:
        sizes = self._sizes.get(group, [0] * len(self._agents))
        total = sum(sizes)
        return [size / total if total else 0.0 for size in sizes]

    def _shares(self, count: int) -> list[int]:
        each, more = divmod(count, len(self._agents))
        return [each + (at < more) for at in range(len(self._agents))]

    async def _all(self, orders: Sequence[Order | None]) -> Counts:
        """Ask all agents that have a part, and add their answers up."""
        asked = [
            self._ask(child, order) for child, order in zip(self._agents, orders, strict=True) if order is not None
        ]
        counts = [msgspec.convert(answer, Counts) for answer in await asyncio.gather(*asked)]
        return Counts(
            done=sum(each.done for each in counts),
            failed=sum(each.failed for each in counts),
            seconds=max((each.seconds for each in counts), default=0.0),
            least=min((each.least for each in counts), default=0),
            greatest=max((each.greatest for each in counts), default=0),
        )

    @staticmethod
    async def _ask(child: Child, order: Order) -> Any:
        child.send(msgspec.to_builtins(order))
        return await child.receive()


def _rotated(sources: list[str], by: int) -> list[str]:
    """Agents begin with different addresses."""
    return sources[by:] + sources[:by]
