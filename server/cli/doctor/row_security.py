"""Releases of PostgreSQL whose row-level security shows rows that policies hide.

From https://www.postgresql.org/support/security/: what concerns statements that only read. Older holes (CVE-2016-2193,
CVE-2019-10130) were closed before the oldest version that is served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from server.cli.doctor.finding import Finding

__all__ = ["row_security_findings"]

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
