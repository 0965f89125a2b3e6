"""``realtime doctor``: whether streams of failover slots wait for standbys that are not there (PostgreSQL 17 and later)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from engine.feed.slots import FAILOVER_SINCE
from engine.postgres.statements.named_queries import query
from server.cli.doctor.finding import Finding

__all__ = ["failover_findings"]


def failover_findings(connection: psycopg.Connection[dict[str, Any]]) -> Iterator[Finding]:
    """A problem if a slot in ``synchronized_standby_slots`` has no standby: until it has one, nothing is streamed."""
    if connection.info.server_version < FAILOVER_SINCE:
        return
    row = connection.execute(query("feed_absent_standbys"), {"slot": None}).fetchone()
    assert row is not None
    if row["slots"] is not None:
        yield Finding(
            "problem",
            f"synchronized_standby_slots names slots that no standby uses: {row['slots']}. Until one does, the streams of "
            "this database's failover slots bring nothing",
            "Start the standby, or name the slots of those that run: "
            "ALTER SYSTEM SET synchronized_standby_slots = '...'; SELECT pg_reload_conf();",
        )
