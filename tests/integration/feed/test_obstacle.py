"""A row that cannot be decoded ends the stream at the same place each time: the feed goes round it by itself."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import psycopg
import pytest
from structlog.typing import EventDict

from engine.errors import FeedError, QueryRejectedError
from engine.feed.buffer import EventBuffer
from engine.feed.decoders.base import PUBLICATION, UndecodableError
from engine.feed.feed import Feed, FeedSettings, FeedState
from engine.feed.leases import NodeLease
from engine.feed.positions import Positions
from engine.feed.startup import FeedParts, SessionMemory
from engine.feed.streaming_session import StreamingSession
from engine.postgres.reconnecting import Database
from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import drop_database
from tests.integration.feed.conftest import Reader, reading
from tests.support.nodes.live_node import json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each, until

LATER = Query("later", {}, json_rows("select * from later order by id"))
TORN = Query("torn", {}, json_rows("select * from torn order by id"))


@contextmanager
def encoded_database(server: LocalPostgres, encoding: str) -> Iterator[str]:
    """A migrated database of another encoding, with the exposed tables ``torn`` and ``later``."""
    dsn = server.dsn_for(f"t_{uuid.uuid4().hex[:12]}")
    name = dsn.rsplit("/", 1)[1]
    run_each(server.dsn, f"create database {name} encoding '{encoding}' template template0 locale 'C'")
    try:
        migrate(dsn)
        run_each(
            dsn,
            "create table torn (id int primary key, s text)",
            "create table later (id int primary key, s text)",
            "select realtime.expose('torn'), realtime.expose('later')",
        )
        yield dsn
    finally:
        drop_database(server, dsn)


def write_undecodable_rows(dsn: str) -> None:
    """Two transactions, each with a row that is not valid UTF-8."""
    with psycopg.connect(dsn, autocommit=True, client_encoding="SQL_ASCII") as sql:
        sql.execute(rb"insert into torn values (2, E'caf\xe9')")
        sql.execute(rb"insert into later values (2, E'\xe9')")


@asynccontextmanager
async def obstructed(server: LocalPostgres) -> AsyncIterator[tuple[str, FeedSettings]]:
    """A database, and the settings of a stopped node in whose slot there are rows that cannot be decoded."""
    with encoded_database(server, "SQL_ASCII") as dsn:
        settings = FeedSettings(slot_name=f"s_{uuid.uuid4().hex[:16]}")
        async with reading(dsn, settings):
            pass
        write_undecodable_rows(dsn)
        yield dsn, settings


async def test_a_row_that_cannot_be_decoded_costs_a_new_slot_and_ends_the_queries_that_read_it(
    pg: LocalPostgres, logs: list[EventDict]
) -> None:
    with encoded_database(pg, "SQL_ASCII") as dsn:
        async with live_node(dsn) as play:
            warned = any(entry.get("encoding") == "SQL_ASCII" for entry in logs)
            torn, later = await play.follow(TORN), await play.follow(LATER)
            run_each(dsn, "insert into torn values (1, 'a')")
            await torn.until(lambda: torn.ids == ["1"])
            with psycopg.connect(dsn, autocommit=True, client_encoding="SQL_ASCII") as sql:
                logs.clear()
                sql.execute(rb"insert into torn values (2, E'caf\xe9')")
                sql.execute("insert into later values (1, 'behind it')")
            await later.until(lambda: later.ids == ["1"])
            await torn.until(lambda: torn.error is not None)
            assert "invalid byte sequence" in str(torn.error)
            await until(lambda: play.feed.state.status == "streaming")
            assert play.feed.state.reason is None
            events = [entry for entry in logs if entry.get("slot") == play.slot]
            skipped = next(i for i, event in enumerate(events) if event["event"] == "wal_skipped")
            assert "the WAL after " in events[skipped]["reason"]
            assert not [event for event in events[:skipped] if event.get("status") == "streaming"], events

            with pytest.raises(QueryRejectedError, match="invalid byte sequence"):
                await play.follow(TORN)
            run_each(dsn, "insert into later values (2, 'goes on')")
            await later.until(lambda: later.ids == ["1", "2"])
            run_each(dsn, "delete from torn where id = 2", "insert into torn values (3, 'c')")
            assert warned
            assert any("SQL_ASCII" in finding.text for finding in diagnose(dsn, Settings()) if finding.level == "warn")
            again = await play.follow(TORN)
            await asyncio.gather(play.check(later, again))


async def test_a_node_restarted_in_the_middle_of_an_obstacle_makes_a_new_slot(pg: LocalPostgres) -> None:
    async with obstructed(pg) as (dsn, settings):
        async with Feed(dsn, settings) as feed:
            await until(lambda: "cannot be decoded" in (feed.state.reason or ""))
        async with Feed(dsn, replace(settings, ephemeral=True)) as feed:
            reader = Reader(feed)
            assert "cannot be decoded" in (await reader.discontinuity()).reason
            run_each(dsn, "insert into later values (1, 'behind it')")
            assert [change.new() for change in await reader.changes()] == [(b"1", b"behind it")]
            assert feed.state == FeedState("streaming")


async def test_every_session_that_reaches_an_obstacle_ends_with_the_error_of_the_decoding(pg: LocalPostgres) -> None:
    async with obstructed(pg) as (dsn, settings):
        free = f"select not active from pg_replication_slots where slot_name = '{settings.slot_name}'"
        async with Database(dsn, "sessions") as database:
            lease, buffer = NodeLease(database, settings), EventBuffer(settings.buffer_bytes)
            parts = FeedParts(settings, database, lease, buffer, Positions(), SessionMemory())
            for _ in range(30):  # the error of a status update, sent at the same time, must never replace it
                with pytest.raises(UndecodableError, match="invalid byte sequence"):
                    await StreamingSession(parts, lambda _: None).run()
                await until(lambda: read(dsn, free) == [(True,)])
        async with Feed(dsn, replace(settings, ephemeral=True)):
            pass


async def test_an_outage_in_the_middle_of_an_obstacle_is_the_reason_that_the_feed_states(pg: LocalPostgres) -> None:
    with encoded_database(pg, "SQL_ASCII") as dsn:
        settings = FeedSettings(slot_name=f"s_{uuid.uuid4().hex[:16]}", ephemeral=True)
        async with reading(dsn, settings) as reader:
            write_undecodable_rows(dsn)
            await until(lambda: "cannot be decoded" in (reader.feed.state.reason or ""))
            run_each(dsn, f"alter publication {PUBLICATION} rename to away")
            await until(lambda: f"no publication {PUBLICATION}" in (reader.feed.state.reason or ""))
            run_each(dsn, f"alter publication away rename to {PUBLICATION}")
            await reader.discontinuity()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_wal2json_is_refused_where_it_does_not_send_utf8(pg15: LocalPostgres, encoding: str) -> None:
    with encoded_database(pg15, encoding) as dsn:
        settings = FeedSettings(slot_name="not_utf8", decoder="wal2json", ephemeral=True)
        async with Feed(dsn, settings) as feed:
            with pytest.raises(FeedError, match=f"a database in {encoding} to UTF-8: use decoder pgoutput"):
                await anext(feed)
