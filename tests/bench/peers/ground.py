"""What the aims are measured on: a PostgreSQL, a server as a user starts it, and bare picows with the same clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from server.app.settings import Settings
from server.bench.load.child import Child
from server.bench.load.target import target_of
from server.bench.run import Round, Wanted, play
from server.bench.scenario import Wire
from server.cli.local_postgres import LocalPostgres
from tests.bench.parts.processes import local_postgres
from tests.bench.peers.systems import PEERS
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import serving_measured

__all__ = ["BARE", "Figure", "Ground", "Playground", "ground"]

BARE: Final = Wire(connection="tests.bench.peers.bare_connection:BareConnection")
"""The protocol of ``tests.bench.parts.relay``, which does not speak first."""

_LIMITS: Final = {
    "ephemeral": True, "max_message_rate": 1e6, "max_presence_rate": 1e6, "max_published_bytes": 1 << 34,
    "max_subscriptions": 1000, "max_windows_per_user": 1_000_000,
}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """``what`` was ``found``, and the ``aim``; ``met`` is None where there is none, or it could not be measured."""

    what: str
    aim: str
    found: str
    met: bool | None


@dataclass(frozen=True)
class Playground:
    """A server that was started, and how clients speak to it. ``rounds``: where what was played is kept."""

    url: str
    rounds: list[Round]
    dsn: str | None = None
    wire: Wire = field(default_factory=Wire)

    async def play(
        self,
        scenario: str,
        *,
        find: bool = False,
        p95: float = 0.05,
        every: int = 1,
        wire: Wire | None = None,
        **given: Any,
    ) -> Round:
        """The round of a scenario; with ``find`` that of the highest rate that holds. ``wire``: another protocol."""
        wanted = Wanted({**given, "dsn": self.dsn}, find=find, p95=p95, every=every, wire=wire or self.wire)
        rounds = await play(scenario, target_of(self.url), wanted, lambda text: None, lambda each: None)
        self.rounds.extend(rounds)
        return next((each for each in rounds if each.figures.get("highest")), rounds[-1])


@dataclass(frozen=True)
class Ground:
    """``workers``: processes of a server, if it has several."""

    postgres: LocalPostgres
    workers: int
    rounds: list[Round] = field(default_factory=list)

    @asynccontextmanager
    async def server(self, **settings: Any) -> AsyncIterator[Playground]:
        """A server over an empty database."""
        several = {"workers": self.workers} if "workers" in Settings.model_fields else {}
        dsn = fresh_database(self.postgres)
        async with serving_measured(dsn, free_port(), **(_LIMITS | several | settings)) as server:
            yield Playground(server.url, self.rounds, dsn)

    @asynccontextmanager
    async def bare(self) -> AsyncIterator[Playground]:
        """Bare picows."""
        port = free_port()
        relay = await Child.start("tests.bench.parts.relay", port=port)
        try:
            await relay.receive()
            yield Playground(f"http://127.0.0.1:{port}", self.rounds, wire=BARE)
        finally:
            await relay.end()

    @asynccontextmanager
    async def peer(self, name: str, dsn: str = "") -> AsyncIterator[Playground | None]:
        """Another system; None if it is not installed (``make bench-peers`` installs it)."""
        peer = PEERS[name]
        if not peer.installed:
            yield None
            return
        async with peer.started(free_port(), dsn) as url:
            yield Playground(url, self.rounds, wire=peer.wire)


@asynccontextmanager
async def ground(workers: int) -> AsyncIterator[Ground]:
    """A PostgreSQL with the defaults."""
    with local_postgres() as postgres:
        yield Ground(postgres, workers)
