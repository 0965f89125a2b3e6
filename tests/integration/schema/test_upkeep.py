"""What a migrate of a database that is up to date does: nothing, unless something was taken away meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres
from server.cli.locks.lock_waits import LockTimeoutError, retry_on_locks
from server.cli.migration.migrate import MigrationError, check_migrated, check_served, migrate
from tests.conftest import database_on
from tests.support.servers.processes import ROOT

TABLES = """create table items (id int primary key, title text, secret text);
    create table parts (id int primary key) partition by range (id);
    create table parts_1 partition of parts for values from (0) to (10);
    select realtime.expose('items', columns => '{id,title}'); select realtime.expose('parts')"""


def rows(dsn: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def test_migrating_again_waits_for_no_publisher_and_holds_none_back(pg: LocalPostgres) -> None:
    with database_on(pg, TABLES) as dsn, psycopg.connect(dsn) as publisher:
        publisher.execute("select realtime.broadcast('r', 'e')")
        publisher.execute("insert into realtime.messages (channel, event) values ('r', 'e')")
        publisher.execute("insert into realtime.channels (name) values ('room')")
        publisher.execute("insert into items values (1)")
        assert migrate(dsn, lock_timeout=0.2) == []
        publisher.rollback()


def test_replacing_the_functions_waits_for_no_publisher_either(pg: LocalPostgres) -> None:
    with database_on(pg, TABLES) as dsn, psycopg.connect(dsn) as publisher:
        rows(dsn, "update realtime.migrations set checksum = 'older' where name = 'sql/schema'")
        publisher.execute("insert into realtime.messages (channel, event) values ('r', 'e')")
        publisher.execute("insert into realtime.channels (name) values ('room')")
        assert [line.split(" version")[0] for line in migrate(dsn, lock_timeout=0.2)] == ["applied sql/schema"]
        publisher.rollback()


def test_a_migrate_that_needs_a_lock_lets_others_pass_and_names_the_process_in_the_way(database: str) -> None:
    rows(database, "alter table realtime.messages disable trigger check_size")
    with psycopg.connect(database, application_name="a busy one") as busy:
        busy.execute("insert into realtime.messages (channel, event) values ('r', 'e')")
        reported: list[str] = []
        named, done = threading.Event(), threading.Event()

        def report(text: str) -> None:
            reported.append(text)
            if f"process {busy.info.backend_pid} (postgres, a busy one, idle in transaction" in text:
                named.set()

        def run() -> None:
            migrate(database, lock_timeout=1.5, report=report)
            done.set()

        migrating = threading.Thread(target=run)
        migrating.start()
        assert named.wait(60), reported
        busy.rollback()
        migrating.join(60)
        assert done.is_set(), reported


@pytest.mark.parametrize(
    ("damage", "repaired"),
    [
        ("drop publication bunbase_realtime", "added public.items (collection items) to the publication"),
        ("alter publication bunbase_realtime set (publish = 'insert')", "set what the publication bunbase_realtime"),
        (
            "alter publication bunbase_realtime drop table items",
            "added public.items (collection items) to the publication",
        ),
        (
            "alter publication bunbase_realtime drop table realtime.messages",
            "added realtime.messages to the publication",
        ),
        ("revoke all on items from realtime_reader", "gave realtime_reader the exposed columns of public.items"),
        ("grant select on items to realtime_reader", "gave realtime_reader the exposed columns of public.items"),
        ("revoke all on realtime.messages from realtime_publisher", "gave realtime_publisher the privileges it lacked"),
        ("drop event trigger realtime_ddl_drop", "made or enabled the event trigger realtime_ddl_drop"),
        ("alter event trigger realtime_ddl_end enable", "made or enabled the event trigger realtime_ddl_end"),
        ("alter table realtime.presence disable trigger all", "made or enabled the trigger presence_removed"),
        (
            "select realtime.announce_occupancy('game:*'); alter table realtime.presence disable trigger room_vacated",
            "made or enabled the trigger room_vacated",
        ),
        ("drop trigger room_occupied on realtime.presence", "disabled the trigger room_occupied"),
        ("drop trigger node_removed on realtime.nodes", "made or enabled the trigger node_removed"),
    ],
)
def test_revoked_grants_are_restored_and_reported(database: str, damage: str, repaired: str) -> None:
    rows(database, TABLES)
    rows(database, damage)
    done = migrate(database)
    assert any(repaired in line for line in done), done
    assert migrate(database) == []


def test_a_renamed_column_stays_hidden_where_no_event_trigger_follows_it(database: str) -> None:
    rows(database, TABLES)
    rows(database, "alter event trigger realtime_ddl_end disable; alter event trigger realtime_ddl_drop disable")
    rows(database, "alter table items rename title to headline; alter table items rename secret to title")
    done = migrate(database)
    assert any("items (collection items): id, headline" in line for line in done), done
    assert rows(database, "select columns::text[] from realtime.collections where name = 'items'") == [
        (["id", "headline"],)
    ]
    rows(database, "set role realtime_reader; select id, headline from items")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(database, "set role realtime_reader; select title from items")


def test_a_disabled_truncate_trigger_is_found_and_enabled(database: str) -> None:
    rows(database, TABLES)
    rows(database, "alter event trigger realtime_ddl_end disable")
    rows(database, "alter table parts_1 disable trigger all")
    assert "made or enabled the trigger realtime_truncate on partitions of public.parts" in migrate(database)
    [(state,)] = rows(database, "select tgenabled from pg_trigger where tgname = 'realtime_truncate'")
    assert state == "A"


def test_the_collection_of_a_dropped_table_is_removed(database: str) -> None:
    rows(database, TABLES)
    rows(database, "alter event trigger realtime_ddl_drop disable; drop table items")
    assert "removed the collection items, whose table is gone" in migrate(database)
    assert rows(database, "select name from realtime.collections") == [("parts",)]


def test_a_new_table_takes_the_name_of_a_collection_of_a_dropped_table(database: str) -> None:
    rows(database, TABLES)
    rows(database, "alter event trigger realtime_ddl_drop disable; drop table items")
    rows(database, "create table items (id int primary key); select realtime.expose('items')")
    assert rows(database, "select name, relation::text from realtime.collections where name = 'items'") == [
        ("items", "items")
    ]


@pytest.mark.parametrize(
    "newer",
    [
        "insert into realtime.migrations (name, checksum) values ('0099_future', 'abc')",
        "update realtime.migrations set version = 99, checksum = 'newer', applied_by = 'bunbase-realtime 9.9.0'"
        " where name = 'sql/schema'",
    ],
)
def test_a_database_that_a_newer_version_migrated_is_left_alone(database: str, newer: str) -> None:
    rows(database, "update realtime.migrations set serves_from = 2 where name = 'sql/schema'")  # too late for this one
    rows(database, newer)
    rows(database, "create or replace function realtime.epoch() returns text language sql as 'select ''newer'''")
    needed = "0099_future" if "0099" in newer else "bunbase-realtime 9.9.0 or later"
    for refuse in (migrate, check_served):
        with pytest.raises(MigrationError, match=f"newer version.*{needed}"):
            refuse(database)
    assert rows(database, "select realtime.epoch()") == [("newer",)]


@pytest.mark.parametrize(
    "theirs",
    [
        "create table realtime.messages (id int)",
        "create table realtime.subscription (id int); create table realtime.schema_migrations (v int)",
        "create table realtime.migrations (version int)",
        "create type realtime.action as enum ('x')",
    ],
)
def test_the_schema_of_another_product_is_refused_and_left_as_it_was(pg: LocalPostgres, theirs: str) -> None:
    with database_on(pg, "create schema realtime", theirs, migrated=False) as dsn:
        before = rows(dsn, "select relname from pg_class order by 1")
        with pytest.raises(MigrationError, match=r"the schema realtime in database .* is not ours"):
            migrate(dsn)
        assert rows(dsn, "select relname from pg_class order by 1") == before
        assert rows(dsn, "select 1 from pg_publication") == []


def test_an_empty_schema_that_a_dba_made_is_used(pg: LocalPostgres) -> None:
    with database_on(pg, "create schema realtime", migrated=False) as dsn:
        assert migrate(dsn) != []


def test_migrating_again_waits_for_no_open_alter_table(pg: LocalPostgres) -> None:
    with database_on(pg, TABLES) as dsn, psycopg.connect(dsn) as owner:
        owner.execute("alter table items add column y int; alter table parts add column y int")
        assert migrate(dsn, lock_timeout=0.2) == []
        owner.rollback()


def test_servers_that_migrate_at_once_wait_for_one_another(pg: LocalPostgres) -> None:
    with database_on(pg, migrated=False) as dsn, ThreadPoolExecutor(4) as pool:
        done = sorted(pool.map(migrate, [dsn] * 4), key=len)
        assert done[:3] == [[], [], []]
        assert "applied 0002_channels" in done[3]


def test_a_lock_that_stays_taken_is_given_up_with_the_process_that_holds_it(database: str) -> None:
    rows(database, "create table t (id int primary key)")
    with psycopg.connect(database) as busy:
        busy.execute("lock table t")

        def work(connection: psycopg.Connection[Any]) -> None:
            connection.execute("lock table public.t")

        with pytest.raises(
            LockTimeoutError, match=rf"gave up after 2 attempts .*process {busy.info.backend_pid} \(postgres"
        ):
            retry_on_locks(database, "test", work, lock_timeout=1.5, attempts=2, report=lambda text: None)


def test_a_numbered_migration_that_was_another_when_it_was_applied_is_refused_by_every_command(database: str) -> None:
    other = "checksum = 'other', applied_by = 'bunbase-realtime 0.2.0'"
    rows(database, f"update realtime.migrations set {other} where name = '0002_channels'")
    reported = "migration 0002_channels was changed after it was applied by bunbase-realtime 0.2.0"
    for refuse in (migrate, check_served, check_migrated):
        with pytest.raises(MigrationError, match=f"{reported}.*install a version that has those migrations"):
            refuse(database)
    assert any(reported in finding.text for finding in diagnose(database, Settings()) if finding.level == "problem")


def test_a_migrate_that_is_killed_half_way_leaves_everything_as_it_was_and_the_next_one_goes_on(database: str) -> None:
    rows(database, TABLES)
    rows(database, "update realtime.migrations set checksum = 'older' where name = 'sql/schema'")
    rows(database, "drop function realtime.epoch()")
    rows(database, "alter table realtime.messages disable trigger check_size")  # to wait for, after the functions
    state = "select name, checksum from realtime.migrations order by 1"
    before = rows(database, state)
    with psycopg.connect(database) as busy:
        busy.execute("insert into realtime.messages (channel, event) values ('r', 'e')")
        command = [sys.executable, "-m", "server", "migrate", "--lock-timeout", "30", "--dsn", database]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as migrating:
            assert migrating.stderr is not None
            assert f"waiting for process {busy.info.backend_pid} " in migrating.stderr.readline()
            migrating.kill()
        assert rows(database, state) == before
        assert rows(database, "select to_regproc('realtime.epoch')::text") == [(None,)]
        busy.rollback()
    done = migrate(database)  # the backend of the killed one ends when it has the lock and finds its client gone
    assert "made or enabled the trigger check_size on realtime.messages" in done
    assert rows(database, "select to_regproc('realtime.epoch')::text") == [("realtime.epoch",)]
    assert migrate(database) == []
