"""Real Postgres servers for the tests, one of each version per process, a fresh database per test that asks.

``pg18`` is the embedded server, or a container (``--image``, see :mod:`tests.support.postgres.containers`); ``pg15``
Debian's PostgreSQL 15 with wal2json (a failure under CI when missing, else a skip). ``pg`` is both in turn. ``database``
makes a migrated database on ``pg18``. Tests run in several processes at once (pytest-xdist); each has servers, ports and
a scratch folder of its own, so a test has its servers to itself.
"""

from __future__ import annotations

import gc
import inspect
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import structlog
from psycopg import sql
from structlog.testing import capture_logs

from server.cli.local_postgres import DEFAULTS, LocalPostgres
from server.cli.migration.migrate import migrate
from tests.support.clients.shared_tls import share_tls_contexts
from tests.support.examples import register_profiles
from tests.support.ordering import dealt
from tests.support.ports import free_port
from tests.support.postgres.other_version import OTHER_VERSION, runs_on_other_version

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from tests.support.postgres.containers import ContainerPostgres

DEBIAN_15 = Path("/usr/lib/postgresql/15")
SHARED_MEMORY = Path("/dev/shm")
ROOM = 8 << 30
"""Bytes that must be free in shared memory for the servers' data to be kept there."""

# What a crash of the machine would lose is of no interest here; a killed server loses nothing by these.
FAST = {"fsync": "off", "full_page_writes": "off", "max_prepared_transactions": "10"}

# Backends of tests are new, and most of their processor time goes into pages of memory that they touch for the first time,
# after each large statement again. So the C library asks for large pages and keeps what it has (glibc manual: Memory
# Allocation Tunables; other libraries ignore it): one that loads the catalog takes 16 ms of a processor and not 33.
ALLOCATION = ("hugetlb=1", "trim_threshold=67108864", "mmap_threshold=67108864")
ENVIRONMENT = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{each}" for each in ALLOCATION)}


def postgres_18(folder: Path, settings: dict[str, str] | None = None) -> LocalPostgres:
    """A PostgreSQL 18 (or ``OTHER_VERSION``) of a test's own in ``folder``, not started; delete it at the end, or see
    :func:`started`.
    """
    all_settings = FAST | (settings or {})
    return LocalPostgres(
        folder, port=free_port(), bin_dir=OTHER_VERSION, settings=all_settings, environment=ENVIRONMENT
    )


def postgres_15(folder: Path, settings: dict[str, str] | None = None) -> LocalPostgres:
    """The same of PostgreSQL 15 with wal2json. A test that makes one asks for ``pg15``, which knows whether it can."""
    bin_dir = DEBIAN_15 / "bin"
    all_settings = FAST | allow_wal2json(bin_dir) | (settings or {})
    return LocalPostgres(folder, port=free_port(), bin_dir=bin_dir, settings=all_settings, environment=ENVIRONMENT)


@cache
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


@contextmanager
def started(server: LocalPostgres) -> Iterator[LocalPostgres]:
    """``server``, started, and deleted at the end."""
    server.start()
    _KEPT[server] = None
    try:
        yield server
    finally:
        if (kept := _KEPT.pop(server)) is not None:
            kept.close()
        server.delete()


_KEPT: dict[object, psycopg.Connection[Any] | None] = {}
"""Of each server that :func:`started` has started a superuser's connection, once there was use for it. To open one for each
database that is made or dropped would take as long as half a database.
"""


@contextmanager
def _superuser(server: LocalPostgres) -> Iterator[psycopg.Connection[Any]]:
    """An autocommit connection to ``server``, which a test may have restarted since the last time."""
    if server not in _KEPT:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            yield connection
        return
    if (kept := _KEPT[server]) is not None:
        try:
            kept.execute("select")
        except psycopg.OperationalError:
            kept.close()
            kept = None
    if kept is None:
        kept = _KEPT[server] = psycopg.connect(server.dsn, autocommit=True)
    yield kept


