"""Logins that PostgreSQL refuses, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import sql

from engine.errors import BunbaseError
from engine.postgres.connections.conninfo import address, connect_timeout

__all__ = ["POOLER_IN_THE_WAY", "REFUSALS", "ReplicaRoleError", "explained"]

POOLER_IN_THE_WAY: Final = (
    "a connection pooler answers there; dsn must lead to PostgreSQL itself (give the pooler's address as pooled_dsn)"
)
REFUSALS: Final = {
    "password authentication failed": "check the user and password of the DSN",
    "no pg_hba.conf entry": "allow this host in pg_hba.conf",
    "does not exist": "check the database and role of the DSN",
    "is not permitted to log in": "run ALTER ROLE … LOGIN for the role of the DSN",
    "does not have CONNECT privilege": "run `realtime grant ROLE` as the owner of the database (GRANT CONNECT ON DATABASE)",
}
"""What to do about a login that PostgreSQL refuses until its cause is removed, by its words.

A refused login carries no SQLSTATE in libpq. Words of another language are shown as they are.
"""

_NO_ROOM: Final = {
    "too many connections for role": "end sessions of the role, or raise its limit: ALTER ROLE … CONNECTION LIMIT …",
    "too many connections for database": "end sessions there, or raise its limit: ALTER DATABASE … CONNECTION LIMIT …",
    "too many clients already": "end sessions, or raise max_connections and restart PostgreSQL",
    "remaining connection slots are reserved": "end sessions, or raise max_connections and restart PostgreSQL",
}


class ReplicaRoleError(BunbaseError, psycopg.OperationalError):
    """The session has ``session_replication_role = replica``, and its role may not change that.

    ``reason``: that in words; ``remedy``: the SQL that removes the cause.
    """

    def __init__(self, role: str) -> None:
        name = sql.Identifier(role).as_string()
        self.reason = (
            f"session_replication_role is replica here, under which triggers do not see what this service writes, and role "
            f"{name} may not set it back"
        )
        self.remedy = (
            f"ALTER ROLE {name} SET session_replication_role = origin; (or since PostgreSQL 15 GRANT SET ON PARAMETER "
            f"session_replication_role TO {name}; as a superuser)"
        )
        super().__init__(f"{self.reason}: {self.remedy}")


def explained(error: psycopg.OperationalError, dsn: str, given: Mapping[str, Any]) -> psycopg.OperationalError:
    """``error``, with what to do where that is not plain from it."""
    if "unsupported startup parameter" in str(error):  # PgBouncer's words
        return psycopg.OperationalError(f"{str(error).strip()}: {POOLER_IN_THE_WAY}")
    if not isinstance(error, psycopg.errors.ConnectionTimeout):
        remedy = next((remedy for words, remedy in (REFUSALS | _NO_ROOM).items() if words in str(error)), None)
        if remedy is None:
            return error.with_traceback(None)
        return psycopg.OperationalError(f"{' '.join(str(error).split())}: {remedy}")
    return psycopg.errors.ConnectionTimeout(
        f"the database at {address(dsn)} did not answer within {connect_timeout(dsn, given)} s (connect_timeout): "
        "check host and port, and that PostgreSQL and what is between do answer"
    )
