"""Connections: how fast they come, and what each costs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from server.bench.load.orders import Arrive, Subscribe
from server.bench.load.usage import machine_memory
from server.bench.scenario import Figures, Load, Scenario

_FIRST: Final = 50

__all__ = ["Arrivals", "Idle", "Joins"]


class Idle(Scenario):
    """Connections that do nothing: how fast they are made, what memory each takes, and the processor at rest."""

    name = "idle"
    about = "connections at a rate, what memory each takes, and the processor while they rest"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 1000, "publishers": 0, "channels": 0, "each": 0}

    async def prepare(self) -> None:
        """A few, so that everything is loaded."""
        await self.site.fleet.connect("first", _FIRST)
        await self.site.fleet.drop("first")

    async def play(self, rate: float) -> Figures:
        """Connect, subscribe if there are channels, rest."""
        load, fleet, site = self.load, self.site.fleet, self.site
        await self.start()
        before, kernel = site.memory(), machine_memory()
        interval = self.begin()
        counts = await fleet.connect("idle", load.clients, rate=load.connect_rate)
        used = interval.end()
        tally = await fleet.count()
        row = self.figures(
            tally,
            used,
            clients=counts.done,
            missing=counts.failed,
            connects_per_s=round(counts.done / used["seconds"], 1),
        )
        if counts.done and "server" in used:
            row["server_ms_per_connect"] = round(used["server"] / counts.done * 1000, 3)
        row |= await self._memory("connection", counts.done, before, kernel)
        if load.each and load.channels:
            row |= await self._subscribed(counts.done)
        site.progress("resting")
        interval = self.begin()
        await asyncio.sleep(load.seconds)
        used = interval.end()
        if "server" in used:
            row["server_cores_at_rest"] = round(used["server"] / used["seconds"], 4)
        row["errors"] = row["errors"] | dict((await fleet.count()).errors)
        await fleet.drop("idle")
        return row

    async def _subscribed(self, clients: int) -> Figures:
        load, fleet = self.load, self.site.fleet
        before, kernel = self.site.memory(), machine_memory()
        interval = self.begin()
        order = Subscribe(
            "idle",
            self.site.wire.joined(load),
            numbers=load.channels,
            each=load.each,
            rate=load.connect_rate,
            stuck=load.stuck,
        )
        self.site.progress("subscribing")
        counts = await fleet.subscribe(order)
        used = interval.end()
        row: Figures = {"subscriptions": counts.done, "missing_subscriptions": counts.failed}
        if counts.done and "server" in used:
            row["server_ms_per_subscription"] = round(used["server"] / counts.done * 1000, 3)
        tally = await fleet.count()
        row |= await self._memory("subscription", counts.done, before, kernel)
        return row | {"errors": dict(tally.errors), "clients_subscribed": clients}

    async def _memory(self, what: str, count: int, before: int, kernel: int) -> Figures:
        """Bytes of the server, and of the kernel for both ends, by connection or subscription."""
        await asyncio.sleep(1.0)  # what comes with a connection a moment later
        row: Figures = {}
        if before and count:
            row[f"server_bytes_per_{what}"] = round((self.site.memory() - before) / count)
            row[f"kernel_bytes_per_{what}"] = round((machine_memory() - kernel) / count)
        return row


class Arrivals(Scenario):
    """Clients that come at a rate; each connects, subscribes, publishes and receives its own message."""

    name = "arrive"
    about = "clients that connect, subscribe, publish and receive that, at a rate"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 0, "publishers": 0, "rate": 100.0, "seconds": 5.0}
    by_rate = True

    @classmethod
    def connections(cls, load: Load) -> int:
        """Each stays until the end of its round."""
        return round(load.rate * load.seconds) + 1

    async def prepare(self) -> None:
        """A few, so that everything is loaded."""
        await self._arrive(10.0, 1.0)
        await self.start()

    async def _arrive(self, rate: float, seconds: float) -> tuple[int, int]:
        load, fleet = self.load, self.site.fleet
        order = Arrive(
            "arrived",
            self.site.wire.joined(load),
            self.site.wire.publication(load),
            rate,
            seconds,
            load.size,
            first=0,
            stuck=load.stuck,
        )
        counts = await fleet.arrive(order)
        return counts.done, counts.failed

    async def play(self, rate: float) -> Figures:
        """A round of arrivals."""
        interval = self.begin()
        done, failed = await self._arrive(rate, self.load.seconds)
        used = interval.end()
        tally = await self.site.fleet.count()
        row = self.figures(
            tally, used, rate=rate, clients=done, missing=failed, clients_per_s=round(done / used["seconds"], 1)
        )
        if done and "server" in used:
            row["server_ms_per_client"] = round(used["server"] / done * 1000, 3)
        await self.site.fleet.drop("arrived")
        return row


class Joins(Scenario):
    """Clients that are connected subscribe at a rate, or all at once (``rate`` 0)."""

    name = "joins"
    about = "connected clients subscribe to channels, all at once (--rate 0) or at a rate"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 1000, "publishers": 0, "channels": 1000, "rate": 0.0}

    async def prepare(self) -> None:
        """Connect."""
        await self.site.fleet.connect("joining", self.load.clients, rate=self.load.connect_rate)
        await self.start()

    async def play(self, rate: float) -> Figures:
        """Subscribe."""
        load, fleet = self.load, self.site.fleet
        interval = self.begin()
        order = Subscribe(
            "joining", self.site.wire.joined(load), numbers=load.channels, each=load.each, rate=rate, stuck=load.stuck
        )
        counts = await fleet.subscribe(order)
        used = interval.end()
        tally = await fleet.count()
        row = self.figures(
            tally,
            used,
            rate=rate,
            subscriptions=counts.done,
            missing=counts.failed,
            subscriptions_per_s=round(counts.done / used["seconds"], 1),
        )
        if counts.done and "server" in used:
            row["server_ms_per_subscription"] = round(used["server"] / counts.done * 1000, 3)
        await fleet.drop("joining")
        return row
