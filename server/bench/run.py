"""Plays scenarios, one after the other, and collects what they show."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from server.app.version import package_version
from server.bench.connecting import Arrivals, Idle, Joins
from server.bench.database import Broadcast, LiveQueries, SubscribeStorm
from server.bench.load.errors import BenchUsageError
from server.bench.load.fleet import Fleet, agents_needed
from server.bench.load.search import Sustained, highest_sustained
from server.bench.load.target import Target
from server.bench.load.usage import Meter, listening_on
from server.bench.messages import Channels, FanOut, Publishers, Soak
from server.bench.presence import Presence
from server.bench.scenario import Figures, Load, Scenario, Site, Wire
from server.bench.storms import ReconnectStorm, ReplayStorm

__all__ = ["SCENARIOS", "Round", "Wanted", "describe", "meters_of", "play"]

SCENARIOS: Final[Mapping[str, type[Scenario]]] = {
    each.name: each
    for each in (
        Idle, Joins, Arrivals, FanOut, Publishers, Channels, Broadcast, LiveQueries, SubscribeStorm, ReconnectStorm,
        ReplayStorm, Presence, Soak,
    )
}  # fmt: skip

_LATE: Final = 0.1  # seconds for what came a little behind the end
_KEPT_UP: Final = 0.1  # of the time: as far as the load may be behind its plan
_SEARCH: Final = 12  # rounds


@dataclass(frozen=True)
class Wanted:
    """What is asked for: ``given`` of ``Load``; ``rates`` one after the other, or ``find`` the highest at which everything
    comes and the 95th percentile stays below ``p95`` seconds.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    rates: Sequence[float] = ()
    find: bool = False
    p95: float = 0.05
    processes: int | None = None
    every: int = 1
    wire: Wire = field(default_factory=Wire)


@dataclass(frozen=True)
class Round:
    """A row of the result."""

    scenario: str
    load: Load
    figures: Figures

    @property
    def complete(self) -> bool:
        """Nothing is missing, and there was no error."""
        return not self.figures["errors"] and not self.figures.get("missing")

    def to_json(self) -> dict[str, Any]:
        """The row, with its load but for the database's address, which may have a password."""
        load = {name: getattr(self.load, name) for name in self.load.__dataclass_fields__ if name != "dsn"}
        return {"scenario": self.scenario, "load": load, **self.figures}


def meters_of(target: Target, dsn: str | None) -> dict[str, Meter]:
    """What can be measured of processes: those of a server and a PostgreSQL of this machine."""
    meters: dict[str, Meter] = {}
    if target.local and (root := listening_on(target.port)) is not None:
        meters["server"] = Meter(root, target.port)
    if dsn is not None and (postmaster := _postmaster(dsn)) is not None:
        meters["postgres"] = Meter(postmaster)
    return meters


def _postmaster(dsn: str) -> int | None:
    """The process above a backend, if it is of this machine. Raises ``psycopg.Error``."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        backend = connection.info.backend_pid
        try:
            with open(f"/proc/{backend}/cmdline") as file:
                is_postgres = file.read().startswith("postgres:")
            with open(f"/proc/{backend}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            return None
    return parent if is_postgres else None


def describe(target: Target, health: Mapping[str, Any]) -> dict[str, Any]:
    """Under which circumstances it was measured."""
    return {
        "version": package_version(),
        "server": health.get("version"),
        "url": target.http,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


async def play(
    name: str, target: Target, wanted: Wanted, progress: Callable[[str], None], shown: Callable[[Round], None]
) -> list[Round]:
    """The rounds of a scenario. Raises ``BenchError``, and ``psycopg.Error`` where the database refuses."""
    kind = SCENARIOS[name]
    load = kind.load_of(wanted.given)
    if (wanted.find or len(wanted.rates) > 1) and not kind.by_rate:
        raise BenchUsageError(
            f"{name} is played at one rate: --find and several --rate are for {', '.join(_by_rate())}"
        )
    most = max([load.rate, *wanted.rates])
    clients = kind.connections(Load(**{**load.__dict__, "rate": most}))
    agents = agents_needed(clients * wanted.wire.files, wanted.processes)
    async with Fleet.started(target, agents, every=wanted.every, connection=wanted.wire.connection) as fleet:
        scenario = kind(Site(fleet, target, meters_of(target, load.dsn), wanted.wire, progress), load)
        rounds: list[Round] = []

        async def once(rate: float) -> Round:
            progress(f"{rate:,.0f}/s" if kind.by_rate else "measuring")
            rounds.append(Round(name, load, await scenario.play(rate)))
            shown(rounds[-1])
            return rounds[-1]

        progress("connecting")
        try:
            await scenario.prepare()
            if wanted.find:
                await _find(once, wanted, load)
            else:
                for rate in wanted.rates or [load.rate]:
                    await once(rate)
        finally:
            await scenario.end()
    return rounds


def _by_rate() -> list[str]:
    return [name for name, kind in SCENARIOS.items() if kind.by_rate]


async def _find(once: Callable[[float], Any], wanted: Wanted, load: Load) -> None:
    """Mark the round of the highest rate that is sustained."""

    async def one(rate: float) -> Sustained:
        played: Round = await once(rate)
        figures = played.figures
        figures["sustained"] = sustained = holds(played, wanted.p95)
        behind = figures["late_max_ms"] / 1000 > _KEPT_UP * load.seconds
        return Sustained(sustained, not behind, figures)

    best = await highest_sustained(one, (wanted.rates or [load.rate])[0], _SEARCH)
    best.line["highest"] = best.sustained


def holds(played: Round, p95: float) -> bool:
    """Whether the server bore a round: all came, in time, without an error."""
    figures = played.figures
    delay = float(figures.get("latency_p95_ms") or figures.get("complete_p95_ms") or 0.0) / 1000
    in_time = figures["took_s"] <= played.load.seconds * (1 + _KEPT_UP) + _LATE + p95
    return played.complete and in_time and delay < p95
