"""``realtime doctor``: whether temporary files of live queries are bounded (setting ``query_temporary_size``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from engine.postgres.statements.named_queries import query
from server.app.settings import Settings
from server.cli.doctor.finding import Finding

__all__ = ["temporary_files_findings"]

_PRIVILEGES_FOR_SETTINGS = 150000


def temporary_files_findings(connection: psycopg.Connection[dict[str, Any]], settings: Settings) -> Iterator[Finding]:
    """A warning if a query may fill the disk of the database: its role cannot set ``temp_file_limit``, and has none."""
    if (wanted := settings.query_temporary_size) == 0:  # no bound is wanted
        return
    has_privileges = connection.info.server_version >= _PRIVILEGES_FOR_SETTINGS
    name = "doctor_temporary_files" if has_privileges else "doctor_temporary_files_14"
    row = connection.execute(query(name)).fetchone()
    assert row is not None
    sets_it = row["may_set"] and settings.pooled_dsn is None  # through a pooler nothing can be set
    if sets_it or 0 <= row["kilobytes"] <= wanted * 1024:
        yield Finding("ok", "temporary files of live queries are bounded (temp_file_limit)")
        return
    found = "has no bound" if row["kilobytes"] < 0 else f"has a bound of {row['kilobytes'] // 1024} MB"
    why = "through a pooler it cannot be set" if row["may_set"] else f"{row['role']} may not set it"
    granted = (
        f" Or GRANT SET ON PARAMETER temp_file_limit TO {row['role']};" if has_privileges and not row["may_set"] else ""
    )
    yield Finding(
        "warn",
        f"what a live query writes to temporary files {found}, not query_temporary_size = {wanted} MB: temp_file_limit "
        f"is for superusers, and {why}",
        f"As a superuser: ALTER ROLE {row['role']} SET temp_file_limit = '{wanted}MB';{granted}",
    )
