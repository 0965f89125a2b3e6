"""What can stand in the way of a start, and whether the feed reports it in words that help."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from engine.errors import FeedError
from engine.feed.feed import Feed, FeedSettings
from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, fresh_database, postgres_18, started
from tests.integration.feed.conftest import LEASE, FeedSource
from tests.support.postgres.sql import GIVE_UP_AFTER, until


async def refusal(dsn: str, settings: FeedSettings) -> str:
    """The error with which a feed refuses to start."""
    async with asyncio.timeout(GIVE_UP_AFTER), Feed(dsn, settings) as feed:
        with pytest.raises(FeedError) as raised:
            await anext(feed)
        assert feed.state.status == "stopped"
        assert feed.state.reason == str(raised.value)
        with pytest.raises(FeedError):
            await feed.streaming()
    return str(raised.value)


@pytest.fixture(scope="module")
def poor18(scratch: Path) -> Iterator[LocalPostgres]:
    """A server with one slot, one walsender, and at first without logical decoding."""
    settings = {"wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "1"}
    with started(postgres_18(scratch / "poor18", settings)) as server:
        yield server


@pytest.fixture
def poor(poor18: LocalPostgres) -> Iterator[str]:
    """A database on it."""
    with database_on(poor18) as dsn:
        yield dsn


async def test_wal_level_slots_and_senders_are_asked_for(poor18: LocalPostgres, poor: str) -> None:
    assert "ALTER SYSTEM SET wal_level = 'logical' and restart" in await refusal(poor, FeedSettings())
    poor18.stop()
    poor18.settings["wal_level"] = "logical"
    poor18.start()
    with psycopg.connect(poor, autocommit=True) as sql:
        sql.execute("select pg_create_logical_replication_slot('only', 'pgoutput')")
        assert "raise max_replication_slots" in await refusal(poor, FeedSettings())
        sql.execute("select pg_drop_replication_slot('only')")
    async with Feed(poor, FeedSettings(slot_name="only")) as feed:
        await feed.streaming()
        # The one walsender is taken; this one would have to share its slot anyway.
        reason = await refusal(poor, FeedSettings(slot_name="more", ephemeral=True))
        assert "raise max_wal_senders" in reason or "raise max_replication_slots" in reason


async def test_an_unmigrated_database_is_reported(source: FeedSource) -> None:
    with database_on(source.server, migrated=False) as bare:
        assert "run `realtime migrate`" in await refusal(bare, source.settings())
    with source.connect() as sql:
        sql.execute("drop publication bunbase_realtime")
    assert "no publication bunbase_realtime" in await refusal(source.dsn, source.settings())


async def test_only_the_attempt_decides_whether_a_role_may_replicate(source: FeedSource) -> None:
    """On managed services the right comes from a membership. Here from the role that logs in, which becomes another."""
    with source.connect() as sql:
        sql.execute("drop role if exists plain, sender")
        sql.execute("create role plain login")
        sql.execute("create role sender login replication in role plain")
        try:
            sql.execute("grant usage on schema realtime to plain")
            sql.execute(
                "grant select, insert, update, delete on realtime.nodes, realtime.slots, realtime.collections to plain"
            )
            settings = source.settings(lease=LEASE)
            reason = await refusal(source.dsn.replace("postgres@", "plain@"), settings)
            assert "ALTER ROLE plain REPLICATION" in reason
            assert "GRANT rds_replication TO plain" in reason
            sql.execute(f"alter role sender in database {sql.info.dbname} set role = 'plain'")
            sql.execute("select pg_create_logical_replication_slot('dead_slot', %s)", [source.decoder])
            sql.execute(
                "insert into realtime.nodes (id, lease_expires_at) values ('dead', now() - interval '1 hour');"
                "insert into realtime.slots (name, node, ephemeral) values ('dead_slot', 'dead', true)"
            )
            async with Feed(source.dsn.replace("postgres@", "sender@"), settings) as feed:
                async with asyncio.timeout(GIVE_UP_AFTER):
                    await feed.streaming()
            slots = "select slot_name from pg_replication_slots where database = current_database()"
            assert sql.execute(slots).fetchall() == [], "its own and the dead node's are dropped"
            assert sql.execute("select id from realtime.nodes").fetchall() == []
        finally:
            sql.execute("drop owned by plain, sender")
            sql.execute("drop role plain, sender")


async def test_a_prepared_transaction_that_blocks_the_slot_is_named(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table blocked (id int)")
        sql.execute("begin")
        sql.execute("insert into blocked values (1)")
        sql.execute("prepare transaction 'orphan''s'")
        async with Feed(source.dsn, source.settings()) as feed:
            try:
                await until(lambda: "ROLLBACK PREPARED 'orphan''s'" in (feed.state.reason or ""))
                assert f"in database {sql.info.dbname}" in (feed.state.reason or "")
                assert "ROLLBACK PREPARED 'orphan''s'" in "\n".join(map(str, diagnose(source.dsn, Settings())))
            finally:
                sql.execute("rollback prepared 'orphan''s'")
            async with asyncio.timeout(GIVE_UP_AFTER):
                await feed.streaming()


async def test_a_missing_role_or_database_is_reported(source: FeedSource) -> None:
    assert "does not exist" in await refusal(source.dsn + "_not", source.settings())
    assert "does not exist" in await refusal(source.dsn.replace("postgres@", "nobody@"), source.settings())


async def test_a_missing_or_forbidden_plugin_is_reported(database: str) -> None:
    reason = await refusal(database, FeedSettings(slot_name="w", decoder="wal2json"))
    assert "output_plugin_libraries" in reason or "install the output plugin" in reason


async def test_a_slot_of_another_plugin_is_refused_and_one_of_ours_taken_over(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("select pg_create_logical_replication_slot('theirs', 'test_decoding')")
        sql.execute("select pg_create_logical_replication_slot('ours', %s)", [source.decoder])
    reason = await refusal(source.dsn, source.settings(slot_name="theirs", decoder="auto"))
    assert "slot theirs uses the plugin test_decoding" in reason
    other = "wal2json" if source.decoder == "pgoutput" else "pgoutput"
    assert "realtime slots drop ours" in await refusal(source.dsn, source.settings(slot_name="ours", decoder=other))
    async with Feed(source.dsn, source.settings(slot_name="ours", decoder="auto")) as feed:
        await feed.streaming()
        assert feed.plugin == source.decoder


async def test_a_slot_of_another_database_is_refused(source: FeedSource) -> None:
    with database_on(source.server, "select pg_create_logical_replication_slot('elsewhere', 'pgoutput')"):
        reason = await refusal(source.dsn, source.settings(slot_name="elsewhere"))
        assert "belongs to database" in reason
        assert "REALTIME_SLOT_NAME" in reason  # `realtime dev` has no flag for it


def test_a_name_that_no_slot_can_have_is_refused() -> None:
    with pytest.raises(FeedError, match="lower-case letters, digits and underscores"):
        FeedSettings(slot_name="My-Slot")


async def test_a_server_that_is_down_is_waited_for(scratch: Path) -> None:
    with started(postgres_18(scratch / "late18")) as server:
        dsn = fresh_database(server)
        server.stop()
        async with Feed(dsn, FeedSettings()) as feed:
            await until(lambda: feed.state.reason)
            assert (feed.state.status, "refused" in (feed.state.reason or "")) == ("starting", True)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(GIVE_UP_AFTER):
                await feed.streaming()


async def test_a_long_transaction_that_blocks_the_slot_is_named(source: FeedSource) -> None:
    with source.connect(application_name="month-end report") as blocker:
        blocker.execute("begin")
        blocker.execute("select pg_current_xact_id()")
        pid = blocker.info.backend_pid
        async with Feed(source.dsn, source.settings()) as feed:
            await until(lambda: f"process {pid}" in (feed.state.reason or ""))
            assert "month-end report" in (feed.state.reason or "")
            assert feed.state.status == "starting"
            blocker.execute("commit")
            async with asyncio.timeout(GIVE_UP_AFTER):
                await feed.streaming()
            assert feed.state.reason is None


async def test_giving_up_while_the_slot_is_blocked_leaves_nothing(source: FeedSource) -> None:
    with source.connect() as blocker, source.connect() as sql:
        blocker.execute("begin")
        blocker.execute("select pg_current_xact_id()")
        async with Feed(source.dsn, source.settings()) as feed:
            await until(lambda: "waiting for a transaction" in (feed.state.reason or ""))
        counted = "select count(*) from pg_replication_slots where database = current_database()"
        assert sql.execute(counted).fetchone() == (0,)
        assert sql.execute("select count(*) from realtime.nodes").fetchone() == (0,)


async def test_a_slot_dropped_while_the_node_was_down_is_made_again(source: FeedSource) -> None:
    settings = source.settings(ephemeral=False)
    async with Feed(source.dsn, settings) as feed:
        await feed.streaming()
    with source.connect() as sql:
        sql.execute("select pg_drop_replication_slot(%s)", [settings.slot_name])
    async with Feed(source.dsn, settings) as feed:
        await feed.streaming()  # a new process has nothing to lose: no discontinuity
        with source.connect() as sql:
            sql.execute("select pg_logical_emit_message(false, 'realtime.test', 'x')")
        async with asyncio.timeout(GIVE_UP_AFTER):
            event = await anext(feed)
        assert type(event).__name__ in ("Transaction", "Progress")


async def test_a_node_that_finds_anothers_slot_under_its_name_leaves_no_row_that_would_have_it_dropped(
    database: str,
) -> None:
    settings = FeedSettings(slot_name="of_another", lease=LEASE)
    with psycopg.connect(database, autocommit=True) as sql:
        sql.execute("select pg_create_logical_replication_slot('of_another', 'test_decoding')")
        assert "uses the plugin test_decoding" in await refusal(database, settings)
        assert sql.execute("select count(*) from realtime.nodes").fetchone() == (0,)
        sql.execute("update realtime.nodes set lease_expires_at = now() - interval '1 hour'")  # if there were one
        async with Feed(database, FeedSettings(slot_name="ours", ephemeral=True)) as feed:
            async with asyncio.timeout(GIVE_UP_AFTER):
                await feed.streaming()
        found = sql.execute("select slot_name from pg_replication_slots where database = current_database()")
        assert found.fetchall() == [("of_another",)]


async def test_an_abandoned_feed_drops_the_slot_that_it_made_and_no_other(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as sql:
        for left in ([], [("kept",)]):
            if left:
                sql.execute("select pg_create_logical_replication_slot('kept', 'pgoutput')")
            async with Feed(database, FeedSettings(slot_name="kept")) as feed:
                async with asyncio.timeout(GIVE_UP_AFTER):
                    await feed.streaming()
                feed.abandon()
            found = sql.execute("select slot_name from pg_replication_slots where database = current_database()")
            assert found.fetchall() == left
