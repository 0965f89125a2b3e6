"""A database in which nothing can be written: each command names the setting, and its advice ends it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from engine.postgres.read_only import read_only_reason
from engine.postgres.statements.named_queries import query
from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.doctor.finding import Finding
from server.cli.migration.migrate import migrate
from tests.integration.cli.test_cli import empty_database
from tests.support.postgres.sql import run_sql
from tests.support.servers.commands import realtime

__all__ = ["empty_database"]

SETTING = "default_transaction_read_only"


def problems(dsn: str) -> list[Finding]:
    return [finding for finding in diagnose(dsn, Settings()) if finding.level == "problem"]


@pytest.fixture
def owner(database: str) -> Iterator[str]:
    """The DSN of the owner of the database, who has a name that needs quotes."""
    name = f"Owner {uuid.uuid4().hex[:8]}"
    run_sql(database, f'create role "{name}" superuser login replication; alter role "{name}" set lock_timeout = 0')
    yield database.replace("postgres@", f"{name.replace(' ', '%20')}@")
    run_sql(writing(database), f'drop owned by "{name}"; drop role "{name}"')


def writing(dsn: str) -> str:
    """The same database, for a session that writes whatever is set."""
    return f"{dsn}?options=-c%20{SETTING}%3Doff"


@pytest.mark.parametrize("where", ["database", "role", "role in database"])
def test_doctor_names_the_setting_that_makes_a_database_read_only_and_its_advice_ends_that(
    database: str, owner: str, where: str
) -> None:
    database_name = database.rsplit("/", 1)[1]
    role = re.sub("%20", " ", owner.split("//")[1].split("@")[0])
    changed, reported = {
        "database": (f"database {database_name}", f"database {database_name}"),
        "role": (f'role "{role}"', f'role "{role}"'),
        "role in database": (
            f'role "{role}" in database {database_name}',
            f'role "{role}" in database {database_name}',
        ),
    }[where]
    assert problems(owner) == []
    run_sql(database, f"alter {changed} set {SETTING} = on")
    [found] = problems(owner)
    assert found.text == f"nothing can be written: {SETTING} is on for {reported}"
    run_sql(owner, found.remedy)  # in the read-only session itself
    assert problems(owner) == []


def test_every_command_that_writes_reports_what_is_read_only_and_the_remedy(database: str, owner: str) -> None:
    name = database.rsplit("/", 1)[1]
    run_sql(
        database,
        "create table t (id int primary key); create table u (id int primary key); select realtime.expose('u')",
    )
    run_sql(database, f"alter database {name} set {SETTING} = on")
    commands = [("expose", "t"), ("unexpose", "u"), ("grant", "postgres")]
    for command in commands:
        done = realtime(*command, "--dsn", owner)
        assert done.returncode == 1, command
        assert done.stderr.startswith(
            f"realtime: nothing can be written: {SETTING} is on for database {name}: "
            f"BEGIN READ WRITE; ALTER DATABASE {name} RESET {SETTING}; COMMIT;"
        ), command
        assert "Or, for this command alone, add options=" in done.stderr
        assert done.stderr.count("\n") == 1
    assert realtime("migrate", "--dsn", owner).stdout == "already up to date\n"  # nothing to write
    assert realtime("expose", "t", "--dsn", writing(owner)).returncode == 0


def test_a_first_migrate_of_a_read_only_database_is_refused_with_the_way_out(empty_database: str) -> None:
    name = empty_database.rsplit("/", 1)[1]
    run_sql(empty_database, f"alter database {name} set {SETTING} = on")
    done = realtime("migrate", "--dsn", empty_database)
    assert (done.returncode, f"ALTER DATABASE {name} RESET {SETTING}" in done.stderr) == (1, True), done.stderr
    assert migrate(writing(empty_database)) != []


def test_a_server_or_a_dsn_that_is_read_only_is_named_as_such(database: str) -> None:
    run_sql(database, "create table t (id int primary key)")
    read_only = f"{database}?options=-c%20{SETTING}%3Don"
    done = realtime("expose", "t", "--dsn", read_only)
    assert f"{SETTING} is on in the options of the DSN: remove -c {SETTING}=on from the DSN" in done.stderr

    def is_set(value: str) -> bool:
        with psycopg.connect(database) as connection:
            return connection.execute(f"show {SETTING}".encode()).fetchone() == (value,)

    run_sql(database, f"alter system set {SETTING} = on")
    try:
        run_sql(database, "select pg_reload_conf()")
        while not is_set("on"):
            pass
        [found] = problems(database)
        assert found.text == f"nothing can be written: {SETTING} is on for the whole server"
        statements = found.remedy.split(" (")[0].split("; ")
    finally:
        run_sql(database, f"alter system reset {SETTING}")
        run_sql(database, "select pg_reload_conf()")
        while not is_set("off"):
            pass
    assert statements == [f"ALTER SYSTEM RESET {SETTING}", "SELECT pg_reload_conf();"]


def test_a_setting_of_all_roles_or_of_the_servers_command_line_is_named_too(database: str) -> None:
    with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as connection:
        row = connection.execute(query("read_only_source")).fetchone()
    assert row is not None
    assert read_only_reason(row) is None
    everyone = read_only_reason(row | {"read_only": True, "source": "global"})
    assert str(everyone) == (
        f"nothing can be written: {SETTING} is on for all roles: BEGIN READ WRITE; ALTER ROLE ALL RESET {SETTING}; COMMIT;"
    )
    command_line = read_only_reason(row | {"read_only": True, "source": "command line"})
    assert "(set by: command line): restart PostgreSQL without it" in str(command_line)
