"""What can stand in a feed's way, in plain words and with the remedy."""

from __future__ import annotations

from typing import Any

import psycopg

from engine.errors import FeedError
from engine.feed.decoder import PUBLICATION

__all__ = ["SlotUnusable", "check_server", "explain", "is_history_error"]

_WAL2JSON_MISSING = "58P01"


class SlotUnusable(FeedError):
    """The slot has lost its place in the WAL and must be made again."""


def check_server(server: dict[str, Any]) -> None:
    """Raise ``FeedError`` if this server cannot feed us. ``server`` is the row of the query ``feed_server``."""
    if server["version"] < 140000:
        raise FeedError(f"PostgreSQL {server['version'] // 10000} is too old: 14 or later is needed")
    if server["in_recovery"]:
        raise FeedError("this server is a standby: connect to the primary")
    if server["wal_level"] != "logical":
        raise FeedError(
            f"wal_level is {server['wal_level']}, not logical: "
            "run ALTER SYSTEM SET wal_level = 'logical' and restart PostgreSQL"
        )
    if not server["may_replicate"]:
        raise FeedError(f'role {server["role"]} may not replicate: run ALTER ROLE "{server["role"]}" REPLICATION')
    if not server["migrated"] or server["publication"] is None:
        missing = f"publication {PUBLICATION}" if server["migrated"] else "schema realtime"
        raise FeedError(f"database {server['database']} has no {missing}: run `realtime migrate`")


def explain(error: psycopg.Error) -> FeedError | None:
    """The error as something a DBA can mend; None for one that may pass by itself (an outage, a slot still in use)."""
    state, text = error.sqlstate or "", error.diag.message_primary or str(error).strip()
    if isinstance(error, psycopg.errors.ConfigurationLimitExceeded):
        return FeedError(
            f"{text}: raise max_replication_slots and restart PostgreSQL, or drop a slot nobody uses (`realtime slots`)"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        if "output plugin" in text:
            return FeedError(
                f"{text}: add it to output_plugin_libraries and reload the configuration, or use decoder pgoutput"
            )
        return FeedError(
            f"{text}: grant the role what it needs (ALTER ROLE ... REPLICATION; `realtime doctor` lists it)"
        )
    if state == _WAL2JSON_MISSING:
        return FeedError(f"{text}: install the output plugin on the server, or use decoder pgoutput")
    if isinstance(error, psycopg.OperationalError) and not state:
        return _explain_connection(str(error))
    return None


def is_history_error(error: psycopg.Error) -> bool:
    """True if the slot's stretch of WAL can never be decoded: it is gone, or older than the publication.

    pgoutput looks the publication up as it was at that point of the stream; until PostgreSQL 17 a missing one is an error.
    """
    text = error.diag.message_primary or ""
    if isinstance(error, psycopg.errors.UndefinedObject):
        return "publication" in text or "replication slot" in text
    return isinstance(error, psycopg.errors.ObjectNotInPrerequisiteState) and "replication slot" in text


def _explain_connection(text: str) -> FeedError | None:
    """Errors of the connection itself carry no SQLSTATE in libpq, only the server's words (English, or none of these)."""
    remedies = {
        "max_wal_senders": "raise max_wal_senders and restart PostgreSQL",
        "password authentication failed": "check the user and password of the DSN",
        "no pg_hba.conf entry": "allow this host in pg_hba.conf",
        "does not exist": "check the database and role of the DSN",
        "permission denied to start WAL sender": "run ALTER ROLE ... REPLICATION",
        "must be superuser or replication role": "run ALTER ROLE ... REPLICATION",
    }
    for words, remedy in remedies.items():
        if words in text:
            return FeedError(f"{text.strip()}: {remedy}")
    return None
