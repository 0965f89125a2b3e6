"""Random policies, rows and claims: every list is what PostgreSQL shows its subscriber, and no event has more."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from engine.identity.principal import Principal
from engine.identity.visibility import Visibility
from engine.live.core.document_changes import REMOVED, WindowEvent
from engine.live.core.shared_query import Subscription
from engine.postgres.connections.session_settings import connection_options
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.live.rights.random_policies import PEOPLE, QUERIES, SCHEMA, Changes, random_claims
from tests.oracle.queries import Query
from tests.support.nodes.live_node import Follower, LiveNode, live_node
from tests.support.postgres.sql import GIVE_UP_AFTER, run_each

Sql = psycopg.AsyncConnection[Any]

_VERSION = re.compile(r"v\d{5}(?:\.\d+)?")
_COLUMNS = (
    "select string_agg(attname, ', ' order by attnum) from pg_attribute where attrelid = 'note'::regclass and attnum > 0 "
    "and has_column_privilege('note', attnum, 'select')"
)


@dataclass
class Era:
    """What a subscriber received while it had these claims, and what it might have had after each commit meanwhile."""

    role: str
    claims: dict[str, Any]
    lists: list[Any] = field(default_factory=list)
    visible: list[set[str]] = field(default_factory=list)
    received: list[tuple[list[Any], set[str]]] = field(default_factory=list)

    def check(self) -> None:
        visible = set().union(*self.visible)
        for rows, versions in self.received:
            assert versions <= visible, ("never visible", self.role, self.claims, versions - visible)
            assert rows in self.lists, ("at no time", self.role, self.claims, rows, "but", self.lists)


class Watch(Follower):
    """A subscriber that keeps every list that it had and the row versions in every event."""

    def __init__(self, spec: dict[str, Any], sql: str, principal: Principal) -> None:
        super().__init__(Query("note", spec, sql))
        self.principal = principal
        self.eras = [self.next_era()]
        self.era = self.eras[0]

    def next_era(self) -> Era:
        return Era(self.principal.visibility.role, dict(self.principal.claims))

    def deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        had = set(_VERSION.findall(repr(self.list)))
        super().deliver(subscription, event)
        if event.error is None:  # a removed document comes as the subscriber had it
            removed = set(_VERSION.findall(repr([each for each in event.changes if each.type == REMOVED])))
            versions = set(_VERSION.findall(repr([each for each in event.changes if each.type != REMOVED])))
            versions |= removed - had
            self.era.received.append(([json.loads(doc) for _, doc in self.list], versions))

    def check(self) -> None:
        """With the service caught up: the list is right, and so was each one on the way here."""
        assert self.error is None, (self.query, self.era, self.error)
        assert not self.failures, (self.query, self.failures[0])
        found = [json.loads(doc) for _, doc in self.list]
        assert found == self.era.lists[-1], (self.query, self.era.role, self.era.claims, found, self.era.lists[-1])
        for era in self.eras:
            era.check()
        self.era = Era(self.era.role, self.era.claims, self.era.lists[-1:], self.era.visible[-1:])
        self.eras = [self.era]


class RandomHistory:
    """A database under random changes, and its subscribers."""

    def __init__(self, node: LiveNode, changes: Changes, writer: Sql, other: Sql, truth: Sql) -> None:
        self.node, self.changes, self.chance = node, changes, changes.chance
        self.writer, self.other, self.truth = writer, other, truth
        roles = (changes.people, changes.people, changes.staff)
        self.principals = [
            Principal(
                name,
                visibility=Visibility(role),
                claims=random_claims(self.chance, self.chance.choice(PEOPLE)),
                authenticated=True,
            )
            for name, role in zip(PEOPLE, roles, strict=True)
        ]
        allowed = [each for each in QUERIES if not (changes.hidden and "member" in each[1])]
        self.queries = self.chance.sample(allowed, 3)  # few, so that subscribers share windows
        self.watches: list[Watch] = []
        self.log: list[str] = []

    async def step(self) -> None:
        """Some transactions, with new subscribers and new claims in between; then all lists are compared."""
        chance = self.chance
        while len(self.watches) > 7 or (self.watches and chance.random() < 0.1):
            self.watches.pop(chance.randrange(len(self.watches))).leave()
        present = list(self.watches)
        renewed = self.renewed_claims() if chance.random() < 0.3 else None
        moving = [watch for watch in present if watch.principal is renewed]
        for watch in moving:
            watch.eras.append(watch.next_era())
        new = [
            Watch(*chance.choice(self.queries), chance.choice(self.principals))
            for _ in range(chance.choice((0, 1, 2)) if present else 4)
        ]
        self.watches += new
        await self.look()
        async with asyncio.timeout(GIVE_UP_AFTER):
            await asyncio.gather(self.commit_some(), *map(self.subscribe, new), *map(self.renew, moving))
        await self.node.caught_up()
        for watch in self.watches:
            watch.check()

    def renewed_claims(self) -> Principal:
        """A principal that has new claims, perhaps also the other role."""
        principal = self.chance.choice(self.principals)
        principal.claims = random_claims(self.chance, self.chance.choice(PEOPLE))
        if self.chance.random() < 0.3:
            principal.visibility = Visibility(self.chance.choice((self.changes.people, self.changes.staff)))
        self.log.append(f"{principal.user_id} has {principal.visibility.role} {principal.claims}")
        return principal

    async def subscribe(self, watch: Watch) -> None:
        watch.subscription = await self.node.live.subscribe(watch.principal, "note", watch.query.spec, watch.deliver)
        watch.subscription.begin()

    async def renew(self, watch: Watch) -> None:
        assert watch.subscription is not None
        watch.era = watch.eras[-1]
        await self.node.live.reopen(watch.principal, watch.subscription)

    async def commit_some(self) -> None:
        """Each transaction is committed alone, and looked at before the next one."""
        for _ in range(self.chance.choice((1, 2, 3))):
            if self.chance.random() < 0.2:
                await self.run(self.other, [self.changes.row()])
                await self.run(self.writer, [self.changes.looked_at()])
                await self.commit(self.writer)
                await self.commit(self.other)
            else:
                await self.run(self.writer, self.changes.transaction())
                await self.commit(self.writer)

    async def run(self, connection: Sql, statements: list[str]) -> None:
        for statement in statements:
            self.log.append(f"  {connection.info.backend_pid}: {statement}")
            await connection.execute(statement.encode())

    async def commit(self, connection: Sql) -> None:
        self.log.append(f"  {connection.info.backend_pid}: commit")
        await connection.commit()
        await self.look()

    async def look(self) -> None:
        """Note what PostgreSQL shows each subscriber now."""
        known: dict[str, Any] = {}
        for watch in self.watches:
            for era in watch.eras:
                for sql in (watch.query.truth, "select * from note"):
                    key = f"{era.role} {era.claims} {sql}"
                    if key not in known:
                        known[key] = await self.shown(era, sql)
                    if sql == watch.query.truth:
                        era.lists.append(known[key])
                key = f"{era.role} {era.claims} select * from note"
                era.visible.append(set(_VERSION.findall(repr(known[key]))))

    async def shown(self, era: Era, sql: str) -> list[Any]:
        claims = json.dumps({"role": era.role, **era.claims})
        async with self.truth.transaction():
            await self.truth.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            await self.truth.execute(f'set local role "{era.role}"'.encode())
            if "*" in sql.split(" from ")[0].split():
                cursor = await self.truth.execute(_COLUMNS.encode())
                [(columns,)] = await cursor.fetchall()
                sql = sql.replace("*", columns, 1)
            cursor = await self.truth.execute(f"select row_to_json(q) from ({sql}) q".encode())
            return [row for (row,) in await cursor.fetchall()]


@contextmanager
def prepared(server: LocalPostgres, *exposed: str) -> Iterator[tuple[str, list[str]]]:
    """A database, its two served roles, and one that may own what policies look at."""
    roles = [f"{name}_{uuid.uuid4().hex[:8]}" for name in ("people", "staff", "holder")]
    people, staff, holder = roles
    with database_on(server) as database:
        run_each(
            database,
            *(f"create role {role} nologin" for role in roles),
            *SCHEMA,
            f"grant select (id, owner, org, level, body) on note to {people}, {staff}",
            f"grant select on member, ban, circle to {people}, {staff}, {holder}",
            f"grant select on note to {holder}",
            "alter table note enable row level security",
            *(f"select realtime.serve_role('{role}')" for role in (people, staff)),
            *(f"select realtime.expose('{table}')" for table in exposed),
            *(["grant select on circle to realtime_reader"] if "member" in exposed else []),
        )
        try:
            yield database, roles
        finally:
            run_each(database, *(f"drop owned by {role} cascade" for role in roles))
            run_each(database, *(f"drop role {role}" for role in roles))


async def play(database: str, roles: list[str], seed: int, steps: int, *, hidden: bool) -> None:
    people, staff, holder = roles
    chance = random.Random(seed)
    options = connection_options()
    async with (
        live_node(database) as node,
        await psycopg.AsyncConnection.connect(database, options=options) as writer,
        await psycopg.AsyncConnection.connect(database, options=options) as other,
        await psycopg.AsyncConnection.connect(database, autocommit=True, options=options) as truth,
    ):
        history = RandomHistory(node, Changes(chance, people, staff, holder, hidden), writer, other, truth)
        try:
            for _ in range(steps):
                history.log.append("step")
                await history.step()
        except BaseException:
            print(f"seed {seed}, hidden {hidden}", *history.log, sep="\n")
            raise


@pytest.mark.long
async def test_after_random_changes_each_list_is_what_the_role_and_claims_show(
    pg18: LocalPostgres, oracle_minutes: float
) -> None:
    """``--oracle-minutes N``: other histories, for N minutes."""
    until = time.monotonic() + oracle_minutes * 60
    seed = time.time_ns() % 1_000_000 if oracle_minutes else 1
    while True:
        for exposed in (("note", "member", "ban"), ("note",)):
            with prepared(pg18, *exposed) as (database, roles):
                await play(database, roles, seed, 30, hidden=len(exposed) == 1)
        if time.monotonic() >= until:
            break
        seed += 1
