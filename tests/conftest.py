"""Real Postgres servers for the tests, one of each version per run, a fresh database per test that asks.

``pg18`` is the embedded server; ``pg15`` Debian's PostgreSQL 15 with wal2json (a failure under CI when missing, else a
skip). ``pg`` is both in turn. ``database`` makes a migrated database on ``pg18``.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from server.local_postgres import LocalPostgres
from server.migrate import migrate

DEBIAN_15 = Path("/usr/lib/postgresql/15")


def allow_wal2json(bin_dir: Path) -> dict[str, str]:
    """The setting that lets replication users name wal2json.

    Minor releases since 15.19 refuse output plugins that are not listed (CVE-2026-6471); older ones refuse the setting.
    """
    known = subprocess.run(
        [str(bin_dir / "postgres"), "--describe-config"], capture_output=True, text=True, check=True
    ).stdout
    if "output_plugin_libraries" not in known:
        return {}
    return {"output_plugin_libraries": "pgoutput, test_decoding, wal2json"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--oracle-minutes N``: let the oracle test go on for N minutes per decoder and server."""
    parser.addoption("--oracle-minutes", type=float, default=0.0, help="minutes of random histories per decoder")


@pytest.fixture(scope="session")
def oracle_minutes(request: pytest.FixtureRequest) -> float:
    """The value of ``--oracle-minutes``."""
    minutes: float = request.config.getoption("--oracle-minutes")
    return minutes


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for the servers' data. Not pytest's own: that is closed to the user the servers run as."""
    with tempfile.TemporaryDirectory(prefix="realtime-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def pg18(scratch: Path) -> Iterator[LocalPostgres]:
    """The embedded PostgreSQL 18."""
    server = LocalPostgres(scratch / "pg18", settings={"fsync": "off", "max_prepared_transactions": "10"})
    server.start()
    yield server
    server.delete()


@pytest.fixture(scope="session")
def pg15(scratch: Path) -> Iterator[LocalPostgres]:
    """Debian's PostgreSQL 15, which has wal2json."""
    if not (DEBIAN_15 / "lib" / "wal2json.so").exists():
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL 15 with wal2json is missing; `make test` installs it")
        pytest.skip("PostgreSQL 15 with wal2json is not installed")
    server = LocalPostgres(
        scratch / "pg15",
        bin_dir=DEBIAN_15 / "bin",
        settings={"fsync": "off", "max_prepared_transactions": "10", **allow_wal2json(DEBIAN_15 / "bin")},
    )
    server.start()
    yield server
    server.delete()


@pytest.fixture(params=["pg18", "pg15"])
def pg(request: pytest.FixtureRequest) -> LocalPostgres:
    """Both servers, in turn."""
    server: LocalPostgres = request.getfixturevalue(request.param)
    return server


def fresh_database(server: LocalPostgres, *, migrated: bool = True) -> str:
    """A new database on ``server``; returns its DSN."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    dsn = server.dsn_for(name)
    if migrated:
        migrate(dsn)
    return dsn


def drop_database(server: LocalPostgres, dsn: str) -> None:
    """Drop a database made by :func:`fresh_database`, with any slot left in it."""
    name = dsn.rsplit("/", 1)[1]
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where database = %s and active", [name]
        )
        for (slot,) in connection.execute(
            "select slot_name from pg_replication_slots where database = %s", [name]
        ).fetchall():
            connection.execute("select pg_drop_replication_slot(%s)", [slot])
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def database(pg18: LocalPostgres) -> Iterator[str]:
    """The DSN of a fresh, migrated database on the embedded server."""
    dsn = fresh_database(pg18)
    yield dsn
    drop_database(pg18, dsn)


@pytest.fixture
def database15(pg15: LocalPostgres) -> Iterator[str]:
    """The DSN of a fresh, migrated database on PostgreSQL 15 with wal2json."""
    dsn = fresh_database(pg15)
    yield dsn
    drop_database(pg15, dsn)
