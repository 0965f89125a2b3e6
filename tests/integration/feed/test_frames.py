"""Transactions travel: a process that never connects to PostgreSQL decodes what another one received from it."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from engine.feed.decoders.frames import FramesDecoder, FramesError, WalFrames, frames_of, pack, unpack
from engine.feed.decoders.pgoutput_messages import read_relation, relation_message
from engine.feed.decoders.wal2json_frames import JsonFramesDecoder, json_frames_of
from engine.relay.topic import COMMON, topics_of
from engine.transaction import UNCHANGED, Kind, Message, Relation, Transaction
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.feed.conformance.test_types import OWN_TYPES, SAMPLES, known_types
from tests.integration.feed.conftest import FeedSource, Reader, reading
from tests.support.postgres.sql import GIVE_UP_AFTER
from tests.support.programs.frames_reader import MEMORY_LIMIT, described, read_block, write_block

ROWS = 5_000  # of the large transaction
PART = 32 << 10  # bytes of payload in a part
LAST = b"the end of the recording"

TABLES = """
create table plain (id int primary key, room text, n int);
create table toasted (id int primary key, big text, n int);
alter table toasted alter big set storage external;
create table whole (id int, big text, n int);
alter table whole alter big set storage external, replica identity full;
create table parts (id int, k int, s text, primary key (id, k)) partition by list (k);
create table parts_1 partition of parts for values in (1);
create table parts_2 partition of parts for values in (2);
select realtime.expose(t) from unnest('{plain,toasted,whole,parts}'::regclass[]) t;
"""

HISTORY = f"""
insert into plain values (1, 'a', null), (2, '', 5); update plain set id = 3 where id = 2; delete from plain where id = 1;
insert into toasted values (1, repeat('x', 10000), 1);
update toasted set n = 2;
begin; insert into whole values (1, repeat('y', 10000), 1); update whole set n = 2; delete from whole; commit;
begin; insert into parts values (1, 1, 'one'); update parts set k = 2; insert into plain values (4, 'b', 4); commit;
begin; insert into plain values (5, 'c', 5); alter table plain rename room to place; insert into plain values (6, 'd', 6);
  alter table plain add later text default 'l', drop n; update plain set later = 'm' where id = 6;
  savepoint s; insert into plain values (7, 'gone'); rollback to s; commit;
alter table plain add flag boolean default true;
analyze plain;
insert into plain values (8, 'e', 'n', false);
truncate plain, toasted;
begin; truncate parts_1; insert into parts values (2, 1, 'two'); commit;
begin; insert into parts select i, 1 + i % 2, repeat('z', 50) from generate_series(10, {ROWS}) i;
  alter table parts add extra int; update parts set extra = id where id < 20; commit;
