"""Clients that come all at once: back after a failure, or for what they have missed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from server.bench.load.orders import Publish, Subscribe
from server.bench.messages import joined
from server.bench.scenario import Figures, Load, Scenario

__all__ = ["ReconnectStorm", "ReplayStorm"]


class ReplayStorm(Scenario):
    """All clients ask at once for the last messages of a channel."""

    name = "replay"
    about = "all clients ask at once for the last messages of a channel (--messages, --size)"
    defaults: ClassVar[Mapping[str, Any]] = {
        "clients": 100,
        "messages": 100,
        "size": 1000,
        "rate": 500.0,
        "publishers": 10,
    }

    def __init__(self, site: Any, load: Load) -> None:
        super().__init__(site, load)
        self.load = replace(load, prefix=f"{load.prefix}:{uuid.uuid4().hex[:8]}")  # without a history of other runs

    async def prepare(self) -> None:
        """Connect, and publish what will be asked for."""
        load, fleet = self.load, self.site.fleet
        await fleet.connect("asking", load.clients, rate=load.connect_rate)
        publisher = self.site.wire.publisher
        await fleet.connect("publishers", load.publishers, rate=load.connect_rate, connection=publisher)
        await self._publish()
        await self.start()

    async def _publish(self) -> int:
        load = self.load
        order = Publish(
            "publishers",
            self.site.wire.publication(load),
            load.rate,
            load.messages * load.channels / load.rate,
            load.size,
            numbers=load.channels,
            stuck=load.stuck,
        )
        return (await self.site.fleet.publish(order)).done

    async def play(self, rate: float) -> Figures:
        """Subscribe with ``history``, all at once, until each has all."""
        return await self._all_at_once(joined(self.load.channel, history=self.load.messages), self.load.messages)

    async def _all_at_once(self, template: str, messages: int) -> Figures:
        load, fleet = self.load, self.site.fleet
        interval = self.begin()
        await fleet.subscribe(Subscribe("asking", template, numbers=load.channels, goal=messages, stuck=load.stuck))
        row = await self.delivered("asking", messages, load.clients, interval)
        row = {
            name: value for name, value in row.items() if not name.startswith("latency")
        }  # they had been sent before
        row["bytes_per_s"] = round(row["deliveries"] * load.size / row["took_s"])
        await fleet.drop("asking")
        return row


class ReconnectStorm(ReplayStorm):
    """All clients lose their connection, miss messages, and come back at once."""

    name = "reconnect"
    about = "all clients lose their connection, miss messages, and come back at once"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 200, "channels": 1, "messages": 10, "rate": 500.0}

    @classmethod
    def connections(cls, load: Load) -> int:
        """Connections that are lost may not have been seen by the system yet when their successors come."""
        return 2 * load.clients + load.publishers

    async def prepare(self) -> None:
        """Connect and subscribe."""
        load, fleet = self.load, self.site.fleet
        await fleet.connect("asking", load.clients, rate=load.connect_rate)
        await fleet.subscribe(Subscribe("asking", joined(self.load.channel), numbers=load.channels, stuck=load.stuck))
        publisher = self.site.wire.publisher
        await fleet.connect("publishers", load.publishers, rate=load.connect_rate, connection=publisher)
        await self.start()

    async def play(self, rate: float) -> Figures:
        """Drop all, publish, let all return at once and resume."""
        load, fleet = self.load, self.site.fleet
        await fleet.drop("asking", clean=False)
        await self._publish()
        await self.start()
        fleet.numbers_from(0)
        interval = self.begin()
        counts = await fleet.connect("asking", load.clients)
        used = interval.end()
        connected = self.figures(await fleet.count(), used)
        row = await self._all_at_once(joined(self.load.channel, since="%p", epoch="%e"), load.messages)
        opened = {name: value for name, value in connected.items() if name.startswith("opened")}
        return (
            row
            | opened
            | {
                "clients": counts.done,
                "missing": row["missing"] + counts.failed * load.messages,
                "errors": row["errors"] | connected["errors"],
                "reconnected_s": connected["took_s"],
            }
        )
