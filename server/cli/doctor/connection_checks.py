"""``realtime doctor``: room for the connections of a node (docs: Connections of a node)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import psycopg

from engine.postgres.statements.named_queries import query
from server.app.settings import Settings
from server.cli.doctor.finding import Finding

__all__ = ["connection_findings"]

_IDLE: Final = 7
_OF_RELAY: Final = 2  # walsender and lease; workers have no walsender of their own
_BESIDE_POOLS: Final = 5  # walsender, lease, publisher, one more reader each of live queries and of histories


def connection_findings(connection: psycopg.Connection[dict[str, Any]], settings: Settings) -> Iterator[Finding]:
    """A problem if a node, or all workers, cannot even start; a warning if they cannot have all that they may open."""
    least, most, opener = _IDLE, _pools(settings) + _BESIDE_POOLS, "a node"
    if (workers := settings.workers or 1) > 1:
        pools = sum(_pools(settings.of_worker(number, workers)) for number in range(1, workers + 1))
        least, most = workers * (_IDLE - 1) + _OF_RELAY, pools + workers * (_BESIDE_POOLS - 1) + _OF_RELAY
        opener = f"a server of {workers} workers"
    found = []
    for row in connection.execute(query("doctor_connections")).fetchall():
        free = row["most"] - row["used"]
        if free < most:
            whose = {"server": "", "role": f" for role {row['role']}", "database": f" to database {row['database']}"}
            found.append(
                Finding(
                    "problem" if free < least else "warn",
                    f"{max(free, 0)} of {row['most']} connections{whose[row['what']]} are free, "
                    f"and {opener} opens {least} to {most}",
                    _remedy(row, row["used"] + most),
                )
            )
    yield from found or [Finding("ok", f"there is room for the {most} connections that {opener} opens at most")]


def _pools(settings: Settings) -> int:
    """What the pools of a process open at most: of live queries, of REST, and of the channels, which have two."""
    return settings.pool_size + settings.rest_pool_size + 2 * settings.channels_pool_size


def _remedy(row: dict[str, Any], wanted: int) -> str:
    if row["what"] == "role":
        return f"ALTER ROLE {row['role']} CONNECTION LIMIT {wanted};"
    if row["what"] == "database":
        return f"ALTER DATABASE {row['database']} CONNECTION LIMIT {wanted};"
    return f"ALTER SYSTEM SET max_connections = {wanted + 25}; then restart PostgreSQL. Or end idle sessions."
