"""Presence: members who join at once, and their updates, which go to all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

from server.bench.load.orders import Publish, Subscribe
from server.bench.messages import joined
from server.bench.scenario import Figures, Load, Scenario

__all__ = ["Presence"]


class Presence(Scenario):
    """Members of one channel."""

    name = "presence"
    about = "members join a channel at once, until each knows all; then updates, which go to all"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 200, "publishers": 0, "rate": 50.0, "seconds": 5.0}
    by_rate = True

    def __init__(self, site: Any, load: Load) -> None:
        super().__init__(site, load)
        self._channel = f"{load.prefix}:{uuid.uuid4().hex[:8]}"
        self._joined: Figures = {}

    async def prepare(self) -> None:
        """Connect, and join all at once, which is measured as well."""
        load, fleet = self.load, self.site.fleet
        await fleet.connect("members", load.clients, rate=load.connect_rate)
        await self.start()
        interval = self.begin()
        order = Subscribe("members", joined(self._channel, presence=True), members=load.clients, stuck=load.stuck)
        counts = await fleet.subscribe(order)
        await fleet.receive("members", completed=load.clients, stuck=load.stuck)
        used = interval.end()
        tally = await fleet.count()
        row = self.figures(tally, used, subscriptions=counts.done, missing=load.clients - tally.complete.count)
        self._joined = row

    async def play(self, rate: float) -> Figures:
        """Updates, of one member after the other."""
        load = self.load
        update = {"type": "presence:update", "channel": self._channel, "data": {"at": "%d"}}
        interval = self.begin()
        order = Publish(
            "members", json.dumps(update, separators=(",", ":")), rate, load.seconds, load.size, stuck=load.stuck
        )
        sent = (await self.site.fleet.publish(order)).done
        return await self.delivered("members", sent, load.clients, interval, rate=rate, joining=self._joined)
