"""A database that takes no messages for a while: what needs no row goes on, and what waits is answered in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from engine.channels.core.messages.model import UnavailableError
from engine.identity.principal import Principal
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run, until


@contextmanager
def holding(dsn: str, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """A session that has run ``statement`` in a transaction that stays open."""
    with psycopg.connect(dsn, application_name="maintenance by hand") as connection:
        connection.execute(statement.encode())
        yield connection
        connection.rollback()


@pytest.mark.parametrize("mode", ["access exclusive", "share"])
async def test_a_lock_on_messages_is_reported_and_holds_up_stored_messages_only(database: str, mode: str) -> None:
    run(database, "insert into realtime.channel_defaults (pattern, history) values ('cur:*', false)")
    async with channel_node(database) as here:
        stored, passing = await here.listen("chat:1"), await here.listen("cur:1")
        await here.publish("chat:1", "before")
        with holding(database, f"lock table realtime.messages in {mode} mode") as blocker:
            pid = blocker.info.backend_pid
            waiting = [asyncio.create_task(here.publish("chat:1", number)) for number in range(3)]
            await until(lambda: here.channels.problems)
            [problem] = here.channels.problems
            assert f"realtime.messages is locked by process {pid} (maintenance by hand, idle in transaction" in problem
            for number in range(3):
                waiting.append(asyncio.create_task(here.publish("chat:1", 3 + number)))
                await here.publish("cur:1", number)
            await passing.until(lambda: passing.data == [0, 1, 2])
            await here.listen("chat:2", presence={}, user="ann")
            assert not any(task.done() for task in waiting)
            blocker.rollback()
        async with asyncio.timeout(GIVE_UP_AFTER):
            await asyncio.gather(*waiting)
        await until(lambda: here.channels.problems == [])
        await stored.until(lambda: stored.data == ["before", 0, 1, 2, 3, 4, 5])


async def test_a_message_that_cannot_be_stored_in_time_is_refused_and_not_stored_later(database: str) -> None:
    async with channel_node(database, publish_timeout=2.0) as here:
        with holding(database, "lock table realtime.messages in access exclusive mode"):
            with pytest.raises(UnavailableError) as refused:
                await here.publish("chat:1", "late")
            assert refused.value.code == "RT_001"
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:  # the connection may not be back in time
                with suppress(UnavailableError):
                    await here.publish("chat:1", "later")
                    break
        assert set(read(database, "select payload from realtime.messages")) == {("later",)}
        assert here.channels.status()["publishing"] == 0


async def test_a_read_only_database_refuses_messages_for_the_moment_and_goes_on_with_the_rest(database: str) -> None:
    name = database.rsplit("/", 1)[1]
    run(database, "create table t (id int primary key)")
    run(database, "select realtime.expose('t')")
    async with channel_node(database, feed={"lease": 3.0}) as here:
        listener = await here.listen("chat:1")
        set_read_only(database, name, "on")
        lease = "select lease_expires_at from realtime.nodes"
        [(before,)] = read(database, lease)
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:  # a connection that was there before it was read-only stores it
                try:
                    await here.publish("chat:1", "during")
                except UnavailableError as refused:
                    assert (refused.code, "read-only" in str(refused)) == ("RT_001", True)  # noqa: PT017
                    break
        await here.live.subscribe(Principal(), "t", {"sql": "select count(*) from t"}, lambda *_: None)
        await until(lambda: read(database, lease)[0][0] > before)
        set_read_only(database, name, "off")
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:
                try:
                    await here.publish("chat:1", "after")
                    break
                except UnavailableError:
                    set_read_only(database, name, "off")
        await listener.until(lambda: "after" in listener.data)


async def test_a_node_starts_in_a_read_only_database_and_publishes_once_that_is_over(database: str) -> None:
    name = database.rsplit("/", 1)[1]
    run(database, "create table t (id int primary key)")
    run(database, "select realtime.expose('t'), realtime.create_channel('passing', history => false)")
    run(database, "select realtime.broadcast('chat:1', 'sent', '1')")  # its commit is recorded by the node
    set_read_only(database, name, "on")
    async with channel_node(database) as here:
        await here.live.subscribe(Principal(), "t", {"sql": "select count(*) from t"}, lambda *_: None)
        await until(lambda: here.channels.problems)
        assert "default_transaction_read_only" in here.channels.problems[0]
        with pytest.raises(UnavailableError, match="read-only"):
            await here.publish("chat:1", "during")
        with pytest.raises(UnavailableError, match="read-only"):
            await here.member()
        with psycopg.connect(database, autocommit=True, options="-c default_transaction_read_only=off") as connection:
            connection.execute(f"alter database {name} reset default_transaction_read_only".encode())
        await until(lambda: not here.channels.problems)
        listener = await here.listen("chat:1", history=10)
        await here.publish("chat:1", "after")
        await listener.until(lambda: listener.data == [1, "after"])


def set_read_only(dsn: str, name: str, value: str) -> None:
    """As a DBA does for maintenance: for new sessions, and the old ones are ended."""
    with psycopg.connect(dsn, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        connection.execute(f"alter database {name} set default_transaction_read_only = {value}".encode())
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
            "and (application_name like 'realtime publisher%' or application_name like 'realtime channels%')"
        )
