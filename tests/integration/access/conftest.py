"""One server for the tables of who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.access.judged import Credential, credentials, prepare, remove, settings
from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import ServerProcess, serving


@dataclass(frozen=True)
class Judged:
    """The server, its database, and the credentials to try."""

    server: ServerProcess
    dsn: str
    credentials: dict[str, Credential]


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def judged(pg18: LocalPostgres) -> AsyncIterator[Judged]:
    with database_on(pg18) as dsn:
        prepare(dsn)
        try:
            async with serving(dsn, free_port(), slot_name=slot_name(), ephemeral=True, **settings()) as server:
                yield Judged(server, dsn, dict(credentials(dsn)))
        finally:
            remove(dsn)
