"""Messages of clients through channels: to many, of many, in many channels, and for a long time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from server.bench.load.errors import BenchUsageError
from server.bench.load.orders import Counts, Publish, Subscribe
from server.bench.load.pacing import TICK
from server.bench.scenario import Figures, Load, Scenario

__all__ = ["Channels", "FanOut", "Publishers", "Soak", "joined"]

_INTERVALS: Final = 10  # of a soak
_WARM_UP: Final = 1.0


def joined(channel: str, **options: Any) -> str:
    """A subscription of this server's protocol with options."""
    return json.dumps({"type": "subscribe", "channel": channel, **options}, separators=(",", ":"))


class Publishers(Scenario):
    """Publishers at a rate, and subscribers who all get everything."""

    name = "publish"
    about = "publishers at a rate into one channel, with subscribers"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 20, "publishers": 10, "rate": 500.0}
    by_rate = True

    @classmethod
    def check(cls, load: Load) -> None:
        """Each channel has as many subscribers as the others, none a client twice."""
        subscribed = [at * _stride(load) % load.channels for at in range(load.each)]
        if load.clients * load.each % load.channels or len(set(subscribed)) != load.each:
            raise BenchUsageError(
                f"{load.clients} clients with {load.each} subscriptions each do not share {load.channels} channels evenly: "
                "let clients times --each be a multiple of --channels"
            )

    @property
    def fan(self) -> int:
        """Subscribers of a channel."""
        return self.load.clients * self.load.each // self.load.channels

    async def prepare(self) -> None:
        """Connect all, subscribe, and publish a little."""
        load, fleet = self.load, self.site.fleet
        await fleet.connect("subscribers", load.clients, rate=load.connect_rate)
        self.site.progress("subscribing")
        await fleet.subscribe(
            Subscribe(
                "subscribers",
                self.site.wire.joined(load),
                numbers=load.channels,
                each=load.each,
                stride=_stride(load),
                rate=load.connect_rate,
                stuck=load.stuck,
            )
        )
        publisher = self.site.wire.publisher
        await fleet.connect("publishers", load.publishers, rate=load.connect_rate, connection=publisher)
        sent = await self._publish(min(load.rate, 100.0), _WARM_UP)
        await fleet.receive("subscribers", (sent.done - sent.failed) * self.fan, stuck=load.stuck)
        await self.start()

    async def _publish(self, rate: float, seconds: float) -> Counts:
        load, wire = self.load, self.site.wire
        order = Publish(
            "publishers", wire.publication(load), rate, seconds, load.size, load.channels, wire.acked, load.stuck
        )
        return await self.site.fleet.publish(order)

    async def play(self, rate: float) -> Figures:
        """Publish at ``rate``, and wait for all deliveries."""
        interval = self.begin()
        sent = await self._publish(rate, self.load.seconds)
        return await self.delivered("subscribers", sent.done, self.fan, interval, refused=sent.failed, rate=rate)


class FanOut(Publishers):
    """One channel with many subscribers."""

    name = "fanout"
    about = "a message now and then into one channel with many subscribers"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 1000, "rate": 10.0}


class Channels(Publishers):
    """Many channels with few subscribers each."""

    name = "channels"
    about = "many channels with few subscribers each"
    defaults: ClassVar[Mapping[str, Any]] = {
        "clients": 1000,
        "publishers": 10,
        "channels": 1000,
        "each": 5,
        "rate": 500.0,
    }


class Soak(Publishers):
    """The same for a long time, in intervals: whether memory or latency drift."""

    name = "soak"
    about = "publish for long, and whether memory or latency drift"
    defaults: ClassVar[Mapping[str, Any]] = {"clients": 20, "publishers": 10, "rate": 500.0, "seconds": 600.0}
    by_rate = False

    async def play(self, rate: float) -> Figures:
        """Sums of all intervals, the times of the last one, and memory and latency of each."""
        intervals: list[Figures] = []
        for number in range(_INTERVALS):
            self.site.progress(f"interval {number + 1} of {_INTERVALS}")
            interval = self.begin()
            sent = await self._publish(rate, max(TICK, self.load.seconds / _INTERVALS))
            row = await self.delivered("subscribers", sent.done, self.fan, interval, refused=sent.failed, rate=rate)
            intervals.append(row | {"server_memory": self.site.memory()})
        sums = ("messages", "expected", "deliveries", "missing", "took_s")
        shown = ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "server_memory")
        errors: Counter[str] = Counter()
        spent: Counter[str] = Counter()
        for row in intervals:
            errors.update(row["errors"])
            spent.update({name: seconds for name, seconds in row["cpu_s"].items() if isinstance(seconds, float)})
        return (
            intervals[-1]
            | {name: sum(row[name] for row in intervals) for name in sums}
            | {
                "intervals": [{name: row.get(name) for name in shown} for row in intervals],
                "errors": dict(errors),
                "cpu_s": dict(spent),
            }
        )


def _stride(load: Load) -> int:
    """Between the channels of a client, such that all channels get equally many."""
    return max(1, load.channels // load.each) if load.clients % load.channels == 0 else load.clients
