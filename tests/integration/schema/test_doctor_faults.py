"""What keeps a server from starting: the doctor reports it to the role that is to serve, and its advice removes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.doctor.finding import Finding
from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import postgres_18, started
from tests.support.postgres.sql import run_sql
from tests.support.servers.commands import realtime

SETTINGS = Settings(pool_size=1, rest_pool_size=1)
ROOM = 13 + 2  # what a node with those settings opens at most
SMALL = {"max_replication_slots": "1", "max_wal_senders": "2", "max_connections": str(ROOM + 6)}


@pytest.fixture(scope="module")
def server(scratch: Path) -> Iterator[LocalPostgres]:
    with started(postgres_18(scratch / "small18", SMALL)) as server:
        migrate(server.dsn)
        run_sql(server.dsn, "create table items (id int primary key); select realtime.expose('items')")
        run_sql(server.dsn, "create role server login replication; select realtime.grant_server('server')")
        yield server


def problems(server: LocalPostgres) -> list[Finding]:
    found = diagnose(server.dsn.replace("postgres@", "server@"), SETTINGS)
    return [finding for finding in found if finding.level == "problem"]


@pytest.mark.parametrize(
    ("damage", "reported"),
    [
        ("alter role server noreplication", "a replication connection is not possible"),
        ("revoke usage on schema realtime from server, public", "role server has no privileges in the schema realtime"),
        ("revoke select on realtime.nodes from server", "lacks privileges that serving needs"),
        ("revoke update (updated_at) on realtime.channels from server", "lacks privileges that serving needs"),
        ("revoke execute on function realtime.adopt_cluster() from server", "lacks privileges that serving needs"),
        ("revoke realtime_reader from server", "cannot become realtime_reader"),
        ("revoke temporary on database postgres from server, public", "may not make temporary objects"),
        ("drop publication bunbase_realtime", "the publication bunbase_realtime is missing"),
        ("alter publication bunbase_realtime set (publish = 'insert')", "does not publish everything"),
        ("alter publication bunbase_realtime drop table items", "public.items is not in the publication"),
        (
            "alter role server connection limit 3",
            "3 of 3 connections for role server are free, and a node opens 7 to 15",
        ),
        ("alter database postgres connection limit 5", "connections to database postgres are free"),
    ],
)
def test_a_finding_carries_advice_that_mends_it(server: LocalPostgres, damage: str, reported: str) -> None:
    assert problems(server) == []
    run_sql(server.dsn, damage)
    found = problems(server)
    assert any(reported in finding.text for finding in found), found
    for _ in range(2):  # what the role may see by then can be a problem, too
        for finding in found:
            for remedy in finding.remedy.splitlines():
                follow(server, remedy)
        found = problems(server)
    assert found == []


def test_workers_need_connections_of_their_own_and_share_pools(server: LocalPostgres) -> None:
    run_sql(server.dsn, "alter role server connection limit 20")
    workers = SETTINGS.model_copy(update={"workers": 3, "pool_size": 8, "rest_pool_size": 4})
    found = [str(each) for each in diagnose(server.dsn.replace("postgres@", "server@"), workers)]
    assert any("20 of 20 connections" in each and "a server of 3 workers opens 20 to 38" in each for each in found)
    run_sql(server.dsn, "alter role server connection limit -1")


def follow(server: LocalPostgres, remedy: str) -> None:
    """Do what the doctor advises, as the superuser: its SQL, else its commands."""
    statement = re.split(r" +\((?:all|on|or)", remedy)[0].removeprefix("run ")
    if command := re.search(r"`realtime (\w+)( \w+)?`", statement):
        done = realtime(*command.group().strip("`").split()[1:], "--dsn", server.dsn)
        assert done.returncode == 0, done.stderr
    else:
        run_sql(server.dsn, statement)


def test_slots_senders_and_connections_that_are_all_taken_are_found(server: LocalPostgres) -> None:
    mine = server.dsn.replace("postgres@", "server@")
    run_sql(server.dsn, "alter database postgres connection limit -1; alter role server connection limit -1")
    run_sql(server.dsn, "select pg_create_physical_replication_slot('taken')")
    with ExitStack() as stack:
        for _ in range(2):
            walsender = stack.enter_context(psycopg.connect(f"{server.dsn}?replication=database", autocommit=True))
            walsender.execute("IDENTIFY_SYSTEM")
        reported = {finding.text: str(finding.remedy) for finding in problems(server)}
        taken = [text for text in reported if text.startswith("all ")]
        assert [text.split(" (")[0] for text in taken] == [
            "all 1 replication slots are taken",
            "all 2 WAL senders are taken",
        ]
        assert reported[taken[0]] == "ALTER SYSTEM SET max_replication_slots = 10; then restart PostgreSQL."
        assert "raise max_wal_senders and restart PostgreSQL" in reported.values()
        for _ in range(ROOM + 2):
            stack.enter_context(psycopg.connect(server.dsn))
        assert any("free, and a node opens 7 to 15" in finding.text for finding in problems(server))
        stack.enter_context(psycopg.connect(server.dsn))
        refused = realtime("doctor", "--dsn", mine)
        assert refused.returncode == 3
        # "for roles with the SUPERUSER attribute", and before PostgreSQL 16 "for non-replication superuser connections"
        assert re.search(r"reserved for [\w -]+: end sessions, or raise max_connections", refused.stderr)
    run_sql(server.dsn, "select pg_drop_replication_slot('taken')")
    run_sql(server.dsn, "revoke connect on database postgres from server, public")
    refused = realtime("serve", "--port", "0", "--dsn", mine)
    assert (refused.returncode, "run `realtime grant ROLE` as the owner" in refused.stderr) == (3, True), refused.stderr
    assert realtime("grant", "server", "--dsn", server.dsn).returncode == 0
    server.settings["wal_level"] = "replica"
    server.restart()
    [finding] = problems(server)
    assert (finding.text, finding.remedy) == (
        "wal_level is replica",
        "ALTER SYSTEM SET wal_level = 'logical'; then restart PostgreSQL.",
    )
    server.settings["wal_level"] = "logical"
    server.restart()
    assert problems(server) == []
