"""Servers for the live-query tests that may be restarted and reconfigured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, postgres_15, postgres_18, started

SETTINGS = {
    "max_prepared_transactions": "20",
    # Nobody waits for the standby that is not there but a session that sets synchronous_commit to on.
    "synchronous_standby_names": "nobody",
    "synchronous_commit": "local",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "max_slot_wal_keep_size": "4GB",
}


@pytest.fixture(scope="session")
def own18(scratch: Path) -> Iterator[LocalPostgres]:
    """A PostgreSQL 18 of our own."""
    with started(postgres_18(scratch / "live18", SETTINGS)) as server:
        yield server


@pytest.fixture(scope="session")
def own15(scratch: Path, pg15: LocalPostgres) -> Iterator[LocalPostgres]:
    """The same of PostgreSQL 15 with wal2json (skipped or failed as ``pg15`` is)."""
    with started(postgres_15(scratch / "live15", SETTINGS)) as server:
        yield server


@pytest.fixture
def dsn(own18: LocalPostgres) -> Iterator[str]:
    """A fresh, migrated database on ``own18``."""
    with database_on(own18) as dsn:
        yield dsn
