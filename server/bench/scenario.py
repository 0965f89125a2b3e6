"""What a scenario is: clients are prepared, then a load is played once, or at several rates, and gives figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from server.bench.advice import advice
from server.bench.load.clients.histogram import Histogram
from server.bench.load.clients.tally import Tally
from server.bench.load.errors import BenchError, BenchUsageError
from server.bench.load.fleet import CONNECTION, Fleet
from server.bench.load.target import Target
from server.bench.load.usage import Interval, Meter

__all__ = ["TRANSPORTS", "Figures", "Load", "Scenario", "Site", "Wire", "milliseconds"]

Figures = dict[str, Any]
"""What a round has shown, as it stands in the JSON."""

_REASONS: Final = 3
_CLIENTS: Final = "server.bench.load.clients"
_QUANTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Load:
    """How much of everything. ``each``: subscriptions of a client; ``rate``: messages, changes or clients a second of all;
    ``connect_rate``: connections a second while clients are prepared, or in the scenarios about connecting; ``size``: bytes
    of a message's data; ``stuck``: seconds without a delivery after which the rest is lost.
    """

    clients: int = 20
    publishers: int = 1
    channels: int = 1
    each: int = 1
    queries: int = 100
    messages: int = 100
    rate: float = 100.0
    connect_rate: float = 500.0
    seconds: float = 10.0
    size: int = 150
    stuck: float = 30.0
    prefix: str = "bench"
    dsn: str | None = None

    @property
    def channel(self) -> str:
        """The name of a channel, with its number as ``%n``."""
        return f"{self.prefix}:%n"


@dataclass(frozen=True)
class Wire:
    """A protocol: the class of its connections, what they send (``%c`` stands for the channel, ``%d`` for a stamp, ``%s``
    for its size), and whether a publication is answered. ``publisher``: the class of those that only publish, if it is
    another one. ``files``: that a connection has open at most.
    """

    connection: str = CONNECTION
    subscribe: str = '{"type":"subscribe","channel":"%c"}'
    publish: str = '{"type":"message","channel":"%c","event":"bench","data":"%d"}'
    acked: bool = True
    publisher: str = ""
    files: int = 1

    def joined(self, load: Load) -> str:
        """A subscription to a channel of ``load``."""
        return self.subscribe.replace("%c", load.channel)

    def publication(self, load: Load) -> str:
        """A message into it."""
        return self.publish.replace("%c", load.channel).replace("%s", str(load.size))


TRANSPORTS: Final[Mapping[str, Wire]] = {
    "websocket": Wire(),
    "sse": Wire(f"{_CLIENTS}.event_stream:EventStream", publisher=CONNECTION, files=2),
    "polling": Wire(f"{_CLIENTS}.polling:Polling", publisher=CONNECTION, files=2),
}
"""How clients receive. Those that only publish have WebSockets, whatever it is."""


@dataclass(frozen=True)
class Site:
    """Where a scenario is played. ``meters``: of ``server`` and ``postgres``, as far as they can be seen."""

    fleet: Fleet
    target: Target
    meters: Mapping[str, Meter]
    wire: Wire = field(default_factory=Wire)
    progress: Callable[[str], None] = field(default=lambda text: None)

    def memory(self) -> int:
        """Bytes of the server; 0 if it cannot be seen."""
        return self.meters["server"].memory() if "server" in self.meters else 0


class Scenario:
    """``defaults``: what of ``Load`` is different here. ``by_rate``: it can be played at one rate after another."""

    name: ClassVar[str]
    about: ClassVar[str]
    defaults: ClassVar[Mapping[str, Any]] = {}
    by_rate: ClassVar[bool] = False
    needs_database: ClassVar[bool] = False

    def __init__(self, site: Site, load: Load) -> None:
        self.site = site
        self.load = load

    @classmethod
    def load_of(cls, given: Mapping[str, Any]) -> Load:
        """The load with what the user has given. Raises ``BenchUsageError``."""
        load = replace(Load(**cls.defaults), **{name: value for name, value in given.items() if value is not None})
        if cls.needs_database and load.dsn is None:
            raise BenchUsageError(f"{cls.name} writes in SQL: give --dsn, the database of the server")
        cls.check(load)
        return load

    @classmethod
    def check(cls, load: Load) -> None:
        """Raise ``BenchUsageError`` if this load cannot be."""

    @classmethod
    def connections(cls, load: Load) -> int:
        """How many clients there will be."""
        return load.clients + load.publishers

    async def prepare(self) -> None:
        """What is not measured."""

    async def play(self, rate: float) -> Figures:
        """A round."""
        raise NotImplementedError

    async def end(self) -> None:
        """Take back what was made."""

    # -- what scenarios share

    async def start(self) -> None:
        """Count from now on. Raises ``BenchError`` if something has failed before: the load would not be what it should."""
        tally = await self.site.fleet.count()
        if tally.errors:
            reasons = "; ".join(f"{count:,} × {reason}" for reason, count in tally.errors.most_common(_REASONS))
            causes = "".join(f". {cause[0].upper()}{cause[1:]}" for cause in advice(tally.errors))
            raise BenchError(f"the clients of {self.name} could not be prepared: {reasons}{causes}")

    def begin(self) -> Interval:
        """Begin to measure processes."""
        return Interval(self.site.meters)

    def figures(self, tally: Tally, interval: Mapping[str, Any], **more: Any) -> Figures:
        """A row: ``more``, times, processor seconds, errors."""
        cpu = {name: value for name, value in interval.items() if name != "seconds"} | {"clients": round(tally.cpu, 3)}
        row: Figures = {"took_s": round(interval["seconds"], 3), **more}
        for name in ("opened", "answered", "latency", "acked", "complete"):
            row |= milliseconds(name, getattr(tally, name))
        row["late_max_ms"] = round(tally.late.longest * 1000, 2)
        row["cpu_s"] = cpu
        row["errors"] = dict(tally.errors)
        return row

    async def delivered(
        self, group: str, sent: int, fan: float, interval: Interval, *, refused: int = 0, **more: Any
    ) -> Figures:
        """A row of ``sent`` messages to ``fan`` subscribers each, once all but those ``refused`` have come."""
        expected = round(sent * fan)
        counts = await self.site.fleet.receive(group, round((sent - refused) * fan), stuck=self.load.stuck)
        used = interval.end()
        tally = await self.site.fleet.count()
        row = self.figures(
            tally,
            used,
            messages=sent,
            expected=expected,
            deliveries=counts.done,
            missing=expected - counts.done,
            least=counts.least,
            greatest=counts.greatest,
            deliveries_per_s=round(counts.done / used["seconds"], 1),
            **more,
        )
        if "server" in used and counts.done:
            row["server_us_per_delivery"] = round(used["server"] / counts.done * 1e6, 2)
        return row


def milliseconds(name: str, times: Histogram) -> Figures:
    """Quantiles under names such as ``latency_p50_ms``; nothing if there are no times."""
    if not times.count:
        return {}
    row = {f"{name}_{quantile}_ms": round(times.quantile(share) * 1000, 3) for quantile, share in _QUANTILES.items()}
    return row | {f"{name}_max_ms": round(times.longest * 1000, 3), f"{name}_count": times.count}
