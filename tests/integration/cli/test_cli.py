"""The command line, as a user runs it: a process, its output and its exit code."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, fresh_database, postgres_18, started
from tests.support.ports import free_port
from tests.support.postgres.sql import run_sql
from tests.support.servers.commands import realtime

ROOT = Path(__file__).parents[3]


@pytest.fixture
def empty_database(pg18: LocalPostgres) -> Iterator[str]:
    with database_on(pg18, migrated=False) as dsn:
        yield dsn


def test_without_a_command_the_commands_are_listed() -> None:
    done = realtime()
    for command in ("dev", "serve", "migrate", "expose", "unexpose", "slots", "doctor"):
        assert command in done.stdout + done.stderr


def test_version_and_help_are_found_under_the_usual_names() -> None:
    versions = {realtime(word).stdout for word in ("version", "--version", "-V")}
    assert len(versions) == 1
    assert {realtime(word).stdout for word in ("help", "-h")} == {realtime("--help").stdout}


def test_an_unknown_setting_is_named_with_the_one_that_is_near(tmp_path: Path) -> None:
    file = tmp_path / "realtime.toml"
    file.write_text("prot = 1\n")
    done = realtime("serve", "--config", str(file))
    assert (done.returncode, done.stderr) == (
        2,
        f"realtime: wrong settings: {file}:1: prot is no setting; did you mean port?\n",
    )
    done = realtime("migrate", REALTIME_PORTT="1")
    assert done.stderr.startswith("realtime: ignored: REALTIME_PORTT is no setting; did you mean REALTIME_PORT?\n")


def test_no_database_is_a_usage_error_in_one_line() -> None:
    done = realtime("migrate")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "realtime: no database is given: use --dsn, REALTIME_DSN (in the environment or .env), "
    )
    assert done.stderr.count("\n") == 1


def test_an_unreachable_database_is_one_line() -> None:
    done = realtime("migrate", "--dsn", "postgresql://postgres@127.0.0.1:1/x")
    assert done.returncode == 3
    assert done.stderr.startswith("realtime: connection failed")
    assert done.stderr.count("\n") == 1


def test_an_unreachable_database_is_a_json_document_where_that_is_asked_for() -> None:
    at = ("--json", "--dsn", "postgresql://postgres@127.0.0.1:1/x")
    done = realtime("doctor", *at)
    found = json.loads(done.stdout)
    [finding] = found["findings"]
    assert (done.returncode, found["ok"], found["problems"], finding["level"]) == (3, False, 1, "problem")
    assert finding["text"].startswith("connection failed")
    for command in (("slots",), ("slots", "list")):
        done = realtime(*command, *at)
        assert (done.returncode, json.loads(done.stdout).keys()) == (3, {"error"})
        assert done.stderr == f"realtime: {json.loads(done.stdout)['error']}\n"


@pytest.mark.parametrize("dsn", ["mysql://root:secret@localhost/app", "localhost secret"])
def test_an_invalid_dsn_is_a_usage_error_that_repeats_no_password(dsn: str) -> None:
    done = realtime("doctor", "--dsn", dsn)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "not a PostgreSQL address: write postgresql://" in done.stderr
    assert "secret" not in done.stderr


def test_a_wrong_flag_is_a_usage_error() -> None:
    done = realtime("serve", "--prot", "1")
    assert done.returncode == 2
    assert "--prot" in done.stderr
    assert "Traceback" not in done.stderr


def test_dev_refuses_an_address_before_it_starts_anything() -> None:
    done = realtime("dev", "--dsn", "mysql://localhost/app")
    assert (done.returncode, "not a PostgreSQL address" in done.stderr) == (2, True)


def test_psql_opens_the_database_of_the_settings(database: str, pg18: LocalPostgres) -> None:
    done = realtime("psql", "-Atc", "select current_database()", REALTIME_DSN=database)
    assert (done.returncode, done.stdout.strip()) == (0, database.rpartition("/")[2])


def test_psql_opens_another_database_of_the_same_server(database: str) -> None:
    done = realtime("psql", "--dsn", database, "-d", "template1", "-XAtc", "select current_database()")
    assert (done.returncode, done.stdout) == (0, "template1\n")


def test_psql_without_a_database_names_the_ways_to_give_one(tmp_path: Path) -> None:
    done = realtime("psql", "--data-dir", str(tmp_path))
    assert (done.returncode, "no `realtime dev` runs in" in done.stderr) == (2, True)


def test_the_settings_in_effect_are_shown_with_their_sources() -> None:
    done = realtime("config", "--set", "--dsn", "postgresql://u:secret@h/d", REALTIME_PORT="9000")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["port", "9000", "REALTIME_PORT"] in rows
    assert rows[1][0] == "dsn"
    assert rows[1][-1] == "--dsn"
    assert "secret" not in done.stdout
    assert "\n# port = 8000\n" in realtime("config", "--example").stdout


def test_shells_can_complete_commands() -> None:
    assert "_REALTIME_COMPLETE" in realtime("--show-completion", "bash").stdout


def test_migrating_reports_its_steps(empty_database: str) -> None:
    first = realtime("migrate", REALTIME_DSN=empty_database)
    assert first.returncode == 0
    reported = first.stdout.splitlines()
    assert "applied 0001_collections_and_nodes" in reported
    assert any(line.startswith("applied sql/schema version ") for line in reported)
    assert "made or enabled the event trigger realtime_ddl_end" in reported
    assert realtime("migrate", "--dsn", empty_database).stdout == "already up to date\n"


def test_serving_a_database_that_is_not_migrated_is_refused(empty_database: str) -> None:
    done = realtime("serve", "--dsn", empty_database, "--port", "0")
    assert done.returncode == 1
    assert "run `realtime migrate`" in done.stderr


def test_the_functions_of_another_version_count_as_not_migrated(database: str) -> None:
    run_sql(database, "update realtime.migrations set checksum = 'older' where name = 'sql/schema'")
    done = realtime("serve", "--dsn", database, "--port", "0")
    assert (done.returncode, "sql/schema" in done.stderr) == (1, True)


def test_a_table_is_exposed_and_closed(database: str) -> None:
    run_sql(database, "create table todos (id int primary key, title text, secret text)")
    done = realtime(
        "expose", "todos", "--columns", "id, title", "--camel-case", "--name", "my-todos", "--dsn", database
    )
    assert (done.returncode, done.stdout) == (0, "clients can subscribe to db:collection:my-todos\n")
    with psycopg.connect(database) as connection:
        row = connection.execute("select name, columns, camel_case from realtime.collections").fetchone()
    assert row == ("my-todos", ["id", "title"], True)
    done = realtime("unexpose", "my-todos", "--dsn", database)
    assert (done.returncode, done.stdout) == (0, "my-todos is closed\n")


def test_a_table_without_primary_key_is_refused_with_the_way_out(database: str) -> None:
    run_sql(database, "create table log (line text)")
    done = realtime("expose", "log", "--dsn", database)
    assert done.returncode == 3
    assert "no primary key" in done.stderr
    assert "replica_identity => 'full'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert realtime("expose", "log", "--replica-identity", "full", "--dsn", database).returncode == 0


@pytest.mark.parametrize("command", [("expose", "nothing"), ("unexpose", "nothing")])
def test_a_missing_object_is_one_line(database: str, command: tuple[str, str]) -> None:
    done = realtime(*command, "--dsn", database)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nothing" in done.stderr


def test_slots_are_listed_and_dropped(database: str) -> None:
    name = f"s_{uuid.uuid4().hex[:8]}"
    run_sql(database, f"select pg_create_logical_replication_slot('{name}', 'pgoutput')")
    listed = realtime("slots", "--dsn", database)
    assert listed.returncode == 0
    assert realtime("slots", "list", "--dsn", database).stdout.split()[:3] == listed.stdout.split()[:3]
    heads, *rows = listed.stdout.splitlines()
    assert heads.split("  ")[0] == "NAME"
    assert any(row.split()[:2] == [name, "logical"] for row in rows)
    run_sql(database, f"insert into realtime.slots (name) values ('{name}')")  # also that of a node that is gone
    done = realtime("slots", "drop", name, "--dsn", database)
    assert (done.returncode, done.stdout) == (0, f"{name} is dropped\n")
    done = realtime("slots", "drop", name, REALTIME_DSN=database)
    assert (done.returncode, done.stderr) == (1, f"realtime: there is no replication slot '{name}'\n")


def levels(output: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"ok": [], "warn": [], "problem": []}
    for line in output.splitlines():
        if not line.startswith(" "):
            level, _, text = line.partition(" ")
            found[level].append(text.strip())
    return found


def test_the_doctor_finds_a_good_database_good(database: str) -> None:
    run_sql(database, "create table t (id int primary key); select realtime.expose('t')")
    done = realtime("doctor", "--dsn", database)
    assert done.returncode == 0, done.stdout
    assert levels(done.stdout)["problem"] == []
    assert any("1 exposed tables" in line for line in levels(done.stdout)["ok"])


def test_the_doctor_looks_for_wal2json_when_it_is_to_be_used(database: str, database15: str) -> None:
    missing = realtime("doctor", "--dsn", database, "--decoder", "wal2json")
    assert missing.returncode == 1
    assert any("wal2json" in line for line in levels(missing.stdout)["problem"])
    there = realtime("doctor", "--dsn", database15, "--decoder", "wal2json")
    assert there.returncode == 0, there.stdout
    assert "the decoder wal2json is installed" in levels(there.stdout)["ok"]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("drop publication bunbase_realtime", "the publication bunbase_realtime is missing"),
        ("alter publication bunbase_realtime set (publish = 'insert')", "does not publish everything"),
        ("alter publication bunbase_realtime drop table t", "collection t: public.t is not in the publication"),
        ("alter table t replica identity nothing", "collection t: public.t has REPLICA IDENTITY NOTHING"),
        ("alter table p1 replica identity nothing", "collection p: public.p1 has REPLICA IDENTITY NOTHING"),
        ("delete from realtime.migrations", "the database is not at this version"),
    ],
)
def test_the_doctor_finds_what_would_stop_the_service(database: str, damage: str, problem: str) -> None:
    run_sql(
        database,
        """create table t (id int primary key); create table p (id int primary key) partition by range (id);
        create table p1 partition of p for values from (0) to (10);
        select realtime.expose('t'); select realtime.expose('p')""",
    )
    run_sql(database, damage)
    done = realtime("doctor", "--dsn", database)
    assert done.returncode == 1
    assert any(problem in line for line in levels(done.stdout)["problem"]), done.stdout
    assert "->" in done.stdout


def test_the_doctor_warns_of_what_might_go_wrong_some_day(database: str) -> None:
    run_sql(database, "alter event trigger realtime_ddl_end disable")
    done = realtime("doctor", "--dsn", database)
    warnings = "\n".join(levels(done.stdout)["warn"])
    assert done.returncode == 0
    assert "event triggers are missing or disabled" in warnings
    assert "no table is exposed" in warnings


def test_doctor_reports_whether_text_is_ordered_incrementally(database: str, pg15: LocalPostgres) -> None:
    good = levels(realtime("doctor", "--dsn", database).stdout)["ok"]
    assert "the default collation C.UTF-8 is bytewise: text is ordered incrementally" in good
    name = f"icu_{uuid.uuid4().hex[:8]}"
    run_sql(
        pg15.dsn, f"create database {name} template template0 encoding 'UTF8' locale_provider icu icu_locale 'de-DE'"
    )
    try:
        found = levels(realtime("doctor", "--dsn", pg15.dsn_for(name)).stdout)["warn"]
        assert any(line.startswith("the default collation is de-DE: live queries that order") for line in found)
    finally:
        run_sql(pg15.dsn, f"drop database {name}")


def test_the_doctor_checks_the_privileges_of_the_role(database: str) -> None:
    role = f"r_{uuid.uuid4().hex[:8]}"
    run_sql(database, f"create role {role} login; grant usage on schema realtime to {role}")
    run_sql(database, f"grant select on all tables in schema realtime to {role}")
    try:
        done = realtime("doctor", "--dsn", database.replace("postgres@", f"{role}@"))
        problems = "\n".join(levels(done.stdout)["problem"])
        assert done.returncode == 1
        assert f"role {role} cannot become realtime_reader" in problems
        assert "a replication connection is not possible" in problems
        assert f"run ALTER ROLE {role} REPLICATION (on RDS and Aurora: GRANT rds_replication TO {role})" in done.stdout
        assert f"role {role} cannot create schemas" in "\n".join(levels(done.stdout)["warn"])
    finally:
        run_sql(database, f"drop owned by {role}; drop role {role}")


def test_the_doctor_finds_a_server_that_is_not_set_up_for_logical_replication(scratch: Path) -> None:
    settings = {"wal_level": "replica", "max_slot_wal_keep_size": "-1", "max_replication_slots": "0"}
    settings |= {"synchronous_standby_names": "ANY 1 (one, *)"}
    with started(postgres_18(scratch / "physical18", settings)) as server:
        done = realtime("doctor", "--dsn", server.dsn)
        found = levels(done.stdout)
        assert done.returncode == 1
        assert "wal_level is replica" in found["problem"]
        assert "no replication slots are allowed" in found["problem"]
        assert any(line.startswith("synchronous_standby_names is ANY 1 (one, *)") for line in found["problem"])
        assert any("max_slot_wal_keep_size is unlimited" in line for line in found["warn"])
        assert any("the database is not at this version" in line for line in found["problem"])


@pytest.mark.long
def test_a_standby_is_named_by_each_command_that_writes(scratch: Path) -> None:
    with started(postgres_18(scratch / "standby18")) as server:
        dsn = fresh_database(server)
        run_sql(dsn, "insert into realtime.slots (name) values ('of_a_node')")
        server.stop()
        (server.data_dir / "standby.signal").touch()
        server.start()
        for command in [("migrate",), ("expose", "t"), ("unexpose", "t"), ("grant", "x"), ("serve", "--migrate")]:
            done = realtime(*command, "--dsn", dsn)
            assert done.returncode == 1, command
            assert "this server is a standby, which cannot be written to: connect to the primary" in done.stderr
        done = realtime("serve", "--dsn", dsn, "--port", str(free_port()))
        assert done.returncode == 1
        assert "this server is a standby: connect to the primary" in done.stderr
        assert (
            "this server is a standby, which cannot be written to"
            in levels(realtime("doctor", "--dsn", dsn).stdout)["problem"]
        )
        for command in [("top",), ("channels",)]:
            done = realtime(*command, "--dsn", dsn)
            assert (done.returncode, "this server is a standby, which does not have the figures" in done.stderr) == (
                1,
                True,
            )
        for command in [("slots",), ("connections",)]:
            assert realtime(*command, "--dsn", dsn).returncode == 0
        with psycopg.connect(dsn) as connection:
            assert connection.execute("select slot, wal_status from realtime.stat_slots").fetchall() == []
