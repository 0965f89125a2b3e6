"""What docs/operations.md has a DBA do, on Debian's PostgreSQL 15 with a standby, by a role that is no superuser."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import postgres_15, started
from tests.integration.dba.catalogs import differences, run, snapshot
from tests.integration.dba.scripts import psql
from tests.integration.dba.standby import either_of, streaming_standby
from tests.support.clients.users import UserClient, user_client
from tests.support.ports import free_port
from tests.support.postgres.sql import until
from tests.support.servers.commands import realtime
from tests.support.servers.processes import serving

SETUP = """
create role app_owner; create role watcher login in role pg_monitor;
set role app_owner;
create table public.items (id int primary key, title text);
insert into public.items values (1, 'first');
"""
VIEWS = ("stat_nodes", "stat_slots", "stat_channels", "stat_queries", "alerts", "alert_rules")


async def command(dsn: str, *arguments: str, code: int = 0) -> str:
    """The output of ``realtime ARGUMENTS``."""
    done = await asyncio.to_thread(realtime, *arguments, "--dsn", dsn)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout + done.stderr


async def watch(server: str, monitor: str, ada: UserClient) -> None:
    """Each view as a member of pg_monitor, and each command that asks the database."""
    # nodes write what has changed every two seconds
    await until(lambda: run(monitor, "select node from realtime.stat_queries where subscribers = 1"))
    rows = {view: len(run(monitor, f"select * from realtime.{view}")) for view in VIEWS}
    assert rows.pop("alert_rules") > 0
    assert rows == {"stat_nodes": 1, "stat_slots": 2, "stat_channels": 1, "stat_queries": 1, "alerts": 0}
    look = json.loads(await command(server, "top", "--json"))
    assert [node["state"] for node in look["nodes"]] == ["ok"]
    assert (await command(server, "slots")).count("reserved") == 2
    assert json.loads(await command(server, "doctor", "--json"))["ok"]
    assert [each["channel"] for each in json.loads(await command(server, "channels", "chat:*", "--json"))] == ["chat:1"]
    assert [each["id"] for each in json.loads(await command(server, "connections", "--json"))] == [ada.id]
    assert "ada is removed from chat:1" in await command(server, "kick", "chat:1", "ada")
    assert (await ada.receive("unsubscribed", "error"))["channel"] == "chat:1"


@pytest.mark.long
async def test_a_dba_installs_watches_fails_over_and_uninstalls_by_the_documentation(
    pg15: LocalPostgres, scratch: Path
) -> None:
    with (
        started(postgres_15(scratch / "trial")) as primary,
        streaming_standby(primary, make=postgres_15) as standby,
    ):
        run(primary.dsn, "create database app")
        dsn, promoted = primary.dsn_for("app"), standby.dsn_for("app")
        run(dsn, "grant create on schema public to public")
        run(dsn, SETUP)
        before = snapshot(dsn)
        as_server = either_of(dsn, primary, standby).replace("postgres@", "realtime_server@")
        assert psql(dsn, "plain.sql").returncode == 0
        for arguments in (("migrate",), ("expose", "items"), ("doctor",)):
            await command(as_server, *arguments)
        async with (
            serving(as_server, free_port(), trust_user_parameter="true") as server,
            user_client(server, "ada") as ada,
        ):
            await ada.join("db:collection:items", id="items", query={"orderBy": ["id"]})
            await ada.receive("snapshot")
            await ada.join("chat:1", presence={})
            await ada.ask(type="message", channel="chat:1", event="sent", data=1, id="m1")
            await watch(as_server, dsn.replace("postgres@", "watcher@"), ada)
            refused = await asyncio.to_thread(psql, dsn, "remove.sql")
            assert refused.returncode == 3
            assert "run `realtime uninstall` first" in refused.stderr
            assert "nodes run: " in await command(as_server, "uninstall", "--yes", code=1)

            await asyncio.to_thread(primary.stop, "fast")
            run(promoted, "select pg_promote(true, 60)")
            run(promoted, "update items set title = 'after the failover'")
            [change] = (await ada.receive("snapshot"))["changes"]
            assert change["doc"]["data"]["title"] == "after the failover"
            assert (await ada.join("chat:1", history=5))["type"] == "subscribed"
            assert (await ada.receive("message"))["data"] == 1
            assert "already up to date" in await command(as_server, "migrate")
        await command(as_server, "uninstall", "--yes")
        removed = await asyncio.to_thread(psql, promoted, "remove.sql")
        assert removed.returncode == 0, removed.stderr
        assert run(promoted, "select slot_name from pg_replication_slots") == []
        after = snapshot(promoted)
        del before["pg_replication_slots"]  # with that of the standby
        assert differences(before, after) == {}
