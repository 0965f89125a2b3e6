"""A publication ``bunbase_realtime`` that takes in tables without naming them: all tables, or those of a schema."""

from __future__ import annotations

import pytest

from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import database_on
from tests.support.clients.users import two_users
from tests.support.postgres.sql import read, run_sql
from tests.support.servers.commands import realtime


@pytest.mark.parametrize(
    "what",
    [
        "all tables",
        pytest.param("tables in schema shop, realtime", marks=pytest.mark.since(15)),
        pytest.param("tables in schema realtime", marks=pytest.mark.since(15)),
    ],
)
def test_a_publication_made_by_hand_of_all_tables_or_of_schemas_is_migrated_exposed_and_found_well(
    pg: LocalPostgres, what: str
) -> None:
    with database_on(pg, "create schema shop; create table shop.items (id int primary key)") as dsn:
        run_sql(dsn, "create table shop.more (id int primary key); select realtime.expose('shop.more')")
        run_sql(dsn, f"drop publication bunbase_realtime; create publication bunbase_realtime for {what}")
        assert "set what the publication bunbase_realtime publishes" in migrate(dsn)
        assert migrate(dsn) == []
        run_sql(dsn, "select realtime.expose('shop.items')")
        found = diagnose(dsn, Settings())
        assert [str(finding) for finding in found if finding.level == "problem"] == []
        assert not any("publication bunbase_realtime takes in" in str(finding) for finding in found)
        run_sql(dsn, "select realtime.unexpose('items')")
        named = "select prrelid::regclass::text from pg_publication_rel"
        assert read(dsn, named) == ([("shop.more",)] if what == "tables in schema realtime" else [])


def test_a_publication_that_was_there_before_the_first_migrate_is_taken_up(pg: LocalPostgres) -> None:
    with database_on(pg, "create publication bunbase_realtime for all tables", migrated=False) as dsn:
        before = read(dsn, "select oid from pg_publication")
        done = realtime("migrate", "--dsn", dsn)
        assert done.returncode == 0, done.stderr
        assert "took up the publication bunbase_realtime" in done.stdout
        assert read(dsn, "select oid from pg_publication") == before
        assert [str(f) for f in diagnose(dsn, Settings()) if f.level == "problem"] == []


@pytest.mark.long
@pytest.mark.parametrize("decoder", ["pgoutput", "wal2json"])
async def test_a_server_follows_a_publication_of_all_tables(database15: str, decoder: str) -> None:
    run_sql(database15, "create table items (id int primary key); select realtime.expose('items')")
    run_sql(database15, "drop publication bunbase_realtime; create publication bunbase_realtime for all tables")
    migrate(database15)
    async with two_users(database15, decoder=decoder) as (ada, bob, _):
        await ada.join()
        await bob.ask(type="message", channel="chat:1", event="sent", data={"n": 1})
        assert (await ada.receive("message"))["data"] == {"n": 1}
        await ada.send(type="subscribe", channel="db:collection:items", id="q", query={"orderBy": [["id", "asc"]]})
        assert (await ada.receive("snapshot"))["changes"] == []
        run_sql(database15, "insert into items values (1)")
        assert [change["doc"]["id"] for change in (await ada.receive("snapshot"))["changes"]] == ["1"]
