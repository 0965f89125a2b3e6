"""A database that is dumped, and restored into a cluster that has none of its roles."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest

from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres, embedded_bin_dir
from server.cli.migration.migrate import MigrationError, check_served, migrate
from tests.conftest import database_on, postgres_18, started

SOURCE = (
    "create role app",
    "grant realtime_publisher to app",
    "create role dba_made login replication",
    "select realtime.grant_server('dba_made')",
    "create schema shop",
    "create table shop.items (id int primary key, title text, secret text)",
    "insert into shop.items values (1, 'one', 's')",
    "select realtime.expose('shop.items', columns => '{id,title}')",
    "create table parts (id int primary key) partition by range (id)",
    "create table parts_1 partition of parts for values from (0) to (10)",
    "select realtime.expose('parts')",
    "select realtime.broadcast('chat', 'e', '1')",
    "insert into realtime.nodes (id, host, pid, started_at, lease_expires_at, schema_version) "
    "values ('old', 'h', 1, now() - interval '1 hour', now() - interval '1 minute', 1)",
    "insert into realtime.slots (name, node) values ('old', 'old')",
    "insert into realtime.lost_nodes (id) values ('lost')",
    "insert into realtime.rules (channel, rules) values ('chat:*', '{\"publish\": \"false\"}')",
    "select realtime.create_api_key('a key', 'secret')",
    "insert into realtime.sessions (id, user_id) values ('s', 'ada')",
    "insert into realtime.alerts (rule, measure, subject, severity, value, threshold) "
    "values ('slot_lag', 'slot_lag_bytes', 'old', 'warning', 2, 1)",
)
KEPT = """
select (select count(*) from realtime.rules), (select count(*) from realtime.api_keys where revoked_at is null),
  (select count(*) from realtime.sessions), (select count(*) from realtime.alert_rules where enabled) > 0
"""


def problems(dsn: str) -> str:
    return "\n".join(
        f"{found.text} -> {found.remedy}" for found in diagnose(dsn, Settings()) if found.level == "problem"
    )


def test_a_migrate_makes_the_roles_and_grants_that_a_restore_came_without(pg18: LocalPostgres, scratch: Path) -> None:
    bin_dir = embedded_bin_dir()
    with database_on(pg18, *SOURCE) as source, started(postgres_18(scratch / "elsewhere18")) as elsewhere:
        try:
            dump = subprocess.run([bin_dir / "pg_dump", source], capture_output=True, check=True).stdout
        finally:
            with psycopg.connect(source, autocommit=True) as connection:
                connection.execute("drop owned by app, dba_made; drop role app, dba_made")
        restored = elsewhere.dsn
        done = subprocess.run([bin_dir / "psql", "-q", restored], input=dump, capture_output=True, check=True)
        assert b'role "realtime_reader" does not exist' in done.stderr

        with pytest.raises(MigrationError, match=r"the role realtime_reader does not exist .*run `realtime migrate`"):
            check_served(restored)
        found = problems(restored)
        assert "the role realtime_reader does not exist in this cluster" in found
        assert "the role realtime_publisher does not exist in this cluster" in found

        with psycopg.connect(restored, autocommit=True) as connection:
            connection.execute("create role realtime_reader nologin noinherit")
            with pytest.raises(MigrationError, match=r"realtime_reader has no privileges on .*shop.items"):
                check_served(restored)
            assert "GRANT SELECT (id, title) ON shop.items TO realtime_reader;" in problems(restored)

            reported = migrate(restored)
            assert "made the role realtime_publisher" in reported
            assert "gave realtime_reader the exposed columns of shop.items (collection items)" in reported
            assert migrate(restored) == []
            check_served(restored)
            assert problems(restored) == ""

            assert connection.execute(KEPT).fetchone() == (1, 1, 1, True)
            assert connection.execute("select realtime.adopt_cluster()").fetchone() == (True,)
            connection.execute(
                "insert into realtime.nodes (id, host, pid, started_at, lease_expires_at, schema_version) "
                "values ('here', 'h', 1, now(), now() + interval '1 hour', 1)"
            )
            connection.execute("select realtime.judge_alerts('here', '{}', '{}')")
            assert connection.execute("select rule, subject, cleared_because from realtime.alerts").fetchall() == [
                ("slot_lag", "old", "subject")
            ]
            assert connection.execute("select * from realtime.alert_pending").fetchall() == []

            connection.execute("set role realtime_reader")
            assert connection.execute("select id, title from shop.items").fetchall() == [(1, "one")]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select secret from shop.items")
            connection.execute("reset role; create role app; grant realtime_publisher to app; set role app")
            connection.execute("select realtime.broadcast('chat', 'e', '2')")
            connection.execute("reset role; create role dba_made login replication")
            migrate(restored)
            lacks = "select count(*) from realtime.missing_privileges('dba_made', 'serve')"
            assert connection.execute(lacks).fetchone() == (0,)
