"""Random histories: after each step every list is compared with what PostgreSQL shows its subscriber."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from engine.errors import QueryRejectedError
from engine.identity.principal import Principal
from engine.identity.visibility import Visibility
from engine.postgres.connections.session_settings import connection_options
from tests.oracle.policies.changes import Changes
from tests.oracle.policies.vocabulary import PEOPLE, QUERIES, random_claims
from tests.oracle.policies.watches import DENIED, Era, Watch, versions_in
from tests.oracle.policies.worlds import World, node_of
from tests.support.nodes.arena import delta_frames
from tests.support.nodes.live_node import LiveNode, stream_paused
from tests.support.postgres.sql import GIVE_UP_AFTER, until

__all__ = ["play"]

Sql = psycopg.AsyncConnection[Any]

_EVERYTHING = "select * from note"
_COLUMNS = (
    "select string_agg(attname, ', ' order by attnum) from pg_attribute where attrelid = 'note'::regclass and attnum > 0 "
    "and has_column_privilege('note', attnum, 'select')"
)
_SETTINGS = """
select distinct on (lower(split_part(c, '=', 1))) split_part(c, '=', 1), substr(c, position('=' in c) + 1)
from pg_db_role_setting s cross join lateral unnest(s.setconfig) c
where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
  and s.setrole in (0, (select oid from pg_roles where rolname = %s))
