"""Explanations of the errors that keep a feed from streaming, each with its remedy."""

from __future__ import annotations

from typing import Any

import psycopg

from engine.errors import FeedError
from engine.feed.decoders.base import PUBLICATION, UndecodableError
from engine.postgres.connections.refused_logins import POOLER_IN_THE_WAY, REFUSALS, ReplicaRoleError

__all__ = [
    "SlotUnusableError",
    "check_encoding",
    "check_server",
    "explain",
    "explain_start",
    "explain_stream",
    "sender_remedy",
]

_FILE_MISSING = "58P01"
_PLUGINS = ("pgoutput", "wal2json")
# Operator intervention, as at a shutdown, and a connection that broke (docs: "PostgreSQL Error Codes").
_OUTAGES = ("57", "08")
# It is in all messages about standbys that a failover slot waits for, whatever their language and SQLSTATE (PostgreSQL 17
# and later, StandbySlotsHaveCaughtup in slot.c). They are errors where the server stops while one is away.
_STANDBYS = "synchronized_standby_slots"


class SlotUnusableError(FeedError):
    """The slot has lost its place in the WAL, or what is there can never be decoded: it must be made again."""


def check_server(server: dict[str, Any]) -> None:
    """Raise ``FeedError`` if this server cannot be streamed from. ``server`` is the row of the query ``feed_server``."""
    if server["version"] < 140000:
        raise FeedError(f"PostgreSQL {server['version'] // 10000} is too old: 14 or later is needed")
    if server["in_recovery"]:
        raise FeedError("this server is a standby: connect to the primary")
    if server["wal_level"] != "logical":
        raise FeedError(
            f"wal_level is {server['wal_level']}, not logical: "
            "run ALTER SYSTEM SET wal_level = 'logical' and restart PostgreSQL"
        )
    if not server["migrated"] or server["publication"] is None:
        missing = f"publication {PUBLICATION}" if server["migrated"] else "schema realtime"
        raise FeedError(f"database {server['database']} has no {missing}: run `realtime migrate`")


def check_encoding(plugin: str, encoding: str) -> None:
    """Raise ``FeedError`` if ``plugin`` does not send UTF-8 from a database of this encoding.

    pgoutput has the server convert each value to the client's encoding, as a query's result. wal2json writes JSON in the
    encoding of the database.
    """
    if plugin == "wal2json" and encoding != "UTF8":
        raise FeedError(f"wal2json does not convert values of a database in {encoding} to UTF-8: use decoder pgoutput")


def explain(error: psycopg.Error) -> FeedError | None:
    """The error with a remedy for the operator; None for a transient one (an outage, a slot still in use)."""
    if isinstance(error, ReplicaRoleError):
        return FeedError(str(error))
    state, text = error.sqlstate or "", error.diag.message_primary or str(error).strip()
    # Names are the same in each language of the server's messages (lc_messages), words are not.
    names_plugin = any(plugin in text for plugin in _PLUGINS)
    if isinstance(error, psycopg.errors.ConfigurationLimitExceeded):
        return FeedError(
            f"{text}: raise max_replication_slots and restart PostgreSQL, or drop an unused slot (`realtime slots`)"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        if names_plugin:
            return FeedError(
                f"{text}: add it to output_plugin_libraries and reload the configuration, or use decoder pgoutput"
            )
        return FeedError(f"{text}: grant the role what it needs (`realtime doctor` lists it)")
    if isinstance(error, psycopg.errors.UndefinedColumn):
        return FeedError(
            f"{text}: another version has migrated the schema realtime; start this node with that version "
            "(`realtime doctor` names it)"
        )
    if state == _FILE_MISSING and names_plugin:
        return FeedError(f"{text}: install the output plugin on the server, or use decoder pgoutput")
    if isinstance(error, psycopg.OperationalError) and not state:
        return _explain_connection(str(error))
    return None


def sender_remedy(facts: dict[str, Any]) -> str | None:
    """What to do when a replication connection is refused although an ordinary one is possible; None if that is not known.

    ``facts`` is the row of the query ``feed_sender_facts``. Only the attempt decides whether a role may replicate: on
    managed services the right comes from a membership, and the attribute stays false.
    """
    if facts["senders"] >= facts["max_senders"]:
        return "raise max_wal_senders and restart PostgreSQL"
    if not facts["has_attribute"]:
        role = facts["role"]
        return f"run ALTER ROLE {role} REPLICATION (on RDS and Aurora: GRANT rds_replication TO {role})"
    return None


def explain_start(error: psycopg.Error) -> Exception:
    """The typed form of an error of START_REPLICATION: a dropped or invalidated slot has to be created again."""
    if isinstance(error, psycopg.errors.UndefinedObject | psycopg.errors.ObjectNotInPrerequisiteState):
        return SlotUnusableError(f"the slot cannot be used ({error.diag.message_primary})")
    return error


def explain_stream(error: psycopg.Error) -> Exception:
    """The typed form of an error in the stream: a lost history, WAL that cannot be decoded, or an outage.

    pgoutput looks the publication up as it was at that point of the stream; until PostgreSQL 17 a missing one is an
    error (UndefinedObject).
    """
    state, message = error.sqlstate, error.diag.message_primary or str(error).strip()
    if _STANDBYS in message:
        return error
    if isinstance(error, psycopg.errors.UndefinedObject | psycopg.errors.ObjectNotInPrerequisiteState):
        return SlotUnusableError(f"the slot's WAL cannot be decoded ({message})")
    if state is None or state[:2] in _OUTAGES:
        return error
    return UndecodableError(message, state)


def _explain_connection(text: str) -> FeedError | None:
    """A refused connection carries no SQLSTATE in libpq, only the server's message.

    An English message gets a remedy and ends the start at once. A message in another language is shown unchanged, and the
    start is retried.
    """
    if POOLER_IN_THE_WAY in text or any(words in text for words in REFUSALS):
        return FeedError(text.strip())
    return None
