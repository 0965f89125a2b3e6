"""Other sessions lock the tables of the schema ``realtime``: the lock is named, what needs the table is answered soon."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import psycopg
import pytest
from structlog.typing import EventDict

from engine.channels.core.messages.model import UnavailableError
from engine.channels.db.table_locks import TableLocks
from engine.postgres.statements.named_queries import query
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber, channel_node
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run, until

HOLDER = "maintenance by hand"


@contextmanager
def locked(dsn: str, tables: str, mode: str = "access exclusive") -> Iterator[int]:
    """A session, by its process, that holds a lock on ``tables``."""
    with psycopg.connect(dsn, application_name=HOLDER) as connection:
        connection.execute(f"lock table {tables} in {mode} mode".encode())
        yield connection.info.backend_pid
        connection.rollback()


def named(here: ChannelNode, table: str, pid: int) -> bool:
    return any(
        f"realtime.{table} is locked by process {pid} ({HOLDER}, idle in transaction" in problem
        for problem in here.channels.problems
    )


async def refused(work: Coroutine[Any, Any, object]) -> str:
    """The words with which ``work`` is refused for now."""
    with pytest.raises(UnavailableError) as rejection:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await work
    return str(rejection.value)


LOCKED = "a table it needs is locked by another session; try again"


async def test_a_lock_on_any_table_of_the_schema_is_named(database: str) -> None:
    [row] = read(database, query("missing_tables").replace("where not exists", "where exists"))
    tables = [f"realtime.{name}" for name in row[0]]
    assert len(tables) > 15
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        locks = TableLocks(lambda: nullcontext(connection))
        for table in tables:
            with locked(database, table, "share") as pid:
                assert await locks.look([table])
            assert f"{table} is locked by process {pid}" in str(locks.problem)
        assert not await locks.look(tables)
        assert locks.problem is None


async def test_a_lock_is_named_when_it_is_seen_twice_in_one_transaction(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        locks = TableLocks(lambda: nullcontext(connection))
        with psycopg.connect(database) as other:
            for _ in range(2):  # as the server's own work does it, every now and then
                other.execute("lock table realtime.messages in access exclusive mode")
                await locks.look()
                other.rollback()
                assert locks.problem is None
            other.execute("lock table realtime.messages in access exclusive mode")
            await locks.look()
            await locks.look()
            assert "realtime.messages is locked by process" in str(locks.problem)


@pytest.mark.long
async def test_requests_for_a_locked_table_are_refused_and_succeed_after_the_lock(database: str) -> None:
    run(database, "insert into realtime.channels (name, capacity) values ('limited', 100)")
    async with channel_node(database) as here:
        ann = await here.listen("chat:1", user="ann", presence={})
        first = await here.publish("chat:1", "first")
        calls: dict[str, list[Coroutine[Any, Any, object]]] = {
            "connections": [here.listen("chat:2") for _ in range(300)],
            "presence": [
                here.listen("chat:1", user="bob", presence={}),
                here.listen("limited", user="dora"),
                here.channels.set_presence("chat:1", ann.member, {"mood": "good"}),
            ],
            "channels": [here.listen("limited", user="cecily")],
            "commits": [here.listen("chat:1", since=first.position), here.listen("chat:1", history=5)],
        }
        for table, waiting in calls.items():
            await stand(here, database, table, waiting)
        await ann.until(lambda: ann.data == ["first", *calls])


async def stand(here: ChannelNode, dsn: str, table: str, waiting: list[Coroutine[Any, Any, object]]) -> None:
    """Lock ``table``: all that is ``waiting`` for it is refused, messages and the rest go on."""
    leaving = await here.member("zoe")
    with locked(dsn, f"realtime.{table}") as pid:
        assert await asyncio.gather(*map(refused, waiting)) == [LOCKED] * len(waiting)
        await until(partial(named, here, table, pid))
        await here.publish("chat:1", table)
        await here.channels.disconnect(leaving.member.connection_id, clean=True)
    await until(lambda: not here.channels.problems)
    await until(lambda: not read(dsn, "select from realtime.connections where id = %s", leaving.member.connection_id))
    await eventually(here)


async def eventually(here: ChannelNode) -> ChannelSubscriber:
    """A subscription with presence, which is had within a moment after a lock is gone."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            try:
                return await here.listen("limited", user="eve", presence={}, history=1)
            except UnavailableError as error:
                assert str(error) == LOCKED  # noqa: PT017
                await asyncio.sleep(0.01)


