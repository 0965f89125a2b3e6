"""Why nothing can be written in a session: a standby, or ``default_transaction_read_only`` and where that is set.

One wording for the commands, ``realtime doctor`` and ``/health``. Rules: PostgreSQL docs, "Hot Standby" and the column
``source`` of ``pg_settings``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["WRITES_ANYWAY", "ReadOnly", "read_only_reason"]

# Usable in a session that the setting applies to: a read-only transaction refuses ALTER DATABASE and ALTER ROLE.
_ALTER: Final = "BEGIN READ WRITE; ALTER {} RESET default_transaction_read_only; COMMIT;"
_RELOAD: Final = (
    "ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf(); (if it is in postgresql.conf itself, "
    "remove the line there, then SELECT pg_reload_conf();)"
)

WRITES_ANYWAY: Final = "options=-c%20default_transaction_read_only%3Doff"
"""The parameter of a DSN with which one session writes in a database that is read-only by default."""


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """``reason``: what is read-only and by which setting. ``remedy``: SQL or an instruction that ends it. ``standby``: the
    server follows another one, and no setting would help.
    """

    reason: str
    remedy: str
    standby: bool = False

    def __str__(self) -> str:
        return f"{self.reason}: {self.remedy}"


def read_only_reason(row: Mapping[str, Any]) -> ReadOnly | None:
    """What keeps a session from writing, by its row of the query ``read_only_source``; None if nothing does."""
    if row["standby"]:
        return ReadOnly(
            "this server is a standby, which cannot be written to",
            "connect to the primary (target_session_attrs=read-write in the DSN finds it among several hosts)",
            standby=True,
        )
    if not row["read_only"]:
        return None
    setting = "default_transaction_read_only"
    on = f"nothing can be written: {setting} is on"
    database, role = f"DATABASE {row['database']}", f"ROLE {row['role']}"
    match row["source"]:
        case "database":
            return ReadOnly(f"{on} for database {row['database']}", _ALTER.format(database))
        case "user":
            return ReadOnly(f"{on} for role {row['role']}", _ALTER.format(role))
        case "database user":
            who = f"role {row['role']} in database {row['database']}"
            return ReadOnly(f"{on} for {who}", _ALTER.format(f"{role} IN {database}"))
        case "global":
            return ReadOnly(f"{on} for all roles", _ALTER.format("ROLE ALL"))
        case "configuration file":
            return ReadOnly(f"{on} for the whole server", _RELOAD)
        case "client":
            return ReadOnly(f"{on} in the options of the DSN", f"remove -c {setting}=on from the DSN")
        case source:
            return ReadOnly(
                f"{on} (set by: {source})",
                f"restart PostgreSQL without it, or add {WRITES_ANYWAY} to the DSN",
            )