select pg_logical_emit_message(true, 'realtime.test', convert_to('transactional é', 'utf8'));
select pg_logical_emit_message(false, 'realtime.test', '\\x00ff');
select pg_logical_emit_message(true, 'foreign', 'dropped');
"""


@dataclass(frozen=True)
class Recording:
    """What a feed gave, and the Relation messages that the server sent."""

    transactions: list[Transaction]
    relations: set[bytes]


def write_history(sql: psycopg.Connection[Any]) -> None:
    """Rows of every type, then what is written above, then the last message."""
    types = known_types(sql)
    columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(types))
    sql.execute(f"create table types (id serial primary key, {columns})".encode())
    sql.execute("select realtime.expose('types')")
    for number, type_ in enumerate(types):
        for sample in SAMPLES[type_]:
            sql.execute(f"insert into types (c{number}) values (%s::{type_})".encode(), [sample])
    for statement in HISTORY.split(";"):
        sql.execute(statement.encode())
    sql.execute("select pg_logical_emit_message(false, 'realtime.test', %s::bytea)", [LAST])


async def until_last(reader: Reader) -> list[Transaction]:
    """What comes before the last message, and it."""
    received = []
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            received.append(await reader.transaction())
            for change in received[-1].changes:
                if isinstance(change, Message) and change.content == LAST:
                    return received


@pytest.fixture(scope="module", params=["pg18", "pg15"])
async def recorded(request: pytest.FixtureRequest) -> Recording:
    """The history as a feed gives it, on each server."""
    server: LocalPostgres = request.getfixturevalue(request.param)
    sent: set[bytes] = set()

    def noting(payload: bytes) -> Relation:
        sent.add(payload)
        return read_relation(payload)

    with database_on(server, OWN_TYPES, TABLES) as dsn, pytest.MonkeyPatch.context() as patch:
        source = FeedSource(server, dsn, "pgoutput")
        patch.setattr("engine.feed.decoders.pgoutput.read_relation", noting)
        with source.connect() as sql:
            async with reading(source.dsn, source.settings(transaction_memory=MEMORY_LIMIT)) as reader:
                write_history(sql)
                transactions = await until_last(reader)
    return Recording(transactions, sent)


def in_another_process(frames: list[WalFrames]) -> list[bytes]:
    """What a second process makes of ``frames``, which go there through a pipe."""
    data = io.BytesIO()
    for part in frames:
        write_block(data, pack(part))
    command = [sys.executable, "-m", "tests.support.programs.frames_reader"]
    answer = io.BytesIO(
        subprocess.run(command, input=data.getvalue(), stdout=subprocess.PIPE, check=True, timeout=GIVE_UP_AFTER).stdout
    )
    blocks = iter(lambda: read_block(answer), None)
    return [block for block in blocks if block is not None]


def test_a_second_process_decodes_recorded_frames_to_the_same_events(recorded: Recording) -> None:
    rows = [change for t in recorded.transactions for change in t.changes if not isinstance(change, Message)]
    assert {change.kind for change in rows} == set(Kind)
    assert any(UNCHANGED in (change.new() or ()) for change in rows)
    frames = [part for transaction in recorded.transactions for part in frames_of(transaction, PART)]
    assert max(part.part for part in frames) > 1
    assert [unpack(pack(part)) for part in frames] == frames

    *events, driver = in_another_process(frames)
    assert events == [described(transaction) for transaction in recorded.transactions]
    assert driver == b"no driver"

    decoder = FramesDecoder(MEMORY_LIMIT)  # in this process too, where the objects themselves can be compared
    assert [done for part in frames if (done := decoder.feed(part)) is not None] == recorded.transactions


def test_each_transaction_is_decoded_from_its_own_frames_alone(recorded: Recording) -> None:
    for transaction in recorded.transactions:
        (frames,) = frames_of(transaction)
        assert (frames.position, frames.end, frames.xid) == (transaction.position, transaction.end, transaction.xid)
        assert FramesDecoder().feed(frames) == transaction


def test_relation_messages_in_frames_are_those_that_the_server_sent(recorded: Recording) -> None:
    assert {relation_message(read_relation(payload)) for payload in recorded.relations} == recorded.relations
    frames = [part for transaction in recorded.transactions for part in frames_of(transaction)]
    assert {relation for part in frames for relation in part.relations} <= recorded.relations


async def test_wal2json_is_decoded_in_a_second_place_with_what_the_catalog_answered_in_the_first(
    database15: str, pg15: LocalPostgres
) -> None:
    source = FeedSource(pg15, database15, "wal2json")
    with source.connect() as sql:
        for statements in (OWN_TYPES, TABLES):
            sql.execute(statements.encode())
        async with reading(source.dsn, source.settings(transaction_memory=MEMORY_LIMIT)) as reader:
            write_history(sql)
            transactions = await until_last(reader)
    rows = [change for t in transactions for change in t.changes if not isinstance(change, Message)]
    assert {change.kind for change in rows} == set(Kind)
    assert any(UNCHANGED in (change.new() or ()) for change in rows)
    for transaction in transactions:
        concerned = {COMMON if isinstance(each, Message) else each.relation.oid for each in transaction.changes}
        assert topics_of("wal2json", transaction).own == (concerned.pop() if len(concerned) == 1 else COMMON)
    frames = [unpack(pack(part)) for transaction in transactions for part in json_frames_of(transaction, PART)]
    assert max(part.part for part in frames) > 1
    decoder = JsonFramesDecoder(MEMORY_LIMIT)
    assert [done for part in frames if (done := decoder.feed(part)) is not None] == transactions
    with pytest.raises(FramesError, match="came, expected was part 0"):
        decoder.feed(next(part for part in frames if part.part))


async def test_frames_of_wal2json_are_refused(database15: str, pg15: LocalPostgres) -> None:
    source = FeedSource(pg15, database15, "wal2json")
    with source.connect() as sql:
        sql.execute("create table t (id int primary key); select realtime.expose('t')")
        async with reading(source.dsn, source.settings()) as reader:
            for statement in ("insert into t values (1)", "truncate t", "select realtime.unexpose('t')"):
                sql.execute(statement.encode())
                transaction = await reader.transaction()
                while not list(transaction.changes):
                    transaction = await reader.transaction()
                with pytest.raises(FramesError, match="set decoder to pgoutput"):
                    list(frames_of(transaction))
