"""Transactions: their order, what is in them, logical messages, and what never comes."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time

from engine.lsn import parse_lsn
from engine.transaction import Message, Progress, Transaction
from server.cli.local_postgres import LocalPostgres
from tests.integration.feed.conftest import FeedSource, reading, row, value
from tests.support.postgres.sql import GIVE_UP_AFTER


async def test_a_transaction_carries_its_xid_positions_and_commit_time(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, source.settings()) as reader:
            before = value(sql, "select pg_current_wal_insert_lsn()")
            with sql.transaction():
                xid = value(sql, "select pg_current_xact_id()::text::bigint")
                sql.execute("insert into t values (1)")
            after = value(sql, "select pg_current_wal_insert_lsn()")
            transaction = await reader.transaction()
            assert transaction.xid == xid & 0xFFFFFFFF
            assert parse_lsn(before) < transaction.position < transaction.end <= parse_lsn(after)
            assert abs(transaction.commit_time / 1e6 - time.time()) < GIVE_UP_AFTER


async def test_both_decoders_give_the_same_positions(pg15: LocalPostgres, database15: str) -> None:
    source = FeedSource(pg15, database15, "wal2json")
    with source.connect() as sql:
        sql.execute("create table t (id int primary key, s text)")
        sql.execute("select realtime.expose('t')")
        async with (
            reading(source.dsn, source.settings()) as one,
            reading(source.dsn, source.settings(decoder="pgoutput")) as other,
        ):
            sql.execute("insert into t values (1, 'a')")
            sql.execute("update t set id = 2")
            sql.execute("select pg_logical_emit_message(false, 'realtime.test', 'loose')")
            with sql.transaction():
                sql.execute("delete from t")
                sql.execute("select pg_logical_emit_message(true, 'realtime.test', 'tied')")
            for _ in range(4):
                a, b = await one.transaction(), await other.transaction()
                assert (a.position, a.end, a.xid, a.commit_time) == (b.position, b.end, b.xid, b.commit_time)
                assert [c if isinstance(c, Message) else row(c) for c in a.changes] == [
                    c if isinstance(c, Message) else row(c) for c in b.changes
                ]


async def test_changes_can_be_iterated_again(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, source.settings(transaction_memory=2000)) as reader:
            sql.execute("insert into t select generate_series(1, 50000)")
            transaction = await reader.transaction()
            expected = [(str(i).encode(),) for i in range(1, 50001)]
            first = iter(transaction.changes)
            assert next(first).new() == (b"1",)  # type: ignore[union-attr]
            assert [c.new() for c in transaction.changes] == expected  # type: ignore[union-attr]
            assert [c.new() for c in first] == expected[1:]  # type: ignore[union-attr]


async def test_rolled_back_work_never_comes(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, source.settings()) as reader:
            with sql.transaction(force_rollback=True):
                sql.execute("insert into t values (1)")
                sql.execute("select pg_logical_emit_message(true, 'realtime.test', 'no')")
            with sql.transaction():
                sql.execute("insert into t values (2)")
                with sql.transaction(force_rollback=True):
                    sql.execute("insert into t values (3)")
                    with sql.transaction():
                        sql.execute("insert into t values (4)")
                with sql.transaction():
                    sql.execute("insert into t values (5)")
            transaction = await reader.transaction()
            assert [c.new() for c in transaction.changes] == [(b"2",), (b"5",)]  # type: ignore[union-attr]


async def test_transactions_come_in_commit_order(source: FeedSource) -> None:
    with source.connect() as sql, source.connect() as early, source.connect() as late:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, source.settings()) as reader:
            early.execute("begin")
            early.execute("insert into t values (1)")
            late.execute("insert into t values (2)")
            early.execute("commit")
            first, second = await reader.transaction(), await reader.transaction()
            assert [c.new() for c in first.changes] == [(b"2",)]  # type: ignore[union-attr]
            assert [c.new() for c in second.changes] == [(b"1",)]  # type: ignore[union-attr]
            assert first.position < second.position
            assert first.xid > second.xid


async def test_concurrent_writers_lose_and_reorder_nothing(source: FeedSource) -> None:
    writers, each = 4, 50
    with source.connect() as sql:
        sql.execute("create table counter (id int primary key, n int)")
        sql.execute("insert into counter values (1, 0)")
        sql.execute("select realtime.expose('counter')")

        def work() -> None:
            with source.connect() as connection:
                for _ in range(each):
                    connection.execute("update counter set n = n + 1")

        async with reading(source.dsn, source.settings()) as reader:
            threads = [threading.Thread(target=work) for _ in range(writers)]
            for thread in threads:
                thread.start()
            transactions = [await reader.transaction() for _ in range(writers * each)]
            for thread in threads:
                thread.join()
            values = [c.new()[1] for t in transactions for c in t.changes]  # type: ignore[union-attr,index]
            assert values == [str(n).encode() for n in range(1, writers * each + 1)]
            assert all(a.end <= b.position for a, b in itertools.pairwise(transactions))


async def test_logical_messages_come_in_their_transaction_or_on_their_own(source: FeedSource) -> None:
    text = json.dumps({"text": 'é "quoted" \\ \n\t\x01 / end'}, ensure_ascii=False)
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, source.settings()) as reader:
            with sql.transaction():
                sql.execute("insert into t values (1)")
                sql.execute("select pg_logical_emit_message(true, 'realtime.test', %s)", [text])
                sql.execute("insert into t values (2)")
            first, message, last = list((await reader.transaction()).changes)
            assert message == Message("realtime.test", text.encode(), True)
            assert (first.new(), last.new()) == ((b"1",), (b"2",))  # type: ignore[union-attr]
            sql.execute("select pg_logical_emit_message(false, 'realtime.test', %s)", [b"\xff\xfe not text"])
            transaction = await reader.transaction()
            assert transaction.xid == 0
            assert list(transaction.changes) == [Message("realtime.test", b"\xff\xfe not text", False)]
            assert transaction.position < transaction.end


async def test_other_peoples_messages_do_not_come(source: FeedSource) -> None:
    with source.connect() as sql:
        async with reading(source.dsn, source.settings()) as reader:
            sql.execute("select pg_logical_emit_message(true, 'prefix', 'x')")
            sql.execute("select pg_logical_emit_message(false, 'prefix', 'x')")
            sql.execute("select pg_logical_emit_message(true, 'realtime.test', 'x')")
            assert (await reader.messages())[0].prefix == "realtime.test"


async def test_transactions_without_anything_for_us_are_progress(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table hidden (id int primary key)")
        async with reading(source.dsn, source.settings()) as reader:
            sql.execute("insert into hidden values (1)")
            position = parse_lsn(value(sql, "select pg_current_wal_lsn()"))
            async with asyncio.timeout(GIVE_UP_AFTER):
                while True:
                    event = await reader.event()
                    assert isinstance(event, Progress)
                    if event.position >= position:
                        break


async def test_progress_is_never_ahead_of_a_transaction(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("create table hidden (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, source.settings()) as reader:
            done = 0
            seen = 0
            for i in range(300):
                sql.execute(f"insert into {'t' if i % 3 == 0 else 'hidden'} values ({i})".encode())
            while seen < 100:
                event = await reader.event()
                if isinstance(event, Transaction):
                    assert event.position >= done
                    seen += 1
                    done = event.end
                else:
                    assert isinstance(event, Progress)
                    assert event.position > done
                    done = event.position


async def test_a_prepared_transaction_comes_when_it_commits(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key)")
        sql.execute("select realtime.expose('t')")
        async with reading(source.dsn, source.settings()) as reader:
            name = f"p_{time.time_ns()}"
            sql.execute(f"begin; insert into t values (1); prepare transaction '{name}'".encode())
            sql.execute("insert into t values (2)")
            sql.execute(f"commit prepared '{name}'".encode())
            first, second = await reader.transaction(), await reader.transaction()
            assert [c.new() for c in first.changes] == [(b"2",)]  # type: ignore[union-attr]
            assert [c.new() for c in second.changes] == [(b"1",)]  # type: ignore[union-attr]


async def test_the_event_loop_is_not_held_while_a_large_transaction_arrives(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id int primary key, s text)")
        sql.execute("select realtime.expose('t')")
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with reading(source.dsn, source.settings(transaction_memory=1 << 20)) as reader:
            sql.execute("insert into t select i, 'some text' from generate_series(1, 100000) i")
            turning = asyncio.create_task(turn())
            transaction = await reader.transaction()
            turning.cancel()
            assert turns > 10
            assert sum(1 for _ in transaction.changes) == 100000
