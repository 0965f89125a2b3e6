"""Leases, slots and what is left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from engine.errors import FeedError
from engine.feed.feed import Feed
from engine.feed.slots import SlotBusyError, drop_slot, list_slots
from tests.integration.feed.conftest import LEASE, FeedSource, reading, value
from tests.support.postgres.sql import GIVE_UP_AFTER, until


def slots(source: FeedSource) -> list[str]:
    """The slots of this database."""
    with source.connect() as sql:
        return [
            name
            for (name,) in sql.execute(
                "select slot_name from pg_replication_slots where database = current_database() order by 1"
            )
        ]


def nodes(source: FeedSource) -> dict[str, float]:
    """Node ids and the seconds left of their leases."""
    with source.connect() as sql:
        return dict(
            sql.execute(
                "select id, extract(epoch from lease_expires_at - clock_timestamp())::float8 from realtime.nodes"
            ).fetchall()
        )


def make_dead_node(source: FeedSource, name: str, *, slot: bool = True) -> None:
    """A node whose lease ran out a second ago."""
    with source.connect() as sql:
        if slot:
            sql.execute("select pg_create_logical_replication_slot(%s, %s)", [name, source.decoder])
        sql.execute(
            "insert into realtime.nodes (id, lease_expires_at) values (%s, now() - interval '1 s')", [f"node {name}"]
        )
        sql.execute("insert into realtime.slots (name, node) values (%s, %s)", [name, f"node {name}"])


async def test_an_ephemeral_node_leaves_nothing(source: FeedSource) -> None:
    settings = source.settings(node_id="me")
    async with reading(source.dsn, settings):
        assert slots(source) == [settings.slot_name]
        assert 0 < nodes(source)["me"] <= settings.lease
    assert slots(source) == []
    assert nodes(source) == {}


async def test_a_lasting_node_goes_on_where_it_stopped(source: FeedSource) -> None:
    settings = source.settings(ephemeral=False, keep_slot=1000.0)
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, settings) as reader:
            sql.execute("insert into t values (1)")
            await reader.changes()
        assert slots(source) == [settings.slot_name]
        assert nodes(source)[settings.slot_name] > settings.lease
        sql.execute("insert into t values (2)")
        async with reading(source.dsn, settings) as reader:
            (change,) = await reader.changes()
            assert change.new() == (b"2",)


async def test_unconfirmed_transactions_are_repeated_to_the_next_process(source: FeedSource) -> None:
    settings = source.settings(ephemeral=False)
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, settings) as reader:
            sql.execute("insert into t values (1)")
            (change,) = await reader.changes()
            sql.execute("insert into t values (2)")
            async with asyncio.timeout(GIVE_UP_AFTER):
                await anext(reader.feed)
        async with reading(source.dsn, settings) as reader:
            (change,) = await reader.changes()
            assert change.new() == (b"2",)


async def test_the_slot_never_passes_what_was_confirmed(source: FeedSource) -> None:
    settings = source.settings()
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, settings) as reader:
            sql.execute("insert into t values (1)")
            transaction = await reader.transaction()
            sql.execute("insert into t values (2)")
            reader.feed.confirm(transaction.end + (1 << 40))  # no consumer can have done what was not delivered
            assert reader.feed.confirmed == transaction.end
            await until(
                lambda: value(
                    sql,
                    "select confirmed_flush_lsn - '0/0' = %s from pg_replication_slots where slot_name = %s",
                    [transaction.end, settings.slot_name],
                )
            )
            assert reader.feed.lag.bytes >= 0


async def test_the_slot_of_a_dead_node_is_dropped_by_another(source: FeedSource) -> None:
    make_dead_node(source, "dead_" + source.decoder)
    make_dead_node(source, "slotless", slot=False)
    with source.connect() as sql:
        sql.execute("select pg_create_logical_replication_slot('not_ours', %s)", [source.decoder])
    settings = source.settings(lease=LEASE)
    async with reading(source.dsn, settings):
        assert slots(source) == sorted(["not_ours", settings.slot_name])
        assert list(nodes(source)) == [settings.slot_name]
        make_dead_node(source, "later")
        await until(lambda: "later" not in slots(source) and list(nodes(source)) == [settings.slot_name])
        assert "not_ours" in slots(source)


def owners(source: FeedSource) -> dict[str, str | None]:
    """The slots in ``realtime.slots`` and their nodes."""
    with source.connect() as sql:
        return dict(sql.execute("select name, node from realtime.slots").fetchall())


async def test_the_slot_of_a_deleted_node_is_dropped_once_nothing_uses_it(source: FeedSource) -> None:
    one, other = source.settings(ephemeral=False, node_id="one"), source.settings(lease=LEASE)
    async with reading(source.dsn, other):
        async with reading(source.dsn, one):
            with source.connect() as sql:
                sql.execute("delete from realtime.nodes where id = 'one'")
                assert owners(source) == {one.slot_name: None, other.slot_name: other.node}
                make_dead_node(source, "witness")
                await until(lambda: "witness" not in slots(source))
                assert one.slot_name in slots(source)  # the stream uses it
        with source.connect() as sql:
            sql.execute("delete from realtime.nodes where id = 'one'")
        await until(lambda: slots(source) == [other.slot_name])
        await until(lambda: owners(source) == {other.slot_name: other.node})


async def test_a_node_that_takes_another_slot_leaves_none_behind(source: FeedSource) -> None:
    before = source.settings(ephemeral=False, node_id="me")
    async with reading(source.dsn, before):
        pass
    after = source.settings(node_id="me", lease=LEASE)
    async with reading(source.dsn, after):
        assert slots(source) == [after.slot_name]
        await until(lambda: owners(source) == {after.slot_name: "me"})
    assert (slots(source), nodes(source), owners(source)) == ([], {}, {})


async def test_a_node_reports_that_another_version_has_migrated_its_tables(source: FeedSource) -> None:
    with source.connect() as sql:
        async with reading(source.dsn, source.settings()) as reader:
            sql.execute("alter table realtime.nodes rename lease_expires_at to later")
            sql.execute("select pg_logical_emit_message(false, 'realtime.test', 'the stream goes on')")
            assert (await reader.messages())[0].content == b"the stream goes on"
            sql.execute("select pg_terminate_backend(%s)", [reader.feed.walsender])
            await until(lambda: "another version has migrated the schema" in (reader.feed.state.reason or ""))
            assert reader.feed.state.status == "reconnecting"
            sql.execute("alter table realtime.nodes rename later to lease_expires_at")
            async with asyncio.timeout(GIVE_UP_AFTER):
                await reader.feed.streaming()


async def test_a_slot_in_use_is_not_dropped_although_its_lease_ran_out(source: FeedSource) -> None:
    one, other = source.settings(), source.settings(lease=LEASE)
    async with reading(source.dsn, one) as reader:
        with source.connect() as sql:
            sql.execute("update realtime.nodes set lease_expires_at = now() - interval '1 s'")
            async with reading(source.dsn, other):
                make_dead_node(source, "witness")
                await until(lambda: "witness" not in slots(source))
            assert one.slot_name in slots(source)
            assert one.slot_name in nodes(source)
            sql.execute("select pg_logical_emit_message(false, 'realtime.test', 'still there')")
            assert (await reader.messages())[0].content == b"still there"


async def test_a_node_renews_its_lease(source: FeedSource) -> None:
    settings = source.settings(lease=LEASE)
    async with reading(source.dsn, settings):
        with source.connect() as sql:
            sql.execute("update realtime.nodes set lease_expires_at = now() - interval '1 s'")
        await until(lambda: nodes(source)[settings.slot_name] > 0)
        with source.connect() as sql:
            sql.execute("delete from realtime.nodes")
        await until(lambda: settings.slot_name in nodes(source))


async def test_two_nodes_cannot_share_a_slot(source: FeedSource) -> None:
    settings = source.settings(node_id="one")
    async with reading(source.dsn, settings):
        other = Feed(source.dsn, source.settings(node_id="two", slot_name=settings.slot_name))
        async with other:
            with pytest.raises(FeedError, match="belongs to node one"):
                await anext(other)
        assert other.state.status == "stopped"
        assert slots(source) == [settings.slot_name]


async def test_a_node_waits_for_a_slot_in_use_and_names_the_user(source: FeedSource) -> None:
    settings = source.settings(ephemeral=False)
    async with Feed(source.dsn, settings) as first:
        await first.streaming()
        second = Feed(source.dsn, settings)
        async with second:
            await until(lambda: "in use by process" in (second.state.reason or ""))
            assert second.state.status == "starting"
            await first.__aexit__(None, None, None)
            async with asyncio.timeout(GIVE_UP_AFTER):
                await second.streaming()


async def test_slots_are_listed_with_their_owner_and_lag(source: FeedSource) -> None:
    make_dead_node(source, "idle_slot")
    with source.connect() as sql:
        sql.execute("update realtime.nodes set lease_expires_at = now() + interval '1 h', host = 'elsewhere'")
    settings = source.settings()
    async with reading(source.dsn, settings), await psycopg.AsyncConnection.connect(source.dsn) as connection:
        found = {slot.name: slot for slot in await list_slots(connection)}
        mine, idle = found[settings.slot_name], found["idle_slot"]
        assert (mine.active, mine.plugin, mine.node) == (True, source.decoder, settings.slot_name)
        assert mine.lag_seconds is not None
        assert (idle.active, idle.node, idle.host) == (False, "node idle_slot", "elsewhere")
        assert idle.lag_bytes is not None
        assert idle.lag_bytes > 0
        assert idle.retained_bytes is not None
        assert idle.retained_bytes >= idle.lag_bytes
        assert idle.wal_status == "reserved"


async def test_dropping_a_slot_refuses_one_in_use(source: FeedSource) -> None:
    settings = source.settings()
    with source.connect() as sql:
        sql.execute("select pg_create_logical_replication_slot('idle_slot', %s)", [source.decoder])
    connecting = psycopg.AsyncConnection.connect(source.dsn, autocommit=True)
    async with reading(source.dsn, settings), await connecting as connection:
        with pytest.raises(SlotBusyError, match=f"slot {settings.slot_name} is in use by process"):
            await drop_slot(connection, settings.slot_name)
        with pytest.raises(FeedError, match="there is no replication slot 'nothing'"):
            await drop_slot(connection, "nothing")
        await drop_slot(connection, "idle_slot")
        assert slots(source) == [settings.slot_name]


def slot_positions(sql: psycopg.Connection[Any], name: str) -> tuple[int, int, int]:
    """Confirmed, restart and the server's own position."""
    row = sql.execute(
        "select (confirmed_flush_lsn - '0/0')::bigint, (restart_lsn - '0/0')::bigint, "
        "(pg_current_wal_lsn() - '0/0')::bigint from pg_replication_slots where slot_name = %s",
        [name],
    ).fetchone()
    assert row is not None
    return row  # type: ignore[no-any-return]


