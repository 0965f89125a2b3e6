"""A crash takes back commits that did not wait for the disk, and PostgreSQL gives their transaction ids to others.

Queries have shown such commits; afterwards every list is what the database has.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.postgres.connections.session_settings import connection_options
from engine.postgres.statements.named_queries import query
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, postgres_18, started
from tests.support.nodes.live_node import Follower, LiveNode, json_rows, live_node, terminate
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each, until

# Nothing is written to the disk but by who waits for it: what the others committed is lost for certain.
LAZY = {"synchronous_commit": "off", "wal_writer_delay": "10s", "checkpoint_timeout": "1h", "wal_buffers": "16MB"}
EVERYTHING = Query("t", {"where": [["id", ">", 0]]}, json_rows("select * from t where id > 0 order by id"))
TOP = Query("t", {"orderBy": [["id", "desc"]], "limit": 5}, json_rows("select * from t order by id desc limit 5"))
COUNT = Query("t", {"sql": "select count(*) as n from t"}, json_rows("select count(*) as n from t"))
QUERIES = (EVERYTHING, TOP, COUNT)


@pytest.fixture(scope="module")
def lazy(scratch: Path) -> Iterator[LocalPostgres]:
    """A server that writes nothing to its disk before it must."""
    with started(postgres_18(scratch / "lazy18", LAZY)) as server:
        yield server


def durably(dsn: str, *statements: str) -> None:
    """Each statement in a transaction that is on the disk before this returns, with all that came before."""
    with psycopg.connect(dsn, autocommit=True, options=connection_options(synchronous_commit="on")) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def crash(play: LiveNode, server: LocalPostgres, way: str = "all of the server") -> None:
    """Returns when the feed has noticed and the server is there again."""
    if way == "one backend":  # the postmaster lives, ends all others and recovers
        with psycopg.connect(play.dsn) as victim, psycopg.connect(play.dsn) as other:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            await until(lambda: has_ended(other))  # until then the server lets others in, and ends them
    else:
        await asyncio.to_thread(server.stop, "immediate")
        await until(lambda: play.feed.state.status == "reconnecting")
        await asyncio.to_thread(server.start)
    await until(lambda: accepts(play.dsn))


def has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has ended the session."""
    try:
        connection.execute("select 1")
    except psycopg.OperationalError:
        return True
    return False


def accepts(dsn: str) -> bool:
    """Whether the server lets anybody in who has no privilege and can see which processes it has."""
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("set role pg_database_owner")
            return bool(connection.execute(query("feed_processes").encode()).fetchone()[1])  # type: ignore[index]
    except psycopg.OperationalError:
        return False


@pytest.mark.parametrize("way", ["all of the server", "one backend"])
async def test_lists_neither_keep_lost_rows_nor_lack_those_that_got_their_ids(lazy: LocalPostgres, way: str) -> None:
    for _ in range(5):  # on a busy machine the WAL writer may come first; then nothing is lost
        if await lost_rows_are_in_no_list(lazy, way):
            return
    pytest.fail("five crashes took nothing back")


async def lost_rows_are_in_no_list(lazy: LocalPostgres, way: str) -> bool:
    """False: the crash has taken nothing back."""
    with database_on(lazy, "create table t (id int primary key, x text)", "select realtime.expose('t')") as dsn:
        async with live_node(dsn) as play:
            durably(dsn, "insert into t values (-1, 'kept')")
            await play.caught_up()
            run_each(dsn, *[f"insert into t values ({100 + n}, 'lost')" for n in range(60)])
            followers: list[Follower] = [await play.follow(each) for each in QUERIES]
            assert len(followers[0].list) == 60, "what no disk has yet is shown"
            await crash(play, lazy, way)
            if read(dsn, "select 1 from t where x = 'lost'"):
                return False
            durably(dsn, *[f"insert into t values ({n}, 'new')" for n in range(1, 11)])
            newcomers = [await play.follow(each) for each in QUERIES]
            await play.check(*followers, *newcomers)
            assert len(followers[0].list) == 10
            assert {follower.resets for follower in followers} == {1}
    return True


async def test_a_definition_that_was_lost_is_not_believed(lazy: LocalPostgres) -> None:
    with database_on(lazy, "create table t (id int primary key, x text)", "select realtime.expose('t')") as dsn:
        async with live_node(dsn) as play:
            durably(dsn, "insert into t values (1, '1')")
            await play.caught_up()
            run_each(dsn, "alter table t rename column x to z")
            follower = await play.follow(EVERYTHING)
            assert follower.list == [("1", b'{"id":1,"z":"1"}')]
            await crash(play, lazy)
            durably(dsn, "insert into t values (2, 'new')")
            await play.check(follower)


async def test_connections_that_break_while_the_server_lives_cost_no_second_read(lazy: LocalPostgres) -> None:
    with database_on(lazy, "create table t (id int primary key, x text)", "select realtime.expose('t')") as dsn:
        async with live_node(dsn) as play:
            run_each(dsn, "insert into t values (1, 'not on the disk')")
            follower = await play.follow(EVERYTHING)
            reads = play.live.status()["reads"]
            await until(lambda: terminate(dsn, "realtime%") > 2)
            durably(dsn, "insert into t values (2, 'new')")
            await follower.until(lambda: len(follower.list) == 2)
            await play.check(follower)
            assert play.live.status()["reads"] == reads
