"""Where the oracle plays: a database, a feed, the live-query service, and clients that know only what they received."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import psycopg

from engine.feed.feed import Feed
from engine.feed.settings import FeedSettings
from engine.identity.principal import Principal
from engine.live.core.document_changes import WindowEvent, apply_changes
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import Subscription
from engine.live.service import LiveQueries, LiveSettings
from engine.lsn import parse_lsn
from engine.postgres.connections.session_settings import connection_options
from tests.support.nodes.stream_and_live import StreamAndLive
from tests.support.oracle.queries import Query

__all__ = ["Arena", "Client", "arena"]

State = tuple[str, int, list[tuple[str, bytes]]]
"""A list, behind the epoch and the position it was delivered with."""

_TIMEOUT = 60  # seconds


class Client:
    """A subscriber: its list is made of the changes it was given and nothing else."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.list: list[tuple[str, bytes]] = []
        self.position = -1
        self.events = 0
        self.error: Exception | None = None
        self.subscription: Subscription | None = None
        self.states: deque[State] = deque(maxlen=4)  # the latest

    def deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        """Take an event."""
        assert event.position >= self.position, "positions only grow"
        self.position = event.position
        self.events += 1
        if event.error is not None:
            self.error = event.error
            return
        if event.reset:
            self.list.clear()
        apply_changes(self.list, event.changes)
        ids = [identifier for identifier, _ in self.list]
        assert len(set(ids)) == len(ids), "ids are unique"
        self.states.append((subscription.epoch, self.position, list(self.list)))

    def documents(self) -> list[Any]:
        """The list, comparable with the truth."""
        return [decoded(doc) for _, doc in self.list]


def decoded(doc: bytes | str) -> Any:
    """A JSON document with numbers as exact as Postgres writes them."""
    return json.loads(doc, parse_float=Decimal, parse_int=Decimal)


class Arena:
    """One database with the service running over it.

    ``gap``: transactions are under way that have written to a table while it was not published. What they wrote is missing
    from the stream, so lists are right a moment after they end.
    """

    def __init__(self, dsn: str, live: LiveQueries, truth: psycopg.AsyncConnection[Any]) -> None:
        self.dsn = dsn
        self.live = live
        self.truth = truth
        self.checks = 0
        self.recovered = 0
        self.gap = False

    async def subscribe(self, query: Query) -> Client:
        """A new client with its first list."""
        client = Client(query)
        client.subscription = await self.live.subscribe(Principal(), query.collection, query.spec, client.deliver)
        client.subscription.begin()
        return client

    async def reconnect(self, client: Client, lost: int) -> None:
        """``client``'s connection broke before its last ``lost`` events arrived; it comes back with what it has."""
        gone = client.subscription
        assert gone is not None
        gone.pause()  # nothing arrives any more
        epoch, position, rows = client.states[-1 - lost % len(client.states)]
        client.position, client.list = position, list(rows)
        client.states.clear()
        client.states.append((epoch, position, rows))
        query, resume = client.query, Resume(position, epoch)
        client.subscription = await self.live.subscribe(
            Principal(), query.collection, query.spec, client.deliver, resume
        )
        gone.cancel()
        recovered, events = client.subscription.recovered, client.events
        client.subscription.begin()
        if recovered:
            self.recovered += 1
        else:
            assert client.events == events + 1, "one list, from the beginning"

    async def caught_up(self) -> None:
        """Wait until everything committed so far has reached the clients."""
        cursor = await self.truth.execute("select pg_current_wal_flush_lsn()::text")
        row = await cursor.fetchone()
        assert row is not None
        await self.live.caught_up(parse_lsn(row[0]))

    async def check(self, clients: list[Client]) -> None:
        """Every client's list equals its query run again."""
        await self.caught_up()
        for client in clients:
            async with asyncio.timeout(_TIMEOUT):
                while True:
                    assert client.error is None, client.error
                    cursor = await self.truth.execute(client.query.truth.encode())
                    expected = [decoded(row[0]) for row in await cursor.fetchall()]
                    found = client.documents()
                    if found == expected or not self.gap:
                        break
                    await self.caught_up()
            assert found == expected, explain(client, found, expected)
            self.checks += 1


def explain(client: Client, found: list[Any], expected: list[Any]) -> str:
    """What a failure prints."""
    assert client.subscription is not None
    lines = [
        f"{client.query.spec} on {client.query.collection} ({client.subscription.strategy}) at {client.position:X}",
        f"truth: {client.query.truth}",
    ]
    lines += [f"  has   {document}"[:300] for document in found if document not in expected]
    lines += [f"  lacks {document}"[:300] for document in expected if document not in found]
    if len(lines) == 2:
        lines += ["  order or number differs", f"  has   {found}"[:2000], f"  wants {expected}"[:2000]]
    return "\n".join(lines)


class _JsonText(psycopg.adapt.Loader):
    """jsonb as its text: Python's numbers would round it."""

    def load(self, data: Any) -> bytes:
        return bytes(data)


@asynccontextmanager
async def arena(dsn: str, decoder: str, slot: str) -> AsyncIterator[Arena]:
    """Start the service over ``dsn``; everything is gone afterwards."""
    settings = FeedSettings(slot_name=slot, decoder=decoder, ephemeral=True)  # type: ignore[arg-type]
    async with Feed(dsn, settings) as feed:
        tuning = LiveSettings(reread_interval=0.0, idle_ttl=0.0, spare_rows=2, stream_generated=decoder == "pgoutput")
        following = StreamAndLive(dsn, feed, tuning)
        await following.start()
        truth = await psycopg.AsyncConnection.connect(dsn, autocommit=True, options=connection_options())
        truth.adapters.register_loader("jsonb", _JsonText)
        try:
            yield Arena(dsn, following.live, truth)
        finally:
            await truth.close()
            await following.stop()
