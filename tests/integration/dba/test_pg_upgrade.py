"""``pg_upgrade``: the service goes on in the new cluster, and clients that come back get all of what there is."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import FAST, fresh_database, postgres_15, postgres_18, started
from tests.integration.dba.catalogs import run
from tests.support.clients.users import UserClient, user_client
from tests.support.ports import free_port
from tests.support.postgres.other_version import client_program
from tests.support.servers.commands import realtime
from tests.support.servers.processes import serving

TABLE = """
create role app_reader;
create table items (id int primary key, title text, shown text generated always as (upper(title)) stored);
insert into items values (1, 'one'), (2, 'two');
select realtime.expose('items');
select realtime.grant_server('app_reader')
"""
SLOT = "kept"
PRIVILEGES = """
select role, statement from (values ('realtime_publisher', 'publish'), ('app_reader', 'serve')) p (role, purpose),
  lateral realtime.missing_privileges(p.role, p.purpose)
"""
PUBLISHED = "select pubgencols from pg_publication where pubname = 'bunbase_realtime'"
DEFINITIONS = """
update pg_attribute set attoptions = nullif(array(select o from unnest(attoptions) o where o not like 'pg_attver=%'), '{}')
where attoptions::text like '%pg_attver=%'
"""
"""PostgreSQL 15.20 keeps a version of each column's definition among its options, which pg_dump and the server of 18.6 do
not know: without this no table at all can be upgraded from the one to the other.
"""


def like(old: LocalPostgres, folder: Path) -> LocalPostgres:
    """An empty PostgreSQL 18 that ``old`` can be upgraded to: with checksums if it has them, which 18 takes by default."""
    [(checksums,)] = run(old.dsn, "show data_checksums")
    arguments = () if checksums == "on" else ("--no-data-checksums",)
    return LocalPostgres(folder, port=free_port(), settings=FAST, initdb_args=arguments)


def upgrade(old: LocalPostgres, new: LocalPostgres, *options: str) -> subprocess.CompletedProcess[str]:
    """Run ``pg_upgrade`` from the stopped ``old`` to the stopped, empty ``new``."""
    owner = new.data_dir.stat()
    work = new.data_dir.with_name(f"{new.data_dir.name}_work")
    work.mkdir(exist_ok=True)
    for path in (work, old.data_dir, *old.data_dir.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    programs = ["-b", str(old.bin_dir), "-B", str(new.bin_dir)]
    clusters = ["-d", str(old.data_dir), "-D", str(new.data_dir), "-p", str(free_port()), "-P", str(free_port())]
    return subprocess.run(
        [str(client_program("pg_upgrade")), "--no-sync", "-U", "postgres", *programs, *clusters, *options],
        cwd=work,
        user=owner.st_uid if os.geteuid() == 0 else None,
        capture_output=True,
        text=True,
        check=False,
    )


async def messages(client: UserClient, count: int) -> list[Any]:
    """What the next messages carry."""
    return [(await client.receive("message"))["data"] for _ in range(count)]


async def rows(client: UserClient) -> dict[str, Any]:
    """The rows of a new live query, by id."""
    await client.join("db:collection:items", id="rows", query={"orderBy": ["id"]})
    changes = (await client.receive("snapshot"))["changes"]
    return {change["doc"]["id"]: change["doc"]["data"]["shown"] for change in changes}


@pytest.mark.long
@pytest.mark.parametrize("version", [pytest.param("18", marks=pytest.mark.since(18)), "15"])
async def test_clients_that_resume_after_pg_upgrade_get_everything_once(
    version: str, scratch: Path, request: pytest.FixtureRequest
) -> None:
    if version == "15":
        request.getfixturevalue("pg15")  # knows whether there is one
    make = postgres_18 if version == "18" else postgres_15
    with (
        started(make(scratch / f"before{version}")) as old,
        started(like(old, scratch / f"after{version}")) as new,
    ):
        major = int(run(old.dsn, "show server_version_num")[0][0]) // 10000
        dsn = fresh_database(old)
        run(dsn, TABLE)
        config: dict[str, Any] = {"slot_name": SLOT, "trust_user_parameter": "true"}
        async with serving(dsn, free_port(), **config) as server, user_client(server, "ada") as ada:
            epoch = (await ada.join("chat:1"))["epoch"]
            for number in range(4):
                await ada.ask(type="message", channel="chat:1", event="sent", data=number, id=f"m{number}")
            positions = [(await ada.receive("message"))["position"] for _ in range(4)]
            assert await rows(ada) == {"1": "ONE", "2": "TWO"}
        run(dsn, "insert into items values (3, 'while the node was stopped')")
        for (database,) in run(dsn, "select datname from pg_database where datallowconn"):
            run(old.dsn_for(database), DEFINITIONS)
        if major >= 17:
            old.stop()
            new.stop()
            refused = upgrade(old, new, "--check")
            assert "logical replication slots that cannot be upgraded" in refused.stdout, refused.stdout
            old.start()
            dropped = realtime("slots", "drop", SLOT, "--dsn", dsn)
            assert dropped.returncode == 0, dropped.stderr
        old.stop()
        new.stop()
        done = upgrade(old, new)
        assert done.returncode == 0, done.stdout + done.stderr
        new.start()
        dsn = new.dsn_for(dsn.rpartition("/")[2])
        assert run(dsn, PRIVILEGES) == []
        if major < 18:
            assert "does not publish stored generated columns" in realtime("doctor", "--dsn", dsn).stdout
        migrated = realtime("migrate", "--dsn", dsn)
        assert migrated.returncode == 0, migrated.stderr
        assert run(dsn, PUBLISHED) == [("s",)]
        assert realtime("doctor", "--dsn", dsn).returncode == 0
        async with serving(dsn, free_port(), **config) as server:
            for since, of in ((positions[1], epoch), (positions[3], epoch), (positions[1], None)):
                async with user_client(server, "ada") as ada:
                    options = {"epoch": of} if of else {}
                    again = await ada.join("chat:1", since=since, history=4, **options)
                    assert (again["recovered"], again["epoch"] == epoch) == (False, False)
                    assert await messages(ada, 4) == [0, 1, 2, 3]
                    assert await rows(ada) == {"1": "ONE", "2": "TWO", "3": "WHILE THE NODE WAS STOPPED"}
            async with user_client(server, "ada") as ada, user_client(server, "bob") as bob:
                here = await bob.join("chat:1")
                await ada.ask(type="message", channel="chat:1", event="sent", data=4, id="m4")
                await ada.ask(type="message", channel="chat:1", event="sent", data=5, id="m5")
                first = await bob.receive("message")
                resumed = await ada.join("chat:1", since=first["position"], epoch=here["epoch"])
                assert resumed["recovered"] is True
                assert await messages(ada, 1) == [5]
                await rows(bob)
                await asyncio.to_thread(run, dsn, "insert into items values (4, 'four')")
                [change] = (await bob.receive("snapshot"))["changes"]
                assert (change["type"], change["doc"]["data"]["shown"]) == ("added", "FOUR")
