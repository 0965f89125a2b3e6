"""``realtime doctor``: what makes row-level security show other rows than PostgreSQL should: releases with holes, settings.

The releases are from https://www.postgresql.org/support/security/: what concerns statements that only read. Older holes
(CVE-2016-2193, CVE-2019-10130) were closed before the oldest version that is served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg

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

_OF_POLICIES: Final = ("TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits")
# Other spellings of the values of SESSION_SETTINGS. Any positive number of extra_float_digits means the same (docs).
_SAME: Final[Mapping[str, frozenset[str]]] = {
    "TimeZone": frozenset({"etc/utc", "gmt", "etc/gmt", "zulu", "etc/zulu", "uct", "etc/uct", "universal"}),
    "DateStyle": frozenset({"iso,us", "mdy,iso"}),
    "extra_float_digits": frozenset({"2", "3"}),
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
    """A warning for each setting that has another value in sessions of a served role than where policies are evaluated."""
    for row in connection.execute(query("doctor_policy_settings"), {"settings": list(_OF_POLICIES)}).fetchall():
        name, value = row["name"], row["value"]
        ours = SESSION_SETTINGS[name]
        plain = value.lower().replace(" ", "")
        if plain != ours.lower().replace(" ", "") and plain not in _SAME.get(name, ()):
            yield Finding(
                "warn",
                f"sessions of the served role {row['role']} have {name} = {value}, policies are evaluated with {ours}: "
                "one that depends on it shows other rows",
                "Write policies that do not depend on it: with timestamptz, AT TIME ZONE and dates in ISO form.",
            )
