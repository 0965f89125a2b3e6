"""The live queries over a database whose server the test may restart, and followers that watch every event they get."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import psycopg

from engine.feed.feed import Feed
from engine.feed.settings import DecoderName, FeedSettings
from engine.identity.principal import Principal
from engine.live.core.document_changes import WindowEvent
from engine.live.core.shared_query import Subscription
from engine.live.query_accounts import ConnectionAccount
from engine.live.service import LiveSettings
from engine.lsn import parse_lsn
from engine.postgres.connections.session_settings import connection_options
from engine.stream.gathering import Gathering
from server.wire.encoder import EventFrames
from tests.support.nodes.arena import Client
from tests.support.nodes.stream_and_live import StreamAndLive
from tests.support.nodes.waiting import WaitingSubscriber
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import GIVE_UP_AFTER, connect, read, until

QUICK = LiveSettings(reread_interval=0.0, idle_ttl=0.0, spare_rows=2)
DAWDLING = """
create function dawdling(x int) returns int immutable language plpgsql as
$$ begin if x >= 100 then perform pg_sleep(600); end if; return x; end $$;
grant execute on function dawdling(int) to realtime_reader
"""
"""A function for queries that take too long once there is a row for it, and no time of a processor."""


class Follower(WaitingSubscriber, Client):
    """A client that can be waited for and looks at its list after every event with ``inspect``."""

    def __init__(
        self,
        query: Query,
        inspect: Callable[[list[Any]], None] | None = None,
        frames: EventFrames | None = None,
    ) -> None:
        WaitingSubscriber.__init__(self)
        Client.__init__(self, query, frames)
        self.failures: list[AssertionError] = []
        self.resets = 0
        self._inspect = inspect

    def deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        self._received.set()
        self.resets += event.reset
        try:
            super().deliver(subscription, event)
            if self._inspect is not None and event.error is None:
                self._inspect(self.documents())
        except AssertionError as failure:  # in the service's task it would not be seen
            self.failures.append(failure)

    def leave(self) -> None:
        assert self.subscription is not None
        self.subscription.cancel()

    @property
    def ids(self) -> list[str]:
        return [identifier for identifier, _ in self.list]


class LiveNode:
    """A feed and the live queries over ``dsn``."""

    def __init__(self, dsn: str, feed: Feed, service: StreamAndLive) -> None:
        self.dsn = dsn
        self.feed = feed
        self.stream = service.stream
        self.live = service.live

    @property
    def slot(self) -> str:
        return self.feed.settings.slot_name

    async def follow(
        self,
        query: Query,
        inspect: Callable[[list[Any]], None] | None = None,
        *,
        principal: Principal | None = None,
        account: ConnectionAccount | None = None,
    ) -> Follower:
        follower = Follower(query, inspect)
        async with asyncio.timeout(GIVE_UP_AFTER):
            follower.subscription = await self.live.subscribe(
                principal or Principal(), query.collection, query.spec, follower.deliver, account=account
            )
        follower.subscription.begin()
        return follower

    async def caught_up(self) -> None:
        """Wait until everything committed so far has reached the followers."""
        with connect(self.dsn) as sql:
            await self.reached(sql)

    async def reached(self, sql: psycopg.Connection[Any]) -> None:
        """The same, of what has been committed so far as ``sql`` sees it."""
        [(position,)] = sql.execute("select pg_current_wal_flush_lsn()::text").fetchall()
        async with asyncio.timeout(GIVE_UP_AFTER):
            await self.live.caught_up(parse_lsn(position))

    async def looked(self) -> None:
        """Wait until the definitions have been compared with those in use, by a look that began after this call."""
        catalog = self.live._catalog
        begun = catalog.looks
        await until(lambda: catalog.looked > begun)

    async def check(self, *followers: Follower) -> None:
        """Every follower's list equals its query, and nothing was wrong on the way."""
        with connect(self.dsn) as sql:
            await self.reached(sql)
            for follower in followers:
                assert follower.error is None, follower.error
                assert not follower.failures, follower.failures[0]
                truth = [row[0] for row in sql.execute(follower.query.truth.encode())]
                assert [json.loads(doc) for _, doc in follower.list] == truth, (follower.query, follower.ids)


