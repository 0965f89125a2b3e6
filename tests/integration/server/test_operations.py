"""What an operator does to the database of a running server, and what the server reports about it."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from websockets.asyncio.client import connect

from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import MigrationError, check_served, migrate
from tests.integration.channels.faults.test_blocked import holding, set_read_only
from tests.support.clients.list_client import list_client, slot_name
from tests.support.ports import free_port
from tests.support.postgres.sql import read, run_each, until
from tests.support.servers.processes import GIVE_UP_AFTER, ROOT, ServerProcess, serving, start


async def problem(server: ServerProcess) -> str:
    """Wait until ``/health`` names one problem."""
    return str((await degraded(server))["problems"][0])


async def degraded(server: ServerProcess) -> dict[str, Any]:
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            code, body = await server.health()
            if code == 503 and body["status"] == "degraded" and body["problems"]:
                return body
            await asyncio.sleep(0.05)


def fields(answer: dict[str, Any]) -> dict[str, Any]:
    """The names in an answer of ``/health``, without the values."""
    return {name: fields(value) if isinstance(value, dict) else None for name, value in answer.items()}


def documented_health() -> dict[str, Any]:
    page = (ROOT / "docs" / "getting-started.md").read_text()
    example: dict[str, Any] = json.loads(page.split("## Health")[1].split("```json")[1].split("```")[0])
    return example


async def test_changes_by_an_operator_are_shown_in_health_and_log(table: str) -> None:
    async with serving(table, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        found, documented = await server.healthy(), documented_health()
        assert found.pop("configuration").keys() >= documented.pop("configuration").keys()
        assert fields(found) == fields(documented)
        with holding(table, "lock table realtime.messages in access exclusive mode") as blocker:
            assert f"locked by process {blocker.info.backend_pid} (maintenance by hand" in await publish_and_wait(
                server
            )
        await server.healthy()
        assert any("table_locked" in line and "maintenance by hand" in line for line in server.lines), server.lines

        set_read_only(table, table.rsplit("/", 1)[1], "on")
        assert "default_transaction_read_only is on for database t_" in await problem(server)
        second = await start("serve", "--dsn", table, port=free_port(), config={"slot_name": slot_name()})
        await second.healthy(503)  # it starts all the same
        assert "(messages and presence are refused, live queries go on): BEGIN READ WRITE; ALTER" in await problem(
            second
        )
        await second.end()
        async with connect(server.websocket) as client:
            id = json.loads(await client.recv())["connectionId"]
            await until(lambda: any("read-only" in line for line in server.lines))
            assert read(table, f"select from realtime.connections where id = '{id}'") == []
            set_read_only(table, table.rsplit("/", 1)[1], "off")
            await until(lambda: read(table, f"select from realtime.connections where id = '{id}'"))
        await server.healthy()
        assert not any("Traceback" in line for line in server.lines)

        run_each(table, "drop table realtime.nodes cascade")
        reported = await problem(server)
        assert "table realtime.nodes is missing" in reported
        assert "realtime migrate" in reported
        assert any("schema_incomplete" in line for line in server.lines)
    with pytest.raises(MigrationError, match=r"realtime\.nodes is missing: stop the server and restore"):
        check_served(table)
    with pytest.raises(MigrationError, match=r"realtime\.nodes is missing"):
        migrate(table)


async def publish_and_wait(server: ServerProcess) -> str:
    """Publish something that cannot be stored; returns what ``/health`` reports of it."""
    client = await list_client(server)
    await client.client.send('{"type": "message", "channel": "chat:1", "event": "e", "data": 1}')
    reported = await problem(server)
    await client.client.close()
    return reported


def test_every_table_of_the_schema_is_looked_for(database: str) -> None:
    rows = read(
        database,
        "select c.oid::regclass::text from pg_class c where relnamespace = 'realtime'::regnamespace "
        "and relkind in ('r', 'p') and (not relispartition or relname = 'messages_default')",
    )
    for (name,) in rows:
        with psycopg.connect(database) as connection:
            connection.execute(f"drop table {name} cascade".encode())
            if name != "realtime.migrations":
                from engine.postgres.statements.named_queries import query

                assert connection.execute(query("missing_tables")).fetchone()[0] != [], name  # type: ignore[index]
            connection.rollback()


@contextmanager
def silent() -> Iterator[str]:
    """The DSN of a host that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://postgres@127.0.0.1:{server.getsockname()[1]}/app?connect_timeout=3"


@pytest.mark.long
def test_every_command_gives_up_on_a_database_that_stays_silent_with_a_message() -> None:
    words = ("serve --port 0", "doctor", "migrate", "expose t", "unexpose t", "slots", "slots drop s")
    commands = [command.split() for command in words]
    with silent() as dsn, ExitStack() as stack:
        running = []
        for command in commands:
            given = [sys.executable, "-m", "server", *command, "--dsn", dsn]
            process = subprocess.Popen(given, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            running.append(stack.enter_context(process))
            stack.callback(process.kill)  # it may not have ended where the test fails
        for command, process in zip(commands, running, strict=True):
            _, reported = process.communicate(timeout=3 * GIVE_UP_AFTER)  # half a minute of it is what it waits for
            assert process.returncode == 3, (command, reported)
            assert "waiting_for_database" in reported, command
            assert "127.0.0.1 port" in reported, command
            assert "did not answer within 3 s (connect_timeout)" in reported, command


@pytest.mark.long
def test_psql_gives_up_on_a_database_that_stays_silent(pg18: LocalPostgres) -> None:
    with silent() as dsn:  # without a limit in the address: ours is used, as that of the environment would be
        done = subprocess.run(
            [sys.executable, "-m", "server", "psql", "--dsn", dsn.partition("?")[0]],
            cwd=ROOT,
            text=True,
            capture_output=True,
            timeout=2 * GIVE_UP_AFTER,
            check=False,
        )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("realtime: psql connects to 127.0.0.1 port ")
    assert "it gives up after 10 s (connect_timeout)" in done.stderr
    assert "timeout expired" in done.stderr
