"""PgBouncer in transaction mode."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.support.ports import free_port
from tests.support.servers.installed import installed
from tests.support.servers.processes import GIVE_UP_AFTER

__all__ = ["pgbouncer", "pooler"]


def pgbouncer() -> str:
    """The program (a failure under CI when missing, else a skip)."""
    return installed("pgbouncer")


@contextmanager
def pooler(program: str, folder: Path, dsn: str, *lines: str) -> Iterator[str]:
    """PgBouncer before ``dsn`` with two server connections; yields the DSN that goes through it."""
    port, at = free_port(), urlsplit(dsn)
    folder.chmod(0o755)
    config = folder / "pgbouncer.ini"
    settings = [
        f"[databases]\n* = host=127.0.0.1 port={at.port} user=postgres",
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any",
        "pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 200\nserver_round_robin = 1",
        *lines,
    ]
    config.write_text("\n".join(settings) + "\n")
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([program, "-q", *user, str(config)])
    address = f"postgresql://postgres@127.0.0.1:{port}{at.path}"
    try:
        for _ in range(600):
            try:
                psycopg.connect(address).close()
                break
            except psycopg.OperationalError:
                assert process.poll() is None
        yield address
    finally:
        process.terminate()
        process.wait(GIVE_UP_AFTER)
