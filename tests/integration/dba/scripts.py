"""The scripts of deploy/postgres, run as the documentation has a DBA run them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.postgres.other_version import client_program

__all__ = ["psql"]

SCRIPTS = Path(__file__).parents[3] / "deploy" / "postgres"


def psql(dsn: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script for tables of the role ``app_owner``, as a superuser."""
    options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "owner=app_owner", "-d", dsn, "-f", str(SCRIPTS / script)]
    return subprocess.run([client_program("psql"), *options], capture_output=True, text=True, check=False)
