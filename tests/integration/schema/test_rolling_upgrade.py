"""Nodes of this version on a database that a later version migrates."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from server.cli.migration.migrate import MigrationError, check_served, migrate
from tests.support.clients.list_client import TABLE, list_client, read, write
from tests.support.clients.users import rest_client, running_server, user_client
from tests.support.servers.processes import GIVE_UP_AFTER

ROOT = Path(__file__).parents[3]
TABLES = """
alter table realtime.messages add column labels text[];
alter table realtime.connections add column session_id text;
alter table realtime.presence add column device text not null default 'unknown';
alter table realtime.nodes add column region text;
create table realtime.webhooks (id integer primary key);
"""
FUNCTIONS = {  # a function that only others call is renamed, one of them calls a new one, a view has a column more
    "2_channels/30_publish.sql": (("realtime.is_too_deep(", "realtime.is_nested_too_deep("),),
    "2_channels/40_broadcast.sql": (
        ("realtime.is_too_deep(", "realtime.is_nested_too_deep("),
        (":= realtime.send(", ":= realtime.send_labelled("),
    ),
    "2_channels/70_views.sql": (("l.at as last_seen\n", "l.at as last_seen, null::text as device\n"),),
}
NEW_FUNCTION = """
create or replace function realtime.send_labelled(
  channel text, event text, payload jsonb, sender text, id text, audience jsonb, priority integer, made_id text,
  labels text[] default null
) returns text language sql security definer set search_path = pg_catalog, pg_temp as $$
  select realtime.send(channel, event, payload, sender, id, audience, priority, made_id)
$$;
"""


def later_version(folder: Path, *, serves_from: int = 1) -> Path:
    """A tree of the next version: tables and functions have changed, in a way that serves this one."""
    for name in ("engine", "server"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("sql", "migrations"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "migrations" / "9000_later.sql").write_text(TABLES)
    schema, interfaces = folder / "sql" / "schema", folder / "sql" / "interface"
    for name, changes in FUNCTIONS.items():
        text = (schema / name).read_text()
        for before, after in changes:
            assert before in text, before
            text = text.replace(before, after)
        (schema / name).write_text(text)
    (schema / "2_channels" / "35_labels.sql").write_text(NEW_FUNCTION)
    (schema / "VERSION").write_text("2\n")
    recorded = (interfaces / "1.json").read_text()
    for path in interfaces.iterdir():
        path.unlink()
    for version in range(serves_from, 3):
        (interfaces / f"{version}.json").write_text(recorded)
    return folder


def migrate_with(tree: Path, dsn: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", "migrate", "--dsn", dsn],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=2 * GIVE_UP_AFTER,
        check=False,
    )


@pytest.mark.long
async def test_a_running_node_goes_on_when_a_later_version_migrates(database: str, tmp_path: Path) -> None:
    write(database, TABLE)
    write(database, "select realtime.create_channel('chat:1', capacity => 5)")
    async with (
        running_server(database) as server,
        user_client(server, "ada") as ada,
        user_client(server, "bob") as bob,
        rest_client(server) as http,
    ):
        await ada.join(presence={"name": "Ada"})
        await bob.join(presence={"name": "Bob"})
        rows = await list_client(server)
        await rows.subscribe({"orderBy": ["id"], "limit": 100})
        for number in range(12):  # often enough that every statement is prepared, with the functions of before
            await ada.ask(type="message", channel="chat:1", event="sent", data=number, id=f"before-{number}")
            assert (await bob.receive("message"))["data"] == number
            write(database, f"insert into messages values ({number}, 'a', 'x')")
            await rows.event()

        done = await asyncio.to_thread(migrate_with, later_version(tmp_path), database)
        assert (done.returncode, "applied sql/schema version 2" in done.stdout) == (0, True), done.stderr

        for number in range(12, 24):
            await ada.ask(type="message", channel="chat:1", event="sent", data=number, id=f"after-{number}")
            assert (await bob.receive("message"))["data"] == number
            write(database, f"insert into messages values ({number}, 'a', 'y')")
            await rows.event()
        assert [document["id"] for _, document in rows.list] == list(range(24))
        write(database, "select realtime.broadcast('chat:1', 'sent', '24')")
        assert (await bob.receive("message"))["data"] == 24
        assert (await http.post("/channels/chat:1/broadcast", json={"event": "sent", "data": 25})).status_code < 300
        assert (await bob.receive("message"))["data"] == 25
        history = (await http.get("/channels/chat:1/messages", params={"limit": 3})).json()["messages"]
        assert [message["data"] for message in history][-1] == 25
        async with user_client(server, "cid") as cid:
            joined = await cid.join(presence={"name": "Cid"})
            assert joined["presence"]["count"] == 3
            await ada.ask(type="presence:update", channel="chat:1", data={"status": "away"})
            assert (await cid.receive("presence:update"))["user"]["state"]["status"] == "away"
        write(database, "create table later (id int primary key); select realtime.expose('later')")
        await rows.client.send(
            '{"type": "subscribe", "channel": "db:collection:later", "id": "l", "query": {"orderBy": ["id"]}}'
        )
        assert (await rows.receive())["type"] == "subscribed"
        await rows.client.close()
        async with asyncio.timeout(GIVE_UP_AFTER):
            while (await server.healthy())["problems"]:  # noqa: ASYNC110 - locks of the migrate, for a moment
                await asyncio.sleep(0.05)
        assert read(database, "select schema_version from realtime.nodes") == [(1,)]
    assert "schema_incomplete" not in "".join(server.lines)


def test_this_version_runs_on_a_later_one_that_serves_it_and_leaves_it_alone(database: str, tmp_path: Path) -> None:
    tree = later_version(tmp_path)
    assert migrate_with(tree, database).returncode == 0
    before = read(database, "select oid, xmin from pg_proc where pronamespace = 'realtime'::regnamespace order by 1")
    served = check_served(database)
    assert served is not None
    assert "which serves sql/schema version 1 too" in served
    assert migrate(database) == [served]
    assert (
        read(database, "select oid, xmin from pg_proc where pronamespace = 'realtime'::regnamespace order by 1")
        == before
    )
    assert migrate_with(tree, database).stdout == "already up to date\n"


def test_a_version_that_serves_no_running_node_does_not_migrate(database: str, tmp_path: Path) -> None:
    """A node that was stopped, or whose lease has expired, does not count."""
    tree = later_version(tmp_path, serves_from=2)
    write(
        database,
        "insert into realtime.nodes (id, host, schema_version, lease_expires_at) values"
        " ('one', 'here', 1, now() + interval '1 h'), ('two', 'there', 1, now() - interval '1 s'),"
        " ('three', 'there', null, now() + interval '1 h')",
    )
    refused = migrate_with(tree, database)
    assert refused.returncode == 1
    assert (
        "of sql/schema version 2 and later, and older ones run: one on here (sql/schema version 1). " in refused.stderr
    )
    assert read(database, "select count(*) from realtime.migrations where name = '9000_later'") == [(0,)]
    assert check_served(database) is None
    write(database, "update realtime.nodes set schema_version = null where id = 'one'")
    assert migrate_with(tree, database).returncode == 0
    with pytest.raises(MigrationError, match=r"newer version \(migration 9000_later, sql/schema version 2\); this is"):
        check_served(database)
    with pytest.raises(MigrationError, match="install bunbase-realtime"):
        migrate(database)
    with psycopg.connect(database) as sql:
        assert sql.execute("select count(*) from realtime.nodes where id = 'three'").fetchone() == (1,)
