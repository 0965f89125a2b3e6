"""Each server and decoder in turn, for what both decoders must get right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from engine.feed.settings import DecoderName
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on


@dataclass
class Place:
    """A fresh, migrated database on some server, to be followed by some decoder."""

    dsn: str
    decoder: DecoderName


@pytest.fixture(params=["pg18-pgoutput", "pg15-wal2json"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each server and decoder in turn."""
    server_name, decoder = request.param.split("-")
    server: LocalPostgres = request.getfixturevalue(server_name)
    with database_on(server) as dsn:
        yield Place(dsn, decoder)
