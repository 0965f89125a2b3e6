"""A PostgreSQL that parts in other namespaces reach."""

from __future__ import annotations

from pathlib import Path

from server.cli.local_postgres import LocalPostgres
from tests.cluster.namespaces.namespaces import NETWORK
from tests.conftest import postgres_18

__all__ = ["REACHABLE", "let_in_others", "reachable_postgres"]

REACHABLE = {"listen_addresses": "*"}
"""Settings of a server; see also :func:`let_in_others`."""


def reachable_postgres(folder: Path, settings: dict[str, str] | None = None) -> LocalPostgres:
    """As :func:`tests.conftest.postgres_18`, which listens on all addresses."""
    return postgres_18(folder, REACHABLE | (settings or {}))


def let_in_others(postgres: LocalPostgres) -> None:
    """Trust everybody in the namespaces. The server runs, and is restarted."""
    with (postgres.data_dir / "pg_hba.conf").open("a") as access:
        access.write(f"host all all {NETWORK} trust\n")
    postgres.restart()