order by lower(split_part(c, '=', 1)), s.setrole = 0, s.setdatabase = 0
"""
# In this order a session gets them (docs: ALTER ROLE). PostgREST sets those of the role that it impersonates.
_POLICED = "select relname from pg_class where relname in ('note', 'member') and relrowsecurity"


Meanwhile = list[Callable[[], Coroutine[Any, Any, None]]]


def _begin(tasks: asyncio.TaskGroup, some: Meanwhile) -> None:
    for each in some:
        tasks.create_task(each())


class RandomHistory:
    """A database under random changes, and its subscribers."""

    def __init__(self, node: LiveNode, changes: Changes, writer: Sql, other: Sql, truth: Sql) -> None:
        self.node, self.changes, self.chance = node, changes, changes.chance
        self.writer, self.other, self.truth = writer, other, truth
        self.served = (changes.people, changes.people, changes.staff)
        self.principals = [
            Principal(name, visibility=Visibility(role), claims=self._claims(), authenticated=True)
            for name, role in zip(PEOPLE, self.served, strict=True)
        ]
        allowed = [each for each in QUERIES if not (changes.hidden and "member" in each[1])]
        self.queries = self.chance.sample(allowed, 3)  # few, so that subscribers share windows
        self.watches: list[Watch] = []
        self.frames = delta_frames()
        self.log: list[str] = []
        self.behind: Callable[[], object] = list  # begins what is to happen right behind the next commit

    def _claims(self) -> dict[str, Any]:
        return random_claims(self.chance, self.chance.choice(PEOPLE))

    async def step(self) -> None:
        """Some transactions, with new subscribers and new claims in between; then all lists are compared."""
        chance = self.chance
        first = None
        if chance.random() < 0.2:
            await self.run(self.writer, self.changes.by_sub(), again=True)
            await self.commit(self.writer)
            await self.check()
            first = self.changes.by_other_claims()
        while len(self.watches) > 7 or (self.watches and chance.random() < 0.1):
            self.watches.pop(chance.randrange(len(self.watches))).leave()
        present = list(self.watches)
        renewed = self.renewed_claims() if chance.random() < 0.3 else None
        moving = [watch for watch in present if watch.principal is renewed]
        for watch in moving:
            watch.eras.append(watch.next_era())
        new = [
            Watch(*chance.choice(self.queries), chance.choice(self.principals), self.frames if number % 2 else None)
            for number in range(chance.choice((0, 1, 2)) if present else 4)
        ]
        self.watches += new
        await self.look()
        async with asyncio.timeout(GIVE_UP_AFTER):
            await self.commit_some(
                [partial(self.subscribe, watch) for watch in new] + [partial(self.renew, each) for each in moving],
                first,
            )
        await self.check()
        for _ in range(chance.choice((0, 0, 0, 2))):  # what one gives, the next one may take
            await self.change_unannounced()
            await self.check()

    async def check(self) -> None:
        await self.node.caught_up()
        self.watches = [watch for watch in self.watches if watch.check()]

    def renewed_claims(self) -> Principal:
        """A principal that has new claims, perhaps also another role, or one that is not served."""
        principal = self.chance.choice(self.principals)
        principal.claims = self._claims()
        if self.chance.random() < 0.4:
            principal.visibility = Visibility(self.chance.choice((*self.served, "demoted")))
        self.log.append(f"{principal.user_id} has {principal.visibility.role} {principal.claims}")
        return principal

    async def subscribe(self, watch: Watch) -> None:
        try:
            watch.subscription = await self.node.live.subscribe(
                watch.principal, "note", watch.query.spec, watch.deliver
            )
        except QueryRejectedError as refused:
            watch.error = refused
        else:
            watch.subscription.begin()

    async def renew(self, watch: Watch) -> None:
        assert watch.subscription is not None
        watch.era = watch.eras[-1]
        await self.node.live.reopen(watch.principal, watch.subscription)

    # -- changes ---------------------------------------------------------------------------------------------------

    async def commit_some(
        self, meanwhile: Sequence[Callable[[], Coroutine[Any, Any, None]]], first: list[str] | None
    ) -> None:
        """Each transaction is committed alone, and looked at before the next one; ``first`` is the first one.

        What happens ``meanwhile`` begins beside one of them, or right behind its commit. Where the stream is paused until
        all is done, the server knows of no commit.
        """
        count = self.chance.choice((1, 2, 3))
        begin: list[Meanwhile] = [[] for _ in range(2 * count)]
        for each in meanwhile:
            self.chance.choice(begin).append(each)
        paused = stream_paused(self.node) if first or self.chance.random() < 0.2 else nullcontext()
        with paused:
            async with asyncio.TaskGroup() as tasks:
                for beside, behind in zip(begin[::2], begin[1::2], strict=True):
                    _begin(tasks, beside)
                    self.behind = partial(_begin, tasks, behind)
                    await self.commit_one(first)
                    first = None

    async def commit_one(self, statements: list[str] | None) -> None:
        """One transaction, of ``statements`` if there are some, or two at the same time."""
        if statements is None and self.chance.random() < 0.2:
            await self.run(self.other, [self.changes.row()])
            await self.run(self.writer, [self.changes.looked_at()])
            await self.commit(self.writer)
            await self.commit(self.other)
        else:
            await self.run(self.writer, statements or self.changes.transaction(), again=True)
            await self.commit(self.writer)

    async def change_unannounced(self) -> None:
        """A change of rights that the server finds by looking; nothing else is changed before it has."""
        await self.run(self.writer, [self.changes.unannounced()])
        await self.commit(self.writer)
        await self.node.looked()
        await until(lambda: all(watch.matches for watch in self.watches))

    async def run(self, connection: Sql, statements: list[str], *, again: bool = False) -> None:
        """Run ``statements``; from the first one on if a deadlock with a read has ended the transaction (``again``): both
        lock several tables, in orders of their own.
        """
        try:
            for statement in statements:
                self.log.append(f"  {connection.info.backend_pid}: {statement}")
                await connection.execute(statement.encode())
        except psycopg.errors.DeadlockDetected:
            if not again:
                raise
            self.log.append(f"  {connection.info.backend_pid}: rollback after a deadlock")
            await connection.rollback()
            await self.run(connection, statements, again=True)

    async def commit(self, connection: Sql) -> None:
        self.log.append(f"  {connection.info.backend_pid}: commit")
        await connection.commit()
        behind, self.behind = self.behind, list
        behind()
        await self.look()

    # -- the truth -------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Note what PostgreSQL shows each subscriber now."""
        known: dict[str, Any] = {}

        async def once(era: Era, sql: str) -> Any:
            key = f"{era.role} {era.claims} {sql}"
            if key not in known:
                known[key] = await self.shown(era, sql)
            return known[key]

        for watch in self.watches:
            for era in watch.eras:
                era.lists.append(await once(era, watch.query.truth))
                era.visible.append(versions_in(await once(era, _EVERYTHING)))

    async def shown(self, era: Era, sql: str) -> Any:
        """The rows of ``sql`` for this role and these claims, or ``DENIED``."""
        served = era.role in self.served
        claims = json.dumps({"role": era.role, **era.claims})
        try:
            async with self.truth.transaction():
                await self.truth.execute("discard plans")  # a new session has none
                if not served:
                    policed = {name for (name,) in await self._rows(_POLICED)}
                    if any(name in sql for name in policed):
                        return DENIED
                await self.truth.execute("select set_config('request.jwt.claims', %s, true)", [claims])
                if served:
                    for name, value in await self._rows(_SETTINGS, era.role):
                        await self.truth.execute("select set_config(%s, %s, true)", [name, value])
                    await self.truth.execute(f'set local role "{era.role}"'.encode())
                if "*" in sql.split(" from ")[0].split():
                    [(columns,)] = await self._rows(_COLUMNS)
                    sql = sql.replace("*", columns, 1)
                return [row for (row,) in await self._rows(f"select row_to_json(q) from ({sql}) q")]
        except psycopg.errors.InsufficientPrivilege:
            return DENIED

    async def _rows(self, sql: str, *parameters: str) -> list[Any]:
        cursor = await self.truth.execute(sql.encode(), parameters or None)
        return await cursor.fetchall()


async def play(world: World, folder: Path, seed: int, steps: int) -> None:
    """A history of ``steps`` in ``world``. What the connection that gives the truth runs is prepared, or not.

    Raises ``AssertionError`` where a subscriber had a list that it should not have had.
    """
    chance = random.Random(seed)
    options = connection_options()
    prepare = chance.choice((None, 0, 1))
    async with (
        node_of(world, folder) as node,
        await psycopg.AsyncConnection.connect(world.database, options=options, prepare_threshold=None) as writer,
        await psycopg.AsyncConnection.connect(world.database, options=options, prepare_threshold=None) as other,
        await psycopg.AsyncConnection.connect(
            world.database, autocommit=True, options=options, prepare_threshold=prepare
        ) as truth,
    ):
        changes = Changes(
            chance,
            world.people,
            world.staff,
            world.holder,
            writer.info.server_version // 10_000,
            world.hidden,
            world.partitions,
            writer.info.dbname,
        )
        history = RandomHistory(node, changes, writer, other, truth)
        try:
            await history.run(writer, changes.beginning())
            await history.commit(writer)
            await node.caught_up()
            for _ in range(steps):
                history.log.append("step")
                await history.step()
        except BaseException:
            print(f"seed {seed}, {world}, prepared after {prepare}", *history.log, sep="\n")
            raise
