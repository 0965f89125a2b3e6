"""A database for random policies: its tables, its roles, which server it is on, and how rows are read."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from engine.feed.settings import DecoderName
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.oracle.policies.vocabulary import PARTITIONED, PLAIN, SCHEMA
from tests.support.nodes.live_node import QUICK, LiveNode, live_node
from tests.support.nodes.stream_and_live import AllThatWait
from tests.support.postgres.sql import run_each
from tests.support.servers.pooler import pgbouncer, pooler

__all__ = ["World", "node_of", "world_of"]


@dataclass(frozen=True)
class World:
    """``server``: the fixture. ``hidden``: what policies look at is not exposed. ``pooled``: rows are read by way of
    PgBouncer in transaction mode. ``people`` and ``staff`` are served; ``holder`` may own what policies look at.
    """

    server: str
    decoder: DecoderName = "pgoutput"
    hidden: bool = False
    partitioned: bool = False
    pooled: bool = False
    database: str = ""
    people: str = ""
    staff: str = ""
    holder: str = ""

    def __str__(self) -> str:
        words = [self.server, self.decoder]
        words += [name for name in ("hidden", "partitioned", "pooled") if getattr(self, name)]
        return ", ".join(words)

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partitions that hold rows of ``note``."""
        return ("note_1", "note_2_few", "note_2_many", "note_3") if self.partitioned else ()


@contextmanager
def world_of(world: World, server: LocalPostgres) -> Iterator[World]:
    """``world`` with a fresh database and roles on ``server``."""
    roles = [f"{name}_{uuid.uuid4().hex[:8]}" for name in ("people", "staff", "holder")]
    people, staff, holder = roles
    exposed = ("note",) if world.hidden else ("note", "member", "ban", "days", "guest")
    with database_on(server) as database:
        run_each(
            database,
            *(f"create role {role} nologin" for role in roles),
            *(PARTITIONED if world.partitioned else PLAIN),
            *SCHEMA,
            f"grant select (id, owner, org, level, body) on note to {people}, {staff}",
            f"grant select on member, ban, circle, days, guest to {people}, {staff}, {holder}",
            f"grant select (id, owner, org, level, body, extra) on note to {holder}",  # what its members may read, too
            f"grant usage on schema ahead, aside to {people}, {staff}, {holder}",
            "alter table note enable row level security",
            *(f"select realtime.serve_role('{role}')" for role in (people, staff)),
            *(f"select realtime.expose('{table}')" for table in exposed),
            *([] if world.hidden else ["grant select on circle to realtime_reader"]),
        )
        try:
            yield replace(world, database=database, people=people, staff=staff, holder=holder)
        finally:
            run_each(database, *(f"drop owned by {role} cascade" for role in roles))
            run_each(database, *(f"drop role {role}" for role in roles))


@asynccontextmanager
async def node_of(world: World, folder: Path) -> AsyncIterator[LiveNode]:
    """A node that follows ``world``. ``folder``: for the configuration of the pooler."""
    live, gathering = replace(QUICK, watch_interval=0.2), AllThatWait(late=0, many=1)
    if not world.pooled:
        async with live_node(world.database, decoder=world.decoder, live=live, gathering=gathering) as node:
            yield node
        return
    with pooler(pgbouncer(), folder, world.database) as pooled:
        as_pooled = partial(live_node, reads=pooled, pooled=True)
        async with as_pooled(world.database, decoder=world.decoder, live=live, gathering=gathering) as node:
            yield node