MINUTES = {
    "oracle": "minutes of random histories, per decoder and server",
    "fault": "minutes of network faults per SDK",
    "fuzz": "minutes of hostile input, in all",
    "model": "minutes of random events among nodes and clients, in all",
}
"""Tests that go on for as long as ``--oracle-minutes N`` and the like ask for."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a run may be about."""
    parser.addoption("--image", help="PostgreSQL image of a container that replaces the embedded server (needs Docker)")
    parser.addoption("--without-database", action="store_true", help="only the tests that need no PostgreSQL")
    parser.addoption("--fault-seed", type=int, default=None, help="which network faults; at random if omitted")
    for name, meaning in MINUTES.items():
        parser.addoption(f"--{name}-minutes", type=float, default=0.0, help=meaning)


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """A signal to end is an interrupt, so that fixtures are torn down and no server is left behind. The profiles of
    Hypothesis are known before its plugin loads the one that is asked for.

    Tracebacks in the log are Python's own: with the variables of each frame, in colors, one takes 0.1 s of a processor.
    """
    gc.disable()  # up to the end of the collection, all of which stays
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    share_tls_contexts()
    register_profiles()
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--without-database``, keep the tests that need no PostgreSQL; with another version in the place of 18, those
    that concern it. With an option that has minutes, no test has a limit. Several processes begin with the long tests; see
    ``tests/support/ordering.py``.
    """
    if OTHER_VERSION is not None:
        config.hook.pytest_deselected(items=[item for item in items if not runs_on_other_version(item)])
        items[:] = [item for item in items if runs_on_other_version(item)]
    if config.getoption("--without-database"):
        needing = [item for item in items if _needs_database(item)]
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if not _needs_database(item)]
    if any(config.getoption(f"--{name}-minutes") for name in MINUTES):
        for item in items:
            item.add_marker(pytest.mark.timeout(0))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = dealt(long, [item for item in items if item not in long], processes)


def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: the collector does not look through it again, also when the process ends."""
    gc.freeze()
    gc.enable()


def _needs_database(item: pytest.Item) -> bool:
    """Whether a test uses a PostgreSQL server: by a fixture of this file, by picking a server by its name, as a fixture of
    its may do, or by itself (``@pytest.mark.own_database``).
    """
    if item.get_closest_marker("own_database"):
        return True
    if not isinstance(item, pytest.Function):
        return False
    if "getfixturevalue" in inspect.unwrap(item.obj).__code__.co_names:
        return True
    return any(
        name in ("scratch", "pg15", "pg18") or "getfixturevalue" in definition.func.__code__.co_names
        for name, definitions in item._fixtureinfo.name2fixturedefs.items()
        for definition in definitions
    )


@pytest.fixture(scope="session")
def fault_seed(request: pytest.FixtureRequest) -> int | None:
    """The value of ``--fault-seed``."""
    seed: int | None = request.config.getoption("--fault-seed")
    return seed


def _minutes(name: str) -> Callable[..., float]:
    @pytest.fixture(scope="session", name=f"{name}_minutes")
    def minutes(request: pytest.FixtureRequest) -> float:
        return float(request.config.getoption(f"--{name}-minutes"))

    return minutes


oracle_minutes, fault_minutes, fuzz_minutes, model_minutes = map(_minutes, MINUTES)


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """The log events of a test, as they come."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for the servers' data, in memory where there is room: databases come and go, and disks stall on that.

    Not pytest's own: that is closed to the user the servers run as.
    """
    in_memory = SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free >= ROOM
    with tempfile.TemporaryDirectory(prefix="realtime-test-", dir=SHARED_MEMORY if in_memory else None) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def pg18(request: pytest.FixtureRequest) -> Iterator[LocalPostgres | ContainerPostgres]:
    """The embedded PostgreSQL 18, or the container of ``--image``."""
    image: str | None = request.config.getoption("--image")
    if image is not None:
        from tests.support.postgres.containers import started_container  # Docker's client takes half a second to import

        with started_container(image, DEFAULTS | FAST | {"listen_addresses": "*"}) as container:
            yield container
        return
    scratch: Path = request.getfixturevalue("scratch")
    with started(postgres_18(scratch / "pg18")) as server:
        yield server


