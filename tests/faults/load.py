"""Clients on every node and writers beside them, and the check of what the clients have received."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import psycopg
from bunbase import RealtimeError, Snapshot

from engine.errors import ErrorCode
from tests.cluster.parts import RECOVERS, Parts
from tests.cluster.time_limit import TimeLimit
from tests.faultproxy.actors import CHANNEL, PythonActor
from tests.faults.histories import Sent, difference
from tests.faults.observed.observed_load import SETUP as OBSERVED
from tests.faults.observed.observed_load import ObservedLoad
from tests.faults.spanning_load import SETUP as SPANNING
from tests.faults.spanning_load import SpanningLoad
from tests.support.clients.list_client import TABLE
from tests.support.servers.processes import GIVE_UP_AFTER

__all__ = ["SETUP", "Client", "Load"]

SETUP = (
    TABLE,
    "create table bulk (n int primary key)",
    "select realtime.expose('bulk')",
    f"select realtime.create_channel('{CHANNEL}', presence_timeout => '10 s')",
    *SPANNING,
    *OBSERVED,
)
"""What the database needs."""

_ROWS = "select to_jsonb(m) from (select * from messages order by likes desc, id limit 10) m"
_BULK = "select to_jsonb(b) from (select * from bulk order by n desc limit 20) b"
_MESSAGES = f"""
select m.payload->>'from', (m.payload->>'n')::int, c.position || '/' || m.seq
from realtime.messages m left join realtime.commits c using (channel, xid)
where m.channel = '{CHANNEL}' order by c.position, m.seq
"""
_VISITS = 2.0  # seconds between two clients that come for some time
_WAITING = 300
"""Messages without an answer after which a client waits."""


class Client(PythonActor):
    """With a second live query: the last rows of large transactions.

    ``gaps_at``: how many messages had come before each gap.
    """

    def __init__(self, name: str, url: str, transports: tuple[str, ...]) -> None:
        super().__init__(name, url, transports)
        self.gaps_at: list[int] = []
        self.bulk: list[dict[str, Any]] = []
        self.errors: list[str] = []

    async def start(self) -> None:
        """See ``PythonActor``."""
        await super().start()
        self.more = self.realtime.database().collection("bulk").order_by("n", "desc").limit(20).on_snapshot(self._bulk)
        for live in (self.live, self.more):
            live.on("error", lambda error: self.errors.append(str(error)))

    def note(self, fact: dict[str, Any]) -> None:
        """See ``Actor``."""
        if "gap" in fact:
            self.gaps_at.append(len(self.received))
        super().note(fact)

    def _bulk(self, snapshot: Snapshot) -> None:
        self.bulk = [dict(doc.data) for doc in snapshot.docs]
        self.changed.set()


class Load:
    """The clients, two for each node, and the writers. ``sent``: numbers that each sender has used; ``spanning`` and
    ``observed``: more of both.
    """

    def __init__(self, parts: Parts, seed: int) -> None:
        self.parts = parts
        self.sent: Counter[str] = Counter()
        self._numbers, self._rolled_back = itertools.count(), itertools.count(-1, -1)
        self._seed = seed
        self._over = asyncio.Event()
        self.spanning = SpanningLoad(parts, seed)
        self.observed = ObservedLoad(parts, seed)
        self.clients = [
            Client(f"{node.name}-{transport}", node.clients_url, (transport,))
            for node in parts.nodes
            for transport in ("websocket", "sse")
        ]

    async def start(self) -> None:
        """All clients are subscribed."""
        for client in self.clients:
            async with asyncio.timeout(GIVE_UP_AFTER):
                await client.start()
        await self.spanning.start()
        await self.observed.start()

    async def stop(self) -> None:
        """All clients leave."""
        for client in self.clients:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await client.stop()
        await self.spanning.stop()
        await self.observed.stop()

    async def run(self) -> None:
        """Until :meth:`end` was called."""
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(self.clients):
                group.create_task(self._talk(client, random.Random(self._seed + number)))
            group.create_task(self._insist(partial(self._write, random.Random(self._seed - 1))))
            group.create_task(self._insist(partial(self._publish, random.Random(self._seed - 2))))
            for work in (*self.spanning.work(), *self.observed.work()):
                group.create_task(self._insist(work))
            for move in self.observed.moves():
                group.create_task(self._repeat(move))
            while not self._over.is_set():
                group.create_task(self.spanning.visit())
                await self.spanning.forget_removed()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_VISITS):
                        await self._over.wait()

    def end(self) -> None:
        """No more."""
        self._over.set()

    async def _talk(self, client: Client, chance: random.Random) -> None:
        while not self._over.is_set():
            answered = len(client.acked) + len(client.refused)
            if self.sent[client.name] - answered < _WAITING:
                for _ in range(chance.choice((1, 1, 1, 5))):
                    await client.send(self.sent[client.name])
                    self.sent[client.name] += 1
            await asyncio.sleep(chance.uniform(0, 0.8))

    async def _repeat(self, move: Callable[[], Awaitable[None]]) -> None:
        while not self._over.is_set():
            await move()

    async def _insist(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]) -> None:
        """Do some work over a connection again and again, and over another one when it breaks."""
        while not self._over.is_set():
            with contextlib.suppress(psycopg.Error, OSError, RealtimeError):
                async with await psycopg.AsyncConnection.connect(self.parts.dsn, autocommit=True) as connection:
                    while not self._over.is_set():
                        await work(connection)
            await asyncio.sleep(0.2)

    async def _write(self, chance: random.Random, connection: psycopg.AsyncConnection[Any]) -> None:
        async with connection.transaction(force_rollback=chance.random() < 0.2):
            for _ in range(chance.choice((1, 1, 3))):
                id, likes = chance.randrange(30), chance.randrange(1000)
                if chance.random() < 0.2:
                    await connection.execute("delete from messages where id = %s", [id])
                else:
                    await connection.execute(
                        "insert into messages (id, room, likes) values (%s, 'a', %s) "
                        "on conflict (id) do update set likes = excluded.likes",
                        [id, likes],
                    )
        await asyncio.sleep(chance.uniform(0, 0.1))

    async def _publish(self, chance: random.Random, connection: psycopg.AsyncConnection[Any]) -> None:
        statement = "select realtime.broadcast(%s, 'sent', jsonb_build_object('from', 'sql', 'n', %s::int))"
        back = chance.random() < 0.3
        number = next(self._rolled_back if back else self._numbers)
        async with connection.transaction(force_rollback=back):
            await connection.execute(statement, [CHANNEL, number])
            await asyncio.sleep(chance.uniform(0, 0.05))
        await asyncio.sleep(chance.uniform(0, 0.2))

    # -- the check -------------------------------------------------------------------------------------------------

    async def quiet(self) -> list[str]:
        """What is wrong while nothing is out of order, and clients go on."""
        return await self.observed.quiet()

    async def check(self) -> list[str]:
        """What is wrong; empty: nothing is."""
        problems: list[str] = []
        for client in self.clients:
            await self._until(client, problems, "has no answer to some messages", partial(self._answered, client))
        truth = await self._truth()
        names = [(sender, number) for sender, number, _ in truth]
        stored = set(names)
        if doubled := [each for each, count in Counter(names).items() if count > 1]:
            problems.append(f"stored twice: {doubled[:5]}")
        if kept := [each for each in names if each[1] < 0]:
            problems.append(f"rolled back and stored: {kept[:5]}")
        for client in self.clients:
            if wrong := [each for each in client.refused if ErrorCode.CONNECTION_FAILED not in each[1]]:
                problems.append(f"{client.name}: refused for another reason than what was out of order: {wrong[:5]}")
            if lost := [n for n in client.acked if (client.name, n) not in stored]:
                problems.append(f"{client.name}: acknowledged and not stored: {lost[:5]}")
        rows = [row[0] for row in await self.parts.sql(_ROWS)]
        bulk = [row[0] for row in await self.parts.sql(_BULK)]
        everyone = {client.name for client in self.clients}
        for client in self.clients:
            await self._check_client(client, truth, rows, bulk, everyone, problems)
        return [*problems, *await self.spanning.check(), *await self.observed.check()]

    def _answered(self, client: Client) -> bool:
        return len(client.acked) + len(client.refused) >= self.sent[client.name]

    async def _truth(self) -> list[Sent]:
        """What is stored, once all of it has its position."""
        limit = TimeLimit(RECOVERS)
        while True:
            found = await self.parts.sql(_MESSAGES)
            if limit.over or all(position is not None for _, _, position in found):
                break
            await asyncio.sleep(1)
        return [(str(sender), int(number), str(position)) for sender, number, position in found]

    async def _check_client(
        self,
        client: Client,
        truth: list[Sent],
        rows: list[Any],
        bulk: list[Any],
        everyone: set[str],
        problems: list[str],
    ) -> None:
        note = problems.append
        await self._until(
            client, problems, "lacks messages", lambda: not client.received or client.received[-1] == truth[-1]
        )
        if wrong := difference(client.received, truth, client.gaps_at):
            note(f"{client.name}: {wrong}")
        if client.gaps > self.parts.databases.promotions:
            note(f"{client.name}: {client.gaps} gaps")
        await self._until(client, problems, f"has rows {client.docs} and not {rows}", lambda: client.docs == rows)
        await self._until(client, problems, f"has rows {client.bulk} and not {bulk}", lambda: client.bulk == bulk)
        await self._until(client, problems, f"lacks {everyone - client.users}", lambda: client.users == everyone)
        problems.extend(f"{client.name}: {error}" for error in client.errors)

    async def _until(self, client: Client, problems: list[str], what: str, holds: Callable[[], bool]) -> None:
        limit = TimeLimit(5 if problems else RECOVERS)
        while not holds():
            client.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await client.changed.wait()
            if limit.over and not holds():
                problems.append(f"{client.name} {what}")
                break
