"""deploy/postgres: a role that is no superuser installs, serves and uninstalls, with what plain.sql gives it."""

from __future__ import annotations

import asyncio
import re

import pytest

from server.cli.local_postgres import LocalPostgres
from tests.integration.dba.catalogs import differences, run, snapshot
from tests.integration.dba.scripts import psql
from tests.support.clients.users import running_server, user_client
from tests.support.servers.commands import realtime

SETUP = """
create role app_owner;
set role app_owner;
create table public.items (id int primary key, title text);
insert into public.items values (1, 'first');
"""


@pytest.mark.long
async def test_a_role_that_is_no_superuser_installs_serves_and_uninstalls(cluster: LocalPostgres) -> None:
    run(cluster.dsn_for("postgres"), "create database plain")
    dsn = cluster.dsn_for("plain")
    as_server = dsn.replace("postgres@", "realtime_server@")
    run(dsn, "grant create on schema public to public")
    run(dsn, SETUP)
    before = snapshot(dsn)
    for _ in range(2):  # it can be run again
        done = psql(dsn, "plain.sql")
        assert done.returncode == 0, done.stderr
    for arguments in (("migrate",), ("expose", "items"), ("doctor",)):
        done = await asyncio.to_thread(realtime, *arguments, "--dsn", as_server)
        assert done.returncode == 0, done.stdout + done.stderr
    async with running_server(as_server) as server, user_client(server, "ada") as ada:
        for id, query in (("builder", {"where": [["id", ">", 0]]}), ("sql", {"sql": "select id, title from items"})):
            await ada.join("db:collection:items", id=id, query=query)
            assert [each["doc"]["id"] for each in (await ada.receive("snapshot"))["changes"]] == ["1"]
        run(dsn, "set role app_owner; update items set title = 'second'")
        for _ in range(2):
            [change] = (await ada.receive("snapshot"))["changes"]
            assert (change["type"], change["doc"]["data"]["title"]) == ("modified", "second")
        await ada.join(presence={"name": "Ada"})
        assert (await ada.ask(type="message", channel="chat:1", event="sent", data=1, id="m"))["id"] == "m"
    done = await asyncio.to_thread(realtime, "uninstall", "--yes", "--dsn", as_server)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^left the role realtime_reader .*: as a superuser, DROP OWNED BY realtime_reader;", done.stdout, re.M
    )
    done = psql(dsn, "remove.sql")
    assert done.returncode == 0, done.stderr
    assert differences(before, snapshot(dsn)) == {}
    for statement in ("drop database plain", "drop role app_owner"):
        run(cluster.dsn_for("postgres"), statement)
