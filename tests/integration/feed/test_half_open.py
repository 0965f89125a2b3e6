"""A connection whose other end is gone without a word: what was sent arrives nowhere, and no error reports it."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from engine.feed.replication_stream import ReplicationStream
from tests.faultproxy.proxy import FaultProxy
from tests.integration.feed.conftest import FeedSource, reading
from tests.support.postgres.sql import GIVE_UP_AFTER

QUICK = {"status_interval": 0.2, "silence": 5.0, "lease": 15.0}


async def test_a_half_open_connection_is_replaced_and_nothing_is_missed(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        address = conninfo_to_dict(source.dsn)
        async with FaultProxy(str(address["host"]), int(str(address["port"]))) as proxy:
            dsn = source.dsn.replace(f":{address['port']}/", f":{proxy.port}/")
            dsn += f"?options={quote('-c wal_sender_timeout=0')}"  # the server does not look by itself
            async with reading(dsn, source.settings(**QUICK)) as reader:
                sql.execute("insert into t values (1)")
                assert len(await reader.changes()) == 1
                proxy.half_open()
                sql.execute("insert into t values (2)")
                async with asyncio.timeout(GIVE_UP_AFTER):
                    [change] = await reader.changes()
                assert change.new() == (b"2",)


@pytest.mark.long
@pytest.mark.parametrize("source", ["pg18-pgoutput"], indirect=True)
@pytest.mark.parametrize("step", ["identify", "create_slot", "start"])
async def test_a_connection_that_dies_while_the_stream_is_opened_is_replaced(
    source: FeedSource, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = conninfo_to_dict(source.dsn)
    async with FaultProxy(str(address["host"]), int(str(address["port"]))) as proxy:
        dsn = source.dsn.replace(f":{address['port']}/", f":{proxy.port}/")
        dsn += "?sslmode=disable&gssencmode=disable"  # so that the first bytes name the application
        real = getattr(ReplicationStream, step)
        steps = 0

        async def dying(stream: ReplicationStream, *arguments: object, **more: object) -> object:
            nonlocal steps
            steps += 1
            if steps == 1:
                proxy.half_open(b"realtime node")
            return await real(stream, *arguments, **more)

        monkeypatch.setattr(ReplicationStream, step, dying)
        async with reading(dsn, source.settings()) as reader:
            assert reader.feed.state.status == "streaming"
        assert steps > 1


@pytest.mark.parametrize("source", ["pg18-pgoutput"], indirect=True)
async def test_a_stream_is_given_up_soon_when_the_connection_beside_it_was_found_dead(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        address = conninfo_to_dict(source.dsn)
        async with FaultProxy(str(address["host"]), int(str(address["port"]))) as proxy:
            dsn = source.dsn.replace(f":{address['port']}/", f":{proxy.port}/")
            async with reading(dsn, source.settings(silence=3600.0, lease=9.0)) as reader:
                proxy.half_open()
                sql.execute("insert into t values (1)")
                async with asyncio.timeout(GIVE_UP_AFTER):
                    [change] = await reader.changes()
                assert change.new() == (b"1",)


@pytest.mark.parametrize("source", ["pg18-pgoutput"], indirect=True)
async def test_a_doubted_stream_is_well_only_after_it_has_brought_something(source: FeedSource) -> None:
    address = conninfo_to_dict(source.dsn)
    async with FaultProxy(str(address["host"]), int(str(address["port"]))) as proxy:
        dsn = source.dsn.replace(f":{address['port']}/", f":{proxy.port}/")
        async with reading(dsn, source.settings(silence=3600.0)) as reader:
            await reader.feed.streaming()
            walsender = reader.feed.walsender
            proxy.half_open()
            reader.feed.doubt()
            assert reader.feed.state.reason is not None
            async with asyncio.timeout(GIVE_UP_AFTER):
                while reader.feed.state.reason is not None:  # noqa: ASYNC110 - a state is waited for
                    await asyncio.sleep(0.02)
            assert reader.feed.state.status == "streaming"
            assert reader.feed.walsender != walsender  # until another stream has brought something
            reader.feed.doubt()
            walsender = reader.feed.walsender
            async with asyncio.timeout(GIVE_UP_AFTER):
                while reader.feed.state.reason is not None:  # noqa: ASYNC110 - a state is waited for
                    await asyncio.sleep(0.02)
            assert (reader.feed.state.status, reader.feed.walsender) == ("streaming", walsender)


async def test_a_quiet_database_is_no_dead_connection(source: FeedSource) -> None:
    async with reading(source.dsn, source.settings(**QUICK)) as reader:
        walsender = reader.feed.walsender
        await asyncio.sleep(1.5 * QUICK["silence"])
        assert (reader.feed.state.status, reader.feed.walsender) == ("streaming", walsender)
