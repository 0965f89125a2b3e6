"""A standby that streams from a primary of a test's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from server.cli.local_postgres import LocalPostgres
from tests.conftest import postgres_18
from tests.integration.dba.catalogs import run

__all__ = ["either_of", "streaming_standby"]

SLOT = "of_the_standby"


@contextmanager
def streaming_standby(
    primary: LocalPostgres,
    settings: dict[str, str] | None = None,
    make: Callable[[Path, dict[str, str]], LocalPostgres] = postgres_18,
) -> Iterator[LocalPostgres]:
    """A copy of ``primary``, which is restarted for that; it follows through a physical slot. Deleted at the end.

    ``primary`` was made by ``make``.
    """
    run(primary.dsn, f"select pg_create_physical_replication_slot('{SLOT}', true)")
    primary.stop()
    folder = primary.data_dir.with_name(f"{primary.data_dir.name}_standby")
    shutil.copytree(primary.data_dir, folder, ignore=shutil.ignore_patterns("pg_replslot"))
    (folder / "pg_replslot").mkdir()
    (folder / "standby.signal").touch()
    owner = primary.data_dir.stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    primary.start()
    following = {
        "primary_conninfo": f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres",
        "primary_slot_name": SLOT,
        "hot_standby_feedback": "on",
    }
    standby = make(folder, following | (settings or {}))
    try:
        standby.start()
        yield standby
    finally:
        standby.delete()


def either_of(dsn: str, *servers: LocalPostgres) -> str:
    """``dsn`` with the addresses of all servers: that of the primary is taken."""
    name = dsn.rpartition("/")[2]
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://postgres@{hosts}/{name}?target_session_attrs=read-write"
