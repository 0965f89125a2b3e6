"""What the tests that need a server share: a source per server and decoder, servers that may be restarted, a table,
REST clients.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from engine.feed.settings import DecoderName
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, postgres_15, postgres_18, started
from tests.support.clients.list_client import TABLE, write
from tests.support.servers.rest_api import KEY, started_api

SETTINGS = {
    "max_prepared_transactions": "20",
    # No session waits for the standby that is not there but one that sets synchronous_commit to on.
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


@dataclass
class Source:
    """A fresh, migrated database on some server, to be followed by some decoder."""

    dsn: str
    decoder: DecoderName


@pytest.fixture(params=["pg18-pgoutput", "pg15-wal2json"])
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    """Each server and decoder in turn."""
    server_name, decoder = request.param.split("-")
    server: LocalPostgres = request.getfixturevalue(server_name)
    with database_on(server) as dsn:
        yield Source(dsn, decoder)


@pytest.fixture
def table(database: str) -> str:
    write(database, TABLE)
    return database


@pytest.fixture
async def http(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """Asks an API without a key, from this machine."""
    async with started_api(database) as client:
        yield client


@pytest.fixture
async def keyed(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """Asks an API with a key, from elsewhere; it gives none."""
    async with started_api(database, KEY, address="203.0.113.5") as client:
        yield client