async def test_the_slot_advances_while_only_other_tables_are_busy(source: FeedSource) -> None:
    settings = source.settings(heartbeat_interval=0.1, heartbeat_bytes=1)
    with source.connect() as sql:
        sql.execute("create table other (s text)")
        async with reading(source.dsn, settings) as reader:
            consumer = asyncio.create_task(consume(reader))
            start = slot_positions(sql, settings.slot_name)

            def advanced() -> bool:
                sql.execute("insert into other select repeat('x', 100) from generate_series(1, 1000)")
                sql.execute("checkpoint")  # it logs the running transactions, without which restart_lsn stays
                confirmed, restart, _ = slot_positions(sql, settings.slot_name)
                return confirmed > start[2] and restart > start[2]

            await until(advanced)
            consumer.cancel()


async def test_an_idle_database_gets_no_heartbeats(source: FeedSource) -> None:
    settings = source.settings(heartbeat_interval=0.02)
    with source.connect() as sql:
        async with reading(source.dsn, settings) as reader:
            calls = 0
            ask = reader.feed._database.rows

            async def counted(name: str, **parameters: object) -> Any:
                nonlocal calls
                assert name != "feed_heartbeat"
                calls += name == "feed_position"
                return await ask(name, **parameters)

            reader.feed._database.rows = counted  # type: ignore[method-assign]
            sql.execute("select 1")
            await until(lambda: calls > 20)


async def consume(reader: Any) -> None:
    """Confirm everything that comes."""
    while True:
        await reader.event()
