"""What a connection string and our own parameters give libpq together, and what they contain: address and time limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict

from engine.postgres.connections.session_settings import SESSION_SETTINGS, startup_options

__all__ = ["CONNECT_TIMEOUT", "address", "answer_timeout", "connect_timeout", "parameters"]

CONNECT_TIMEOUT: Final = 10
"""Seconds after which an attempt to connect is given up, unless the DSN or ``PGCONNECT_TIMEOUT`` sets another time."""

_DEFAULTS: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds: what was sent and is not acknowledged ends the connection
}


def parameters(
    dsn: str, name: str, settings: Mapping[str, str] | None = None, *, pooled: bool = False
) -> dict[str, Any]:
    """What libpq is given beside ``dsn``.

    Args:
        dsn: the connection string; what it sets is kept, but for its ``client_encoding``.
        name: the ``application_name``.
        settings: session settings beside ours.
        pooled: a pooler is at the other end, which takes no ``options``.

    Raises ``psycopg.ProgrammingError`` if ``dsn`` is no connection string.
    """
    parameters = conninfo_to_dict(dsn)
    more: dict[str, Any] = {key: value for key, value in _DEFAULTS.items() if key not in parameters}
    if "connect_timeout" not in parameters and "PGCONNECT_TIMEOUT" not in os.environ:
        more["connect_timeout"] = CONNECT_TIMEOUT
    if not pooled:
        own = str(parameters.get("options") or "")
        more["options"] = f"{own} {startup_options(**(settings or {}))}".lstrip()
    more["application_name"] = name
    more["client_encoding"] = SESSION_SETTINGS["client_encoding"]  # PGCLIENTENCODING would override the options
    return more


def answer_timeout(dsn: str) -> float:
    """Seconds within which a command wants each of its statements answered: three times ``connect_timeout``."""
    return 3.0 * (float(str(connect_timeout(dsn, parameters(dsn, "")))) or CONNECT_TIMEOUT)


def address(dsn: str) -> str:
    """Where ``dsn`` leads to, in words, without its password."""
    parameters = conninfo_to_dict(dsn)
    host = parameters.get("hostaddr") or parameters.get("host") or os.environ.get("PGHOST") or "the local socket"
    port = parameters.get("port") or os.environ.get("PGPORT") or "5432"
    return f"{host} port {port}"


def connect_timeout(dsn: str, given: Mapping[str, Any]) -> object:
    """Seconds after which an attempt to connect with ``given`` beside ``dsn`` is given up."""
    return (
        given.get("connect_timeout") or conninfo_to_dict(dsn).get("connect_timeout") or os.environ["PGCONNECT_TIMEOUT"]
    )
