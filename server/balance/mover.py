"""Asks clients of this node to connect again: by the orders for it, and by the rule. Writes how full it is.

One pass every two seconds: the node's row in ``realtime.node_loads``, the rows of the others, and its orders in
``realtime.moves``. The tables are unlogged, so nothing of this reaches the WAL.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from weakref import WeakSet

import psycopg
import structlog

from engine.background import BackgroundService
from engine.errors import RealtimeError
from engine.tasks import every
from server.balance.core.rule import SPREAD, Balance, NodeLoad
from server.client.admission import Connection
from server.observe.health import is_ready
from server.observe.node_load import LoadMetrics
from server.protocol import server_messages
from server.session.lifecycle import State
from server.statistics.writer import Write

__all__ = ["Location", "Movable", "Mover"]

_INTERVAL: Final = 2.0  # seconds between passes
_PASSING: Final = (RealtimeError, psycopg.Error, OSError)

_log = structlog.get_logger("realtime.balance")


class Movable(Protocol):
    """The connections of this node."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def shuffled(self) -> list[Connection]:
        """All of them, in no order."""
        ...


class Location:
    """What others see of a node beside its figures."""

    def __init__(self, node: str, url: str, region: str | None) -> None:
        self.node, self.url, self.region = node, url, region


class Mover(BackgroundService):
    """See the module. ``status``: the body of ``/health``; ``clock``: seconds, never going back."""

    def __init__(
        self,
        location: Location,
        share: float,
        status: Callable[[], Mapping[str, Any]],
        load: LoadMetrics,
        connections: Movable,
        write: Write,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("balance")
        self._location = location
        self._balance = Balance(share)
        self._status = status
        self._load = load
        self._connections = connections
        self._write = write
        self._clock = clock
        self._asked: WeakSet[Connection] = WeakSet()

    def start(self) -> None:
        """Begin."""
        self._background.spawn(every(_INTERVAL, self.look, self._failed, _PASSING))

    async def stop(self) -> None:
        """End."""
        await self._background.stop()

    async def look(self) -> None:
        """One pass. Raises ``RealtimeError`` or ``psycopg.Error``."""
        now, status, location = self._clock(), self._status(), self._location
        sample = self._load.take(now, time.process_time(), len(self._connections))
        ready = is_ready(status)
        rows = await self._write(
            "balance_look",
            node=location.node,
            url=location.url,
            region=location.region,
            capacity=sample.capacity,
            connections=sample.connections,
            ready=ready,
            cpu=round(sample.cpu, 2),
            loop_lag=round(sample.loop_lag, 3),
            feed_lag=status["feed"]["lagSeconds"],
        )
        for order in await self._write("balance_orders", node=location.node):
            asked = self._ask(math.ceil(order["share"] * len(self._connections)), order["seconds"])
            await self._write("balance_done", id=order["id"], asked=asked)
        me = NodeLoad(node=location.node, connections=sample.connections, capacity=sample.capacity, ready=ready)
        others = [NodeLoad(**row) for row in rows]
        if count := self._balance.decide(now, me, others):
            asked = self._ask(count, SPREAD)
            await self._write("balance_moved", node=location.node, seconds=SPREAD, asked=asked)

    def _ask(self, count: int, seconds: float) -> int:
        """Ask so many clients, each to come at a moment of its own; one that was asked before is not asked again."""
        clients = [
            each for each in self._connections.shuffled() if each.state is State.OPEN and each not in self._asked
        ][:count]
        for each in clients:
            self._asked.add(each)
            each.send(server_messages.reconnect(random.uniform(0, seconds)))
        self._load.moved.value += len(clients)
        _log.info("clients_moved", clients=len(clients), seconds=seconds)
        return len(clients)

    def _failed(self, error: Exception) -> None:
        _log.info("balance_failed", error=" ".join(str(error).split()))
