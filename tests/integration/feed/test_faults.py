"""What can happen to a stream that has started: the server, the walsender, the slot or the consumer fails it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.feed.feed import FeedState
from engine.transaction import Discontinuity, Transaction
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, postgres_15, postgres_18, started
from tests.integration.feed.conftest import LEASE, FeedReader, FeedSource, Reader, reading
from tests.support.postgres.sql import GIVE_UP_AFTER, until

SMALL_WAL = {
    "max_slot_wal_keep_size": "32MB",
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
    "wal_sender_timeout": "2s",
    "max_replication_slots": "4",
}


@pytest.fixture(scope="module")
def own18(scratch: Path) -> Iterator[LocalPostgres]:
    """A PostgreSQL 18 that may be restarted, with little room for WAL and slots."""
    with started(postgres_18(scratch / "feed18", SMALL_WAL)) as server:
        yield server


@pytest.fixture(scope="module")
def own15(scratch: Path, pg15: LocalPostgres) -> Iterator[LocalPostgres]:
    """The same of PostgreSQL 15 with wal2json (skipped or failed as ``pg15`` is)."""
    with started(postgres_15(scratch / "feed15", SMALL_WAL)) as server:
        yield server


@pytest.fixture(params=["own18-pgoutput", "own15-wal2json"])
def spot(request: pytest.FixtureRequest) -> Iterator[FeedSource]:
    """A database, with the exposed table t, on a server that may be restarted."""
    name, decoder = request.param.split("-")
    server: LocalPostgres = request.getfixturevalue(name)
    table = "create table t (id int primary key, s text)"
    with database_on(server, table, "select realtime.expose('t')") as dsn:
        yield FeedSource(server, dsn, decoder)


def insert(source: FeedSource, *ids: int) -> None:
    """One transaction per id, on a connection of its own."""
    with source.connect() as sql:
        for i in ids:
            sql.execute("insert into t values (%s)", [i])


def ids(transaction: Transaction) -> list[int]:
    """The ids that a transaction inserted."""
    return [int(c.new()[0]) for c in transaction.changes]  # type: ignore[union-attr,index,arg-type]


async def read_ids(reader: FeedReader[Any], count: int) -> list[int]:
    """The next ids."""
    found: list[int] = []
    while len(found) < count:
        found += ids(await reader.transaction())
    return found


def slot_row(source: FeedSource, name: str) -> Any:
    """The slot in pg_replication_slots, None if it is gone."""
    with source.connect() as sql:
        return sql.execute(
            "select active_pid, confirmed_flush_lsn, restart_lsn, wal_status, pg_current_wal_lsn() "
            "from pg_replication_slots where slot_name = %s",
            [name],
        ).fetchone()


def drop_slot_of_running_feed(source: FeedSource, name: str) -> None:
    """As a DBA would: terminate, drop, and again if the feed was faster."""
    with source.connect() as sql:
        while True:
            sql.execute(
                "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s", [name]
            )
            try:
                sql.execute("select pg_drop_replication_slot(%s)", [name])
            except psycopg.errors.ObjectInUse:
                continue
            return


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_postgres_loses_and_repeats_nothing(spot: FeedSource, mode: str) -> None:
    async with reading(spot.dsn, spot.settings()) as reader:
        insert(spot, 1, 2, 3)
        assert await read_ids(reader, 3) == [1, 2, 3]
        pending = asyncio.create_task(read_ids(reader, 3))
        await asyncio.to_thread(spot.server.stop, mode)
        await until(lambda: reader.feed.state.status == "reconnecting")
        assert reader.feed.state.reason
        await asyncio.to_thread(spot.server.start)
        insert(spot, 4, 5, 6)
        assert await pending == [4, 5, 6]
        assert reader.feed.state == FeedState("streaming", None)


async def test_a_terminated_walsender_is_replaced_without_loss(spot: FeedSource) -> None:
    settings = spot.settings()
    async with reading(spot.dsn, settings) as reader:
        numbers = itertools.count(1)
        for _ in range(4):
            insert(spot, next(numbers), next(numbers))
            before = slot_row(spot, settings.slot_name)[0]
            with spot.connect() as sql:
                sql.execute("select pg_terminate_backend(%s)", [before])
            insert(spot, next(numbers))
            await until(lambda: slot_row(spot, settings.slot_name)[0] not in (None, before))
        insert(spot, next(numbers))
        assert await read_ids(reader, 13) == list(range(1, 14))


async def test_unconfirmed_transactions_are_not_repeated_after_a_reconnect(spot: FeedSource) -> None:
    settings = spot.settings()
    async with reading(spot.dsn, settings) as reader:
        insert(spot, 1, 2)
        async with asyncio.timeout(GIVE_UP_AFTER):
            seen = [e async for e in _take_transactions(reader, 2)]
        confirmed_before = reader.feed.confirmed
        before = slot_row(spot, settings.slot_name)[0]
        with spot.connect() as sql:
            sql.execute("select pg_terminate_backend(%s)", [before])
        await until(lambda: slot_row(spot, settings.slot_name)[0] not in (None, before))
        insert(spot, 3)
        assert [ids(t) for t in seen] == [[1], [2]]
        assert reader.feed.confirmed == confirmed_before
        assert await read_ids(reader, 1) == [3]


async def _take_transactions(reader: Reader, count: int) -> Any:
    """Transactions taken from the feed without confirming them."""
    while count:
        event = await anext(reader.feed)
        if isinstance(event, Transaction):
            count -= 1
            yield event


async def test_a_dropped_slot_is_made_again_with_a_discontinuity(spot: FeedSource) -> None:
    settings = spot.settings()
    async with reading(spot.dsn, settings) as reader:
        insert(spot, 1)
        assert await read_ids(reader, 1) == [1]
        await asyncio.to_thread(drop_slot_of_running_feed, spot, settings.slot_name)
        event = await reader.discontinuity()
        assert "dropped" in event.reason
        insert(spot, 2)
        assert await read_ids(reader, 1) == [2]
        assert reader.feed.state.status == "streaming"


async def test_a_slot_that_was_advanced_elsewhere_is_a_discontinuity(spot: FeedSource) -> None:
    settings = spot.settings()
    async with reading(spot.dsn, settings) as reader:
        insert(spot, 1)
        assert await read_ids(reader, 1) == [1]

        def drop_and_make_again() -> None:
            drop_slot_of_running_feed(spot, settings.slot_name)
            insert(spot, 2)
            with spot.connect() as sql, pytest.MonkeyPatch.context():
                try:
                    sql.execute("select pg_create_logical_replication_slot(%s, %s)", [settings.slot_name, spot.decoder])
                except psycopg.errors.DuplicateObject:
                    return  # the feed was faster, and reports that the slot was dropped

        await asyncio.to_thread(drop_and_make_again)
        await reader.discontinuity()
        insert(spot, 3)
        assert await read_ids(reader, 1) == [3]


async def test_a_slot_that_kept_too_much_wal_is_made_again(spot: FeedSource) -> None:
    settings = spot.settings(buffer_bytes=1000, heartbeat_interval=3600.0)
    async with reading(spot.dsn, settings) as reader:

        def write_until_lost() -> None:  # while nothing is read or confirmed
            with spot.connect() as sql:
                stands_at = slot_row(spot, settings.slot_name)[1]
                for i in range(1, 100):
                    sql.execute(
                        "insert into t select %s * 10000 + i, repeat('x', 900) from generate_series(1, 7000) i", [i]
                    )
                    sql.execute("select pg_switch_wal()")
                    sql.execute("checkpoint")
                    slot = slot_row(spot, settings.slot_name)
                    if slot is None or slot[1] != stands_at or slot[3] == "lost":  # or made again already
                        return
            raise AssertionError("the slot was never invalidated")

        await asyncio.to_thread(write_until_lost)
        event = await reader.discontinuity()
        assert "invalidated" in event.reason or "decoded" in event.reason
        insert(spot, 1)
        assert (await read_ids(reader, 1))[-1] == 1
        assert slot_row(spot, settings.slot_name)[3] in ("reserved", "extended")


async def test_a_publication_dropped_for_a_while_is_a_discontinuity(spot: FeedSource) -> None:
    async with reading(spot.dsn, spot.settings(lease=LEASE)) as reader:
        insert(spot, 1)
        assert await read_ids(reader, 1) == [1]
        consumer = asyncio.create_task(reader.discontinuity())
        with spot.connect() as sql:
            sql.execute("drop publication bunbase_realtime")
            insert(spot, 2)
            await until(lambda: "no publication bunbase_realtime" in (reader.feed.state.reason or ""))
            sql.execute("create publication bunbase_realtime for table t")
        event = await consumer
        assert "publication" in event.reason
        insert(spot, 3)
        assert await read_ids(reader, 1) == [3]


async def test_a_slow_consumer_is_not_taken_for_dead(spot: FeedSource) -> None:
    settings = spot.settings(buffer_bytes=100_000, status_interval=3600.0)
    async with reading(spot.dsn, settings) as reader:
        with spot.connect() as sql:
            for i in range(20):
                sql.execute(
                    "insert into t select %s * 10000 + i, repeat('x', 500) from generate_series(1, 1000) i", [i]
                )

        def waited_long() -> Any:  # three times wal_sender_timeout without reading a byte
            with spot.connect() as sql:
                return sql.execute(
                    "select a.pid from pg_stat_activity a join pg_replication_slots s on s.active_pid = a.pid "
                    "where s.slot_name = %s and clock_timestamp() - a.backend_start > interval '6 s'",
                    [settings.slot_name],
                ).fetchone()

        before = slot_row(spot, settings.slot_name)[0]
        assert (await until(waited_long))[0] == before
        assert len(await read_ids(reader, 20_000)) == 20_000
        assert slot_row(spot, settings.slot_name)[0] == before


async def test_a_fast_shutdown_of_postgres_does_not_wait_for_us(spot: FeedSource) -> None:
    """PostgreSQL waits at shutdown until a walsender's consumer has flushed everything, so progress must come at once."""
    async with reading(spot.dsn, spot.settings(status_interval=3600.0)) as reader:
        consumer = asyncio.create_task(_consume(reader))
        insert(spot, 1)
        async with asyncio.timeout(GIVE_UP_AFTER):
            await asyncio.to_thread(spot.server.stop, "fast")
        assert not spot.server.running
        await asyncio.to_thread(spot.server.start)
        consumer.cancel()


async def _consume(reader: Reader) -> None:
    while not isinstance(await reader.event(), Discontinuity):
        pass


async def test_a_shutdown_does_not_wait_for_a_consumer_that_does_not_read(spot: FeedSource) -> None:
    """A walsender whose socket is full cannot end by itself: the feed hangs up on it."""
    async with reading(spot.dsn, spot.settings(buffer_bytes=1000)) as reader:

        def fill_socket() -> Any:
            with spot.connect() as sql:
                sql.execute("insert into t select coalesce(max(id), 0) + 1, repeat('x', 1000000) from t")
                return sql.execute(
                    "select 1 from pg_stat_replication r join pg_stat_activity a using (pid) "
                    "where a.wait_event = 'WalSenderWriteData' and a.datname = current_database()"
                ).fetchone()

        await until(fill_socket)
        async with asyncio.timeout(GIVE_UP_AFTER):
            await asyncio.to_thread(spot.server.stop, "fast")
        assert not spot.server.running
        await asyncio.to_thread(spot.server.start)
        with spot.connect() as sql:
            count = sql.execute("select count(*) from t").fetchone()[0]  # type: ignore[index]
        assert await read_ids(reader, count) == list(range(1, count + 1))
