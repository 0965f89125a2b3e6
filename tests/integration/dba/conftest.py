"""A cluster of its own of each version: without other databases, roles of this service can go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import postgres_15, postgres_18, started


@pytest.fixture(scope="session", params=["pg18", "pg15"])
def cluster(scratch: Path, request: pytest.FixtureRequest) -> Iterator[LocalPostgres]:
    """A server without a database of this service. A test drops what it makes."""
    make = postgres_18
    if request.param == "pg15":
        request.getfixturevalue("pg15")  # knows whether there is one
        make = postgres_15
    with started(make(scratch / f"alone_{request.param}")) as server:
        yield server