@pytest.mark.long
async def test_a_lease_outlives_a_lock_that_is_held_for_longer(database: str, logs: list[EventDict]) -> None:
    lease = {"lease": 3.0}
    async with channel_node(database, feed=lease) as here, channel_node(database, feed=lease) as other:
        listeners = [await each.listen("chat:1", user="ann", presence={}) for each in (here, other)]
        rows = read(database, "select id, started_at from realtime.nodes order by id")
        assert len(rows) == 2
        with locked(database, "realtime.nodes") as pid:
            await until(partial(named, here, "nodes", pid))
            assert await refused(here.listen("chat:2")) == LOCKED
            await until(partial(lease_waits, logs, f"realtime.nodes is locked by process {pid}"))
            await here.publish("chat:1", 1)
            await until(partial(is_over, database, pid, 3.5))
        await until(lambda: expired(database) == 0)
        await other.publish("chat:1", 2)
        for listener in listeners:
            await listener.until(partial(has, listener, [1, 2]))
            assert not listener.of("error")
        await until(lambda: not here.channels.problems and not other.channels.problems)
        assert read(database, "select id, started_at from realtime.nodes order by id") == rows


def lease_waits(logs: list[EventDict], error: str) -> bool:
    waits = [entry for entry in logs if entry["event"] == "lease_waits_for_lock"]
    return any(error in entry["error"] and entry["log_level"] == "warning" for entry in waits)


def has(listener: ChannelSubscriber, data: list[Any]) -> bool:
    return listener.data == data


def expired(dsn: str) -> int:
    [(count,)] = read(dsn, "select count(*) from realtime.nodes where lease_expires_at < clock_timestamp()")
    return int(count)


def is_over(dsn: str, pid: int, seconds: float) -> bool:
    """Whether the transaction of process ``pid`` is that old."""
    age = "select clock_timestamp() - xact_start > make_interval(secs => %s) from pg_stat_activity where pid = %s"
    return bool(read(dsn, age, seconds, pid)[0][0])


async def test_a_stream_that_has_to_look_up_a_table_waits_for_the_lock_and_names_it(database15: str) -> None:
    """wal2json names tables only; what they are is in the catalog and in ``realtime.collections``."""
    run(database15, "create table t (id int primary key)")
    run(database15, "select realtime.expose('t')")
    async with channel_node(database15, decoder="wal2json") as here:
        walsender = here.feed.walsender
        with locked(database15, "realtime.collections") as pid:
            run(database15, "insert into t values (1)")
            reason = f"the stream waits for a lock: realtime.collections is locked by process {pid}"
            await until(lambda: reason in str(here.feed.state.reason))
        await until(lambda: here.feed.state.reason is None)
        await here.caught_up()
        assert (here.feed.state.status, here.feed.walsender) == ("streaming", walsender)


async def test_a_start_tries_again_while_a_table_is_locked(database: str, logs: list[EventDict]) -> None:
    def given_up() -> bool:
        return any(entry["event"] == "not_done_yet" for entry in logs)

    with locked(database, "realtime.connections", "exclusive"):  # no lock with a transaction id: slots wait for those
        starting = asyncio.create_task(start_and_publish(database))
        await until(lambda: starting.done() or given_up())
        assert not starting.done()
    async with asyncio.timeout(GIVE_UP_AFTER):
        await starting


async def start_and_publish(dsn: str) -> None:
    async with channel_node(dsn) as here:
        listener = await here.listen("chat:1")
        await here.publish("chat:1", 1)
        await listener.until(lambda: listener.data == [1])
