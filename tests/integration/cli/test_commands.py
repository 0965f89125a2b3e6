"""Commands that a DBA gives beside a running service: what they wait for, what they refuse, what they leave alone."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from server.app.settings import Settings
from server.cli import slots as slots_command
from server.cli.doctor.diagnose import diagnose
from server.cli.doctor.finding import Finding
from server.cli.local_postgres import LocalPostgres
from server.cli.slots import ForeignSlotError
from tests.conftest import database_on
from tests.integration.cli.test_cli import ROOT, empty_database, levels
from tests.support.postgres.sql import run_sql
from tests.support.servers.commands import realtime

__all__ = ["empty_database"]


@pytest.fixture
def foreign_slot(database: str) -> Iterator[str]:
    name = f"s_{uuid.uuid4().hex[:8]}"
    run_sql(database, f"select pg_create_logical_replication_slot('{name}', 'pgoutput')")
    yield name
    run_sql(
        database,
        f"select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{name}'",
    )


@pytest.fixture
def physical_slot(database: str) -> Iterator[str]:
    name = f"p_{uuid.uuid4().hex[:8]}"
    run_sql(database, f"select pg_create_physical_replication_slot('{name}', true)")
    yield name
    run_sql(
        database,
        f"select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{name}'",
    )


@pytest.fixture
def role(database: str) -> Iterator[str]:
    name = f"Server {uuid.uuid4().hex[:8]}"
    run_sql(database, f'create role "{name}" login replication')
    yield name
    run_sql(database, f'drop owned by "{name}"; drop role "{name}"')


def as_role(dsn: str, role: str) -> str:
    return dsn.replace("postgres@", f"{role.replace(' ', '%20')}@")


def test_a_server_that_lacks_a_privilege_ends_with_the_command_that_gives_it(database: str, role: str) -> None:
    assert realtime("grant", f'"{role}"', "--dsn", database).returncode == 0
    run_sql(database, f'revoke execute on function realtime.adopt_cluster() from "{role}"')
    refused = realtime("serve", "--port", "0", "--dsn", as_role(database, role))
    assert refused.returncode == 3
    assert "permission denied for function adopt_cluster" in refused.stderr
    assert "`realtime grant ROLE`" in refused.stderr


def test_every_slot_of_the_cluster_is_listed_with_its_type_and_database(
    database: str, foreign_slot: str, physical_slot: str
) -> None:
    listed = realtime("slots", "--dsn", database)
    heads, *rows = [line.split() for line in listed.stdout.splitlines()]
    assert heads[:6] == ["NAME", "TYPE", "DATABASE", "PLUGIN", "ACTIVE", "OWNER"]
    here = database.rsplit("/", 1)[1]
    assert [foreign_slot, "logical", here, "pgoutput", "no", "-"] in [row[:6] for row in rows]
    assert [physical_slot, "physical", "-", "-", "no", "-"] in [row[:6] for row in rows]


def test_a_slot_that_is_no_nodes_of_this_database_is_dropped_only_by_its_name_twice(
    database: str, foreign_slot: str, physical_slot: str, pg18: LocalPostgres
) -> None:
    def drop(dsn: str, name: str, force: str | None) -> None:
        asyncio.run(slots_command.drop(dsn, name, force, ask=input))

    with database_on(pg18) as other:  # where neither slot is a node's, even if a node there has that name
        run_sql(
            other,
            "insert into realtime.nodes (id, lease_expires_at) values ('n', now()), ('p', now());"
            f"insert into realtime.slots (name, node) values ('{foreign_slot}', 'n'), ('{physical_slot}', 'p')",
        )
        for name, kind in ((foreign_slot, "a logical slot of database"), (physical_slot, "a physical slot")):
            for dsn in (database, other):
                with pytest.raises(ForeignSlotError, match=f"slot {name} is not one of this database's nodes: {kind}"):
                    drop(dsn, name, None)
                with pytest.raises(ForeignSlotError, match="'yes' is not its name"):
                    drop(dsn, name, "yes")
    drop(database, physical_slot, physical_slot)
    refused = realtime("slots", "drop", foreign_slot, "--dsn", database)
    assert (refused.returncode, f"slots drop {foreign_slot} --force {foreign_slot}" in refused.stderr) == (1, True)
    done = realtime("slots", "drop", foreign_slot, "--force", foreign_slot, "--dsn", database)
    assert (done.returncode, done.stdout) == (0, f"{foreign_slot} is dropped\n")


def test_temporary_failover_and_busy_slots_are_distinguished(database: str) -> None:
    name = f"s_{uuid.uuid4().hex[:8]}"
    run_sql(database, f"select pg_create_logical_replication_slot('{name}', 'pgoutput', false, false, true)")
    try:
        with psycopg.connect(database, autocommit=True, application_name="someone") as other:
            other.execute(f"select pg_create_logical_replication_slot('{name}_t', 'pgoutput', true)".encode())
            listed = realtime("slots", "--dsn", database).stdout
            assert re.search(rf"^{name} +logical, failover +{database.rsplit('/', 1)[1]} ", listed, re.MULTILINE)
            assert re.search(rf"^{name}_t +logical, temporary ", listed, re.MULTILINE)
            for force in ((), ("--force", f"{name}_t")):
                busy = realtime("slots", "drop", f"{name}_t", *force, "--dsn", database)
                assert busy.returncode == 1
                assert f"slot {name}_t is in use by process {other.info.backend_pid} (someone" in busy.stderr
                assert "--force" not in busy.stderr
        refused = realtime("slots", "drop", name, "--dsn", database)
        assert f"{name} is not one of this database's nodes: a failover logical slot" in refused.stderr
        assert f"its copies on standbys go, too: realtime slots drop {name} --force {name}" in refused.stderr
        for wrong in (name.upper(), f'"{name}"', f"{name}'", f" {name}", ""):
            done = realtime("slots", "drop", wrong, "--force", wrong, "--dsn", database)
            assert (done.returncode, f"there is no replication slot {wrong!r}" in done.stderr) == (1, True), wrong
    finally:
        run_sql(
            database,
            f"select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{name}'",
        )


def test_at_a_terminal_the_name_of_anothers_slot_is_asked_for(database: str, physical_slot: str) -> None:
    command = [sys.executable, "-m", "server", "slots", "drop", physical_slot, "--dsn", database]
    for typed, code in (("yes", 1), (physical_slot, 0)):
        ours, theirs = os.openpty()
        try:
            os.write(ours, f"{typed}\n".encode())
            done = subprocess.run(
                command, cwd=ROOT, stdin=theirs, capture_output=True, text=True, timeout=120, check=False
            )
        finally:
            os.close(ours)
            os.close(theirs)
        assert (done.returncode, "Type its name to drop it" in done.stdout) == (code, True), done.stderr


def slots_found(dsn: str) -> list[Finding]:
    return [finding for finding in diagnose(dsn, Settings()) if finding.text.startswith("slots ")]


def test_doctor_warns_once_of_slots_of_others_that_hold_wal_and_never_advises_to_drop_them(
    database: str, foreign_slot: str, physical_slot: str
) -> None:
    run_sql(database, "select pg_create_physical_replication_slot('never_used')")
    try:
        [found] = slots_found(database)  # the segment that is written now is kept in any case
        assert found.level == "ok"
        assert f"{foreign_slot} (logical, database {database.rsplit('/', 1)[1]}, reserved)" in found.text
        assert f"{physical_slot} (physical, reserved)" in found.text
        assert "never_used (physical, unused)" in found.text
        write = "select pg_logical_emit_message(false, 'x', 'x')"
        run_sql(database, f"{write}; select pg_switch_wal(); {write}; select pg_switch_wal(); {write}")
        warning, rest = slots_found(database)
    finally:
        run_sql(database, "select pg_drop_replication_slot('never_used')")
    assert (warning.level, rest.text) == (
        "warn",
        "slots of others are in use or hold no WAL: never_used (physical, unused)",
    )
    for slot in (rf"{foreign_slot} \(logical, database \w+\)", rf"{physical_slot} \(physical\)"):
        assert re.search(rf"{slot} \d\d\.\d MiB", warning.text), warning
    assert "slots drop" not in f"{warning} {rest}"


def test_doctor_reports_each_finding_once_with_all_its_remedies(database: str, role: str) -> None:
    run_sql(database, f'grant usage on schema realtime to "{role}"; grant select on realtime.migrations to "{role}"')
    unchecked = [f.text for f in diagnose(as_role(database, role), Settings()) if f.text.startswith("not everything")]
    assert unchecked == [
        "not everything can be checked: permission denied for table collections; permission denied for table rules; "
        "permission denied for table content_policies"
    ]
    tables = ", ".join(f"realtime.{name}" for name in ("collections", "nodes", "rules", "content_policies"))
    run_sql(database, f'grant select on {tables} to "{role}"')
    findings = diagnose(as_role(database, role), Settings())
    assert len({finding.text for finding in findings}) == len(findings)
    [lacking] = [finding for finding in findings if "lacks privileges that serving needs" in finding.text]
    assert f'(`realtime grant "{role}"` gives it all)' in lacking.text
    assert f'GRANT EXECUTE ON FUNCTION realtime.adopt_cluster() TO "{role}";' in lacking.remedy.splitlines()
    assert str(lacking).count(" -> GRANT ") == len(lacking.remedy.splitlines())


def test_slots_are_listed_in_a_database_that_is_not_migrated(empty_database: str) -> None:
    done = realtime("slots", "--dsn", empty_database)
    assert (done.returncode, done.stdout.split()[0]) == (0, "NAME")


@pytest.mark.parametrize("command", [("expose", "t"), ("unexpose", "t"), ("grant", "postgres")])
def test_an_unmigrated_database_is_named_as_such(empty_database: str, command: tuple[str, str]) -> None:
    done = realtime(*command, "--dsn", empty_database)
    assert done.returncode == 1
    assert "is not migrated: run `realtime migrate`\n" in done.stderr


def test_exposing_lets_other_writers_pass_and_names_the_one_it_waits_for(database: str) -> None:
    run_sql(database, "create table t (id int primary key)")
    with psycopg.connect(database, application_name="slow job") as slow:
        slow.execute("insert into t values (1)")
        command = [sys.executable, "-m", "server", "expose", "t", "--lock-timeout", "1.5", "--dsn", database]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as exposing:
            assert exposing.stderr is not None
            reported = exposing.stderr.readline()
            assert f"waiting for process {slow.info.backend_pid} (postgres, slow job, idle in transaction" in reported
            assert "trying again" in exposing.stderr.readline()
            run_sql(database, "insert into t values (2)")  # the lock is not queued for all the time
            slow.commit()
            exposing.stderr.read()
            assert exposing.wait(60) == 0
    with psycopg.connect(database) as writer:  # already exposed: no lock
        writer.execute("insert into t values (3)")
        assert realtime("expose", "t", "--lock-timeout", "0.05", "--dsn", database).returncode == 0
        writer.rollback()


@pytest.mark.long
def test_the_serving_role_gets_its_privileges_by_one_command_and_again_at_each_migrate(
    database: str, role: str
) -> None:
    run_sql(
        database,
        "create table t (id int primary key, owner text not null, body text);"
        "create unique index t_owner on t (id, owner); alter table t replica identity using index t_owner;"
        "select realtime.expose('t', columns => '{body}')",
    )
    mine = as_role(database, role)
    blind = realtime("doctor", "--dsn", mine)
    assert blind.returncode == 1
    assert f'role "{role}" has no privileges in the schema realtime' in blind.stdout
    refused = realtime("serve", "--dsn", mine, "--port", "0")
    assert (refused.returncode, f'realtime grant "{role}"' in refused.stderr) == (1, True)

    granted = realtime("grant", role, "--dsn", database)
    assert granted.returncode == 0, granted.stderr
    assert f'GRANT SELECT (id, owner, body) ON TABLE public.t TO "{role}";' in granted.stdout
    assert realtime("doctor", "--dsn", mine).returncode == 0, realtime("doctor", "--dsn", mine).stdout
    again = realtime("migrate", "--dsn", mine)
    assert again.stdout == "already up to date\n", again.stderr
    options = ["--port", "0", "--workers", "2", "--ephemeral", "--slot-name", "granted"]
    command = [sys.executable, "-m", "server", "serve", *options]
    with subprocess.Popen([*command, "--dsn", mine], cwd=ROOT, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr is not None
        event: dict[str, Any] = {}
        while event.get("event") != "serving":  # every line of a log that programs read is JSON
            event = json.loads(serving.stderr.readline())
        assert event["url"].startswith("http://")
        serving.terminate()
        rest = serving.stderr.read()
        assert serving.wait(60) == 0, rest

    run_sql(database, f'revoke execute on function realtime.adopt_cluster() from "{role}"')
    found = realtime("doctor", "--dsn", mine)
    assert found.returncode == 1
    assert f'GRANT EXECUTE ON FUNCTION realtime.adopt_cluster() TO "{role}";' in found.stdout
    slot = f"s_{uuid.uuid4().hex[:8]}"
    failed = realtime("serve", "--dsn", mine, "--port", "0", "--slot-name", slot)
    assert (failed.returncode, "permission denied for function adopt_cluster" in failed.stderr) == (3, True)
    with psycopg.connect(database) as connection:
        left = "select count(*) from pg_replication_slots where slot_name = %s"
        assert connection.execute(left, [slot]).fetchone() == (0,)
        assert connection.execute("select count(*) from realtime.nodes").fetchone() == (0,)
    assert f'gave "{role}" the privileges it lacked (1 grants)' in realtime("migrate", "--dsn", database).stdout


def test_every_command_refuses_a_schema_of_a_newer_version(database: str) -> None:
    run_sql(database, "insert into realtime.migrations (name, checksum) values ('0099_future', 'x')")
    run_sql(database, "update realtime.migrations set version = 99, serves_from = 98 where name = 'sql/schema'")
    newer = "migrated by a newer version (migration 0099_future, sql/schema version 99)"
    for command in (("migrate",), ("serve", "--port", "0"), ("expose", "t"), ("doctor",)):
        done = realtime(*command, "--dsn", database)
        assert (done.returncode, newer in done.stdout + done.stderr) == (1, True), command


def test_the_doctor_warns_of_publications_that_take_in_the_schema(
    database: str, database15: str, empty_database: str
) -> None:
    for dsn, publication in (
        (database, "for all tables"),
        (database15, "for tables in schema realtime"),
        (empty_database, "for all tables"),
    ):
        run_sql(dsn, f"create publication everything {publication}")
        found = "\n".join(map(str, diagnose(dsn, Settings())))
        assert "warn     publication everything takes in the tables of the schema realtime" in found
    reported = [
        json.loads(line) for line in realtime("migrate", "--dsn", empty_database).stderr.splitlines() if "{" in line
    ]
    assert [line["publication"] for line in reported if line["event"] == "publication_too_wide"] == ["everything"]


def test_the_doctor_finds_a_collection_that_shows_a_table_of_another_name(database: str) -> None:
    run_sql(
        database,
        "create table t (id int primary key); create table named (id int primary key);"
        "select realtime.expose('t'); select realtime.expose('named', name => 'other')",
    )
    run_sql(database, "create table t_new (id int primary key)")
    run_sql(database, "alter table t rename to t_old; alter table t_new rename to t")
    warnings = levels(realtime("doctor", "--dsn", database).stdout)["warn"]
    assert [line for line in warnings if line.startswith("collection")] == [
        "collection t shows public.t_old, which had another name when it was exposed: "
        "a collection follows the table, not the name"
    ]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("alter event trigger realtime_ddl_end enable", "event triggers do not fire in sessions with"),
        ("alter table realtime.presence disable trigger presence_removed", "presence_removed on realtime.presence is"),
        (
            "alter event trigger realtime_ddl_end disable; alter table p1 disable trigger user",
            "realtime_truncate on public.p1",
        ),
        ("drop trigger check_size on realtime.messages", "trigger check_size on realtime.messages is missing"),
        (
            "revoke insert (event) on realtime.messages from realtime_publisher",
            "ON TABLE realtime.messages TO realtime_pub",
        ),
        ("revoke select on t from realtime_reader", "GRANT SELECT ON public.t TO realtime_reader;"),
        ("alter event trigger realtime_ddl_drop disable; drop table t", "collection t: its table is gone"),
    ],
)
def test_the_doctor_finds_what_was_disabled_or_taken_away(database: str, damage: str, found: str) -> None:
    run_sql(
        database,
        """create table t (id int primary key); create table p (id int primary key) partition by range (id);
        create table p1 partition of p for values from (0) to (10);
        select realtime.expose('t'); select realtime.expose('p')""",
    )
    run_sql(database, damage)
    assert found in "\n".join(map(str, diagnose(database, Settings())))