@pytest.fixture(scope="session")
def pg15(scratch: Path) -> Iterator[LocalPostgres]:
    """Debian's PostgreSQL 15, which has wal2json."""
    if not (DEBIAN_15 / "lib" / "wal2json.so").exists():
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL 15 with wal2json is missing; `make test` installs it")
        pytest.skip("PostgreSQL 15 with wal2json is not installed")
    with started(postgres_15(scratch / "pg15")) as server:
        yield server


@pytest.fixture(params=["pg18", "pg15"])
def pg(request: pytest.FixtureRequest) -> LocalPostgres:
    """Both servers, in turn."""
    server: LocalPostgres = request.getfixturevalue(request.param)
    return server


def fresh_database(server: LocalPostgres, *, migrated: bool = True) -> str:
    """A new database on ``server``; returns its DSN. Migrated ones of a server are copies of one."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with _superuser(server) as connection:
        template = _template(server, connection) if migrated else "template1"
        # Copying files takes half as long as copying pages through the WAL, and leaves nothing there to be decoded.
        # PostgreSQL 14 knows nothing else.
        strategy = "strategy file_copy" if connection.info.server_version >= 150000 else ""
        connection.execute(
            sql.SQL("create database {} template {} {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.SQL(strategy)
            )
        )
    return server.dsn_for(name)


def _template(server: LocalPostgres, connection: psycopg.Connection[Any]) -> str:
    """The migrated database to be copied: one per server and day, as a migration makes partitions for the days to come.

    It gets its name when it is whole.
    """
    name = f"migrated_{datetime.now(UTC):%Y%m%d}"
    if connection.execute("select from pg_database where datname = %s", [name]).fetchone() is not None:
        return name
    connection.execute("drop database if exists migrating")
    connection.execute("create database migrating")
    migrate(server.dsn_for("migrating"))
    # As autovacuum leaves a database: without statistics of the catalogs, sessions of a node fill tables of hashes in memory
    # that are far too large, which takes a sixth of what starting it takes.
    with psycopg.connect(server.dsn_for("migrating"), autocommit=True) as migrating:
        migrating.execute("vacuum (analyze)")
    connection.execute(sql.SQL("alter database migrating rename to {}").format(sql.Identifier(name)))
    return name


def drop_database(server: LocalPostgres, dsn: str) -> None:
    """Drop a database made by :func:`fresh_database`, with any slot left in it."""
    name = dsn.rsplit("/", 1)[1]
    with _superuser(server) as connection:
        connection.execute(
            "select pg_terminate_backend(active_pid, 60000) from pg_replication_slots where database = %s and active",
            [name],
        )
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s", [name]
        )
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@contextmanager
def database_on(server: LocalPostgres, *statements: str, migrated: bool = True) -> Iterator[str]:
    """The DSN of a fresh database on ``server`` in which ``statements`` were run, each committed; dropped at the end."""
    dsn = fresh_database(server, migrated=migrated)
    try:
        if statements:
            with psycopg.connect(dsn, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement.encode())
        yield dsn
    finally:
        drop_database(server, dsn)


@pytest.fixture
def database(pg18: LocalPostgres) -> Iterator[str]:
    """The DSN of a fresh, migrated database on the embedded server."""
    with database_on(pg18) as dsn:
        yield dsn


@pytest.fixture
def database15(pg15: LocalPostgres) -> Iterator[str]:
    """The DSN of a fresh, migrated database on PostgreSQL 15 with wal2json."""
    with database_on(pg15) as dsn:
        yield dsn
