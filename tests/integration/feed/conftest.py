"""A feed over each decoder on each server, and what the tests need to talk to it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, LiteralString, TypeVar

import psycopg
import pytest

from engine.feed.feed import Feed, FeedSettings
from engine.feed.settings import DecoderName
from engine.postgres.connections.session_settings import connection_options
from engine.relay.feed import RelayFeed
from engine.transaction import Change, Discontinuity, FeedEvent, Message, Progress, Transaction
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.postgres.sql import GIVE_UP_AFTER

LEASE = 3.0
"""Seconds of a node's lease in tests of what it does for others: it looks every third of that, which is also the time that
each of its statements may take.
"""


@dataclass
class FeedSource:
    """A fresh, migrated database on some server, to be fed by some decoder."""

    server: LocalPostgres
    dsn: str
    decoder: DecoderName

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """An autocommit connection under the session settings of the feed."""
        return psycopg.connect(self.dsn, autocommit=True, options=connection_options(), **options)

    def settings(self, **changes: Any) -> FeedSettings:
        """Settings for a feed with an ephemeral slot of this decoder with a slot of its own."""
        base = FeedSettings(slot_name=f"s_{uuid.uuid4().hex[:16]}", decoder=self.decoder, ephemeral=True)
        return replace(base, **changes)

    @property
    def version(self) -> int:
        """The server's major version."""
        with self.connect() as connection:
            return connection.info.server_version // 10000


@pytest.fixture(params=["pg18-pgoutput", "pg15-pgoutput", "pg15-wal2json"])
def source(request: pytest.FixtureRequest) -> Iterator[FeedSource]:
    """Each server and decoder in turn."""
    server_name, decoder = request.param.split("-")
    server: LocalPostgres = request.getfixturevalue(server_name)
    with database_on(server) as dsn:
        yield FeedSource(server, dsn, decoder)


AnyFeed = TypeVar("AnyFeed", bound=Feed | RelayFeed)


class FeedReader(Generic[AnyFeed]):
    """Reads a feed in a test: transaction by transaction, confirming as it goes unless the test stops that."""

    def __init__(self, feed: AnyFeed) -> None:
        self.feed = feed

    async def event(self) -> FeedEvent:
        """The next event of any kind, confirmed."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            event = await anext(self.feed)
        if isinstance(event, Transaction):
            self.feed.confirm(event.end)
        elif isinstance(event, Progress):
            self.feed.confirm(event.position)
        return event

    async def transaction(self) -> Transaction:
        """The next transaction. Fails on a discontinuity."""
        async with asyncio.timeout(GIVE_UP_AFTER):  # a feed at rest reports its position for ever
            while not isinstance(event := await self.event(), Transaction):
                assert isinstance(event, Progress), event
        return event

    async def discontinuity(self) -> Discontinuity:
        """The next discontinuity; transactions before it are skipped."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not isinstance(event := await self.event(), Discontinuity):
                pass
        return event

    async def changes(self) -> list[Change]:
        """The row changes of the next transaction that has any."""
        async with asyncio.timeout(GIVE_UP_AFTER):  # nodes write transactions of messages for ever
            while True:
                transaction = await self.transaction()
                if found := [c for c in transaction.changes if not isinstance(c, Message)]:
                    return found

    async def messages(self) -> list[Message]:
        """The logical messages of the next transaction that has any, but for messages to removed nodes."""
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                transaction = await self.transaction()
                messages = [change for change in transaction.changes if isinstance(change, Message)]
                if found := [message for message in messages if message.prefix != "realtime.command"]:
                    return found


Reader = FeedReader[Feed]
"""Of a feed with a slot of its own."""


@asynccontextmanager
async def reading(dsn: str, settings: FeedSettings) -> AsyncIterator[Reader]:
    """A streaming feed with a reader."""
    async with Feed(dsn, settings) as feed:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await feed.streaming()
        yield Reader(feed)


@asynccontextmanager
async def following(
    source: FeedSource, *statements: LiteralString
) -> AsyncIterator[tuple[psycopg.Connection[Any], Reader]]:
    """A connection that has run ``statements``, and a reader of what is committed after them."""
    with source.connect() as connection:
        for statement in statements:
            connection.execute(statement)
        async with reading(source.dsn, source.settings()) as reader:
            yield connection, reader


def value(connection: psycopg.Connection[Any], query: LiteralString, parameters: Sequence[object] = ()) -> Any:
    """The one value of the one row that ``query`` gives."""
    found = connection.execute(query, parameters).fetchone()
    assert found is not None, query
    return found[0]


def row(change: Change) -> tuple[str, Any, Any]:
    """A change in a form that reads well in an assertion: kind, old and new row as ``{column: value}``."""
    names = [column.name for column in change.relation.columns]
    old, new = change.old(), change.new()
    return (
        change.kind.name,
        None if old is None else dict(zip(names, old, strict=True)),
        None if new is None else dict(zip(names, new, strict=True)),
    )


async def changes_of(sql: psycopg.Connection[Any], reader: Reader, statement: LiteralString) -> list[Change]:
    """What ``statement``, committed, is to a reader: the changes of the next transaction that has any."""
    sql.execute(statement)
    return await reader.changes()


async def rows_of(sql: psycopg.Connection[Any], reader: Reader, statement: LiteralString) -> list[tuple[str, Any, Any]]:
    """The same as :func:`row` has them."""
    return [row(change) for change in await changes_of(sql, reader, statement)]
