"""``realtime doctor``: what makes row-level security show other rows than PostgreSQL should: releases with holes, settings.

The releases are from https://www.postgresql.org/support/security/: what concerns statements that only read. Older holes
(CVE-2016-2193, CVE-2019-10130) were closed before the oldest version that is served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg

from engine.catalog.role_settings import hidden_settings
from engine.postgres.connections.session_settings import SESSION_SETTINGS
from engine.postgres.statements.named_queries import query
from server.cli.doctor.finding import Finding

__all__ = ["policy_setting_findings", "row_security_findings"]

# By hole: the first minor release of each major version without it. A major version that is missing never had it.
_CLOSED_IN: Final[Mapping[str, Mapping[int, int]]] = {
    "CVE-2023-2455": {14: 8, 15: 3},
    "CVE-2024-10976": {14: 14, 15: 9, 16: 5, 17: 1},
    "CVE-2025-8713": {14: 19, 15: 14, 16: 10, 17: 6},
    "CVE-2026-14666": {14: 24, 15: 19, 16: 15, 17: 11, 18: 6},
}


def row_security_findings(version: int) -> Iterator[Finding]:
    """A warning if the server, with this ``server_version_num``, has one of the holes."""
    major, minor = divmod(version, 10_000)
    closed = {hole: minors[major] for hole, minors in _CLOSED_IN.items() if minor < minors.get(major, 0)}
    if closed:
        yield Finding(
            "warn",
            f"PostgreSQL {major}.{minor} may show rows that policies hide: {', '.join(closed)}",
            f"Install PostgreSQL {major}.{max(closed.values())} or a later minor release.",
        )


def policy_setting_findings(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[Finding]:
    """A warning for each setting that sessions of served roles may have, and policies are not evaluated with."""
    policed = connection.execute(query("doctor_policed")).fetchone()
    if policed is None or not policed["policed"]:
        return
    role = connection.info.user
    for name in hidden_settings(connection):
        ours = SESSION_SETTINGS.get(name, f"that of {role}")
        yield Finding(
            "warn",
            f"policies are evaluated with {name} = {ours}: what the server is configured with is hidden by a value that "
            f"{role} or the environment of this process has",
            f"ALTER ROLE {role} RESET {name} (also IN DATABASE), no PGTZ or PGDATESTYLE; or ALTER DATABASE … SET {name}.",
        )
