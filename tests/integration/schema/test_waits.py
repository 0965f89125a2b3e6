"""What migrate and expose wait for, and for how long: locks of several tables, another migrate, a server gone silent."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from engine.postgres.statements.named_queries import query
from server.cli.locks.lock_waits import LockTimeoutError, retry_on_locks
from server.cli.migration import migrate as migrating
from server.cli.migration.migrate import migrate
from tests.faultproxy.proxy import FaultProxy
from tests.support.postgres.sql import run_sql
from tests.support.servers.preloaded import fork
from tests.support.servers.processes import GIVE_UP_AFTER

PARTS = 6
PARTITIONED = "create table parts (id int primary key) partition by range (id);" + ";".join(
    f"create table parts_{n} partition of parts for values from ({n}) to ({n + 1})" for n in range(PARTS)
)


def test_the_lock_waits_of_one_expose_are_together_no_longer_than_the_limit(database: str) -> None:
    """Each partition becomes free as soon as its writer is named, and the next one is still written to."""
    run_sql(database, PARTITIONED)
    writers: dict[int, Any] = {}
    reported: list[str] = []

    def free_the_one_that_is_waited_for(text: str) -> None:
        reported.append(text)
        for pid in [pid for pid in writers if f"waiting for process {pid} " in text]:
            writers.pop(pid).close()

    for number in range(PARTS):
        writer = psycopg.connect(database)
        writers[writer.info.backend_pid] = writer
        writer.execute(f"insert into parts_{number} values ({number})".encode())

    def expose(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        connection.execute("select realtime.expose('public.parts')")

    retry_on_locks(database, "test", expose, lock_timeout=1.2, report=free_the_one_that_is_waited_for)
    assert any("the locks were not free within 1.2 s; attempt 1 of 10" in line for line in reported), reported
    assert writers == {}


def test_a_migrate_beside_one_that_does_not_end_gives_up_and_names_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "OTHERS_TIMEOUT", 2.5)
    reported: list[str] = []
    with psycopg.connect(database, application_name="realtime migrate elsewhere") as other:
        other.execute(query("migration_lock").encode())
        with pytest.raises(
            LockTimeoutError, match="another `realtime migrate` of this database has not ended"
        ) as refused:
            migrate(database, lock_timeout=0.2, report=reported.append)
        holder = f"process {other.info.backend_pid} (postgres, realtime migrate elsewhere, idle in transaction"
        assert holder in str(refused.value)
        assert f"pg_terminate_backend({other.info.backend_pid})" in str(refused.value)
        assert any(holder in line for line in reported)
    assert migrate(database) == []


@pytest.mark.long
@pytest.mark.parametrize("answers", [1, 4])
async def test_every_command_ends_with_a_word_when_the_server_goes_silent_after_the_login(
    database: str, answers: int
) -> None:
    """``answers``: how many messages of the server still arrive; the login is the first of them."""
    run_sql(database, "create table t (id int primary key)")
    words = (
        "serve --port 0",
        "serve --migrate --port 0",
        "doctor",
        "migrate",
        "expose t",
        "unexpose t",
        "grant postgres",
    )
    commands = [*words, "slots", "slots drop s"]
    place = conninfo_to_dict(database)
    async with FaultProxy(str(place["host"]), int(str(place["port"]))) as proxy:
        proxy.answers = answers
        dsn = f"{database.replace(str(place['port']), str(proxy.port))}?connect_timeout=2"
        running = [await fork([*command.split(), "--dsn", dsn], os.environ) for command in commands]
        async with asyncio.timeout(2 * GIVE_UP_AFTER):
            output = await asyncio.gather(*(process.stderr.read() for process in running))
            codes = await asyncio.gather(*(process.wait() for process in running))
    for command, code, reported in zip(commands, codes, output, strict=True):
        assert code == 3, (command, reported)
        assert b"did not answer" in reported, command
        assert b"Traceback" not in reported, command


async def test_a_migrate_whose_connection_alone_goes_silent_ends_with_a_word(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New connections work; the server has long answered, and its answer went nowhere."""
    place = conninfo_to_dict(database)
    async with FaultProxy(str(place["host"]), int(str(place["port"]))) as proxy:
        dsn = f"{database.replace(str(place['port']), str(proxy.port))}?connect_timeout=1"
        silent = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work(connection: psycopg.Connection[tuple[object, ...]]) -> None:
            connection.execute("select 1")
            asyncio.run_coroutine_threadsafe(fall_silent(), loop).result()
            connection.execute("select 2")

        async def fall_silent() -> None:
            proxy.half_open()
            silent.set()

        with pytest.raises(psycopg.OperationalError, match=r"answer of the database did not arrive within 3 s"):
            async with asyncio.timeout(GIVE_UP_AFTER):
                await asyncio.to_thread(retry_on_locks, dsn, "test", work)
        assert silent.is_set()


def test_a_statement_that_the_server_works_on_is_waited_for(database: str) -> None:
    dsn = f"{database}?connect_timeout=1"

    def work(connection: psycopg.Connection[tuple[object, ...]]) -> str:
        connection.execute("select pg_sleep(4)")
        return "done"

    assert retry_on_locks(dsn, "test", work, lock_timeout=0.5) == "done"