@asynccontextmanager
async def live_node(  # noqa: PLR0913
    dsn: str,
    *,
    decoder: DecoderName = "pgoutput",
    slot: str | None = None,
    live: LiveSettings = QUICK,
    reads: str | None = None,
    pooled: bool = False,
    trim_interval: float = 0.02,
    gathering: Gathering | None = None,
    **feed: Any,
) -> AsyncIterator[LiveNode]:
    """The service over ``dsn``, which reads rows from ``reads`` (of a pooler if ``pooled``) if that is given; everything is
    gone afterwards.
    """
    settings = FeedSettings(
        slot_name=slot or f"s_{uuid.uuid4().hex[:16]}", decoder=decoder, **{"ephemeral": True, **feed}
    )
    async with Feed(dsn, settings) as source:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await source.streaming()
        tuning = replace(live, stream_generated=decoder == "pgoutput")
        service = StreamAndLive(
            reads or dsn, source, tuning, trim_interval=trim_interval, pooled=pooled, gathering=gathering
        )
        try:
            await service.start()
            yield LiveNode(dsn, source, service)
            assert service.failure is None, service.failure
        finally:
            await service.stop()


@asynccontextmanager
async def held(dsn: str, *statements: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A transaction whose commit is in the WAL, and so in the stream, while no snapshot shows it.

    It waits for a synchronous standby that is not there; what is yielded lets it end.
    """
    options = connection_options(synchronous_commit="on")
    with psycopg.connect(dsn, options=options) as connection, connect(dsn) as control:
        pid = connection.info.backend_pid
        for statement in statements:
            connection.execute(statement.encode())
        committing = asyncio.create_task(asyncio.to_thread(connection.commit))

        async def release() -> None:
            control.execute("select pg_cancel_backend(%s)", [pid])
            await committing

        waiting = "select from pg_stat_activity where pid = %s and wait_event = 'SyncRep'"
        await until(lambda: control.execute(waiting, [pid]).fetchone() is not None)
        try:
            yield release
        finally:
            if not committing.done():
                await release()


@contextmanager
def stream_paused(node: LiveNode) -> Iterator[None]:
    """Inside, the node's walsender sends nothing: what is committed is in the database and not in the stream."""
    with walsender_stopped(node.dsn, node.slot):
        yield


@contextmanager
def walsender_stopped(dsn: str, slot: str = "%") -> Iterator[None]:
    """The same, of a database and one slot of it, by its pattern."""
    [(pid,)] = read(
        dsn,
        "select active_pid from pg_replication_slots "
        f"where slot_name like '{slot}' and database = current_database() and active",
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def terminate(dsn: str, application: str) -> int:
    """Terminate the backends of an application (``like`` pattern) and wait for their end; returns how many there were."""
    rows = read(
        dsn,
        f"select pg_terminate_backend(pid, {GIVE_UP_AFTER * 1000}) from pg_stat_activity "
        f"where application_name like '{application}' and datname = current_database()",
    )
    return len(rows)


def drop_slot(dsn: str, slot: str) -> None:
    """As a DBA would: terminate, drop, and again if the feed was faster."""
    with connect(dsn) as sql:
        while True:
            sql.execute(
                "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s", [slot]
            )
            try:
                sql.execute("select pg_drop_replication_slot(%s)", [slot])
            except psycopg.errors.ObjectInUse:
                continue
            except psycopg.errors.UndefinedObject:  # the one it was being made for was terminated
                return
            return


def json_rows(select: str) -> str:
    """SQL that returns each row of ``select`` as one JSON document, in its order."""
    return f"select to_jsonb(r) from ({select}) r"
