"""A relay's end of the stream without a slot: terms whose events a test makes up, and what a stream holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from engine.cluster.identity import DatabaseIdentity
from engine.cluster.messages import TOPICS, Pulse, Sent
from engine.cluster.nats_stream import NatsStream
from engine.cluster.publisher import Publisher
from engine.cluster.settings import ClusterSettings
from engine.feed.feed import ServerIdentity
from engine.feed.startup import Processes
from tests.support.postgres.sql import GIVE_UP_AFTER

__all__ = ["OURS", "content", "publisher", "publishing", "server"]

OURS = DatabaseIdentity("7000000000000000001", 16384, "app")


def server(timeline: int = 1, flushed: int = 1000) -> ServerIdentity:
    """A server of the database ``OURS``."""
    return ServerIdentity(OURS.system, timeline, flushed, Processes(datetime(2026, 1, 1, tzinfo=UTC), frozenset({1})))


def publisher(
    settings: ClusterSettings,
    where: ServerIdentity,
    database: DatabaseIdentity = OURS,
    leads: Callable[[], Awaitable[None]] | None = None,
) -> Publisher:
    """One term of a relay, whose slot is a made-up one. It stays where the term begins."""

    def pulse() -> Pulse:
        slot = 0 if term._start is None else term._start[0]
        return Pulse("a", "pgoutput", where, 1, "streaming", None, slot, database.oid, database.name, topics=TOPICS)

    term = Publisher(settings, "a", database, pulse, leads=leads)
    return term


@asynccontextmanager
async def publishing(term: Publisher, position: int, where: ServerIdentity) -> AsyncIterator[Publisher]:
    """The term, begun. Its failure is raised at the end."""
    running = asyncio.create_task(term.run())
    beginning = asyncio.create_task(term.begin(position, where))
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await asyncio.wait({running, beginning}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield term
    finally:
        for each in (running, beginning):
            each.cancel()
        await asyncio.wait({running, beginning})


async def content(stream: NatsStream) -> list[tuple[bool, Sent]]:
    """All messages of the stream, and which of them are signs of life."""
    state = await stream.state()
    assert state is not None
    found: list[tuple[bool, Sent]] = []
    if state.messages:
        async with asyncio.timeout(GIVE_UP_AFTER):
            async with stream.consumer(state.first) as consumer:
                while len(found) < state.messages:
                    message = await consumer.next(5.0)
                    if message is not None and message.sent is not None:
                        found.append((message.pulse, message.sent))
    return found
