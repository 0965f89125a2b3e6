"""Bring a database to this version: numbered forward-only migrations, then everything in ``sql/schema``.

All of it happens in one transaction under an advisory lock, so several nodes may start at once and a failure leaves
the database as it was. An applied migration whose file has changed since is refused by its checksum.
"""

from __future__ import annotations

import hashlib
import logging

import psycopg
from psycopg.errors import Diagnostic

from engine.connecting import connect_now
from engine.errors import RealtimeError
from engine.sql import folder, query

__all__ = ["MigrationError", "migrate", "pending_migrations"]

_SCHEMA = "sql/schema"
_log = logging.getLogger("realtime.migrate")


class MigrationError(RealtimeError):
    """The database cannot be migrated; the message names the file and what Postgres said."""


def migrate(dsn: str) -> list[str]:
    """Migrate the database behind ``dsn``; returns the names of the migrations that were applied now.

    Raises ``MigrationError`` if a file fails, or was changed after it was applied.
    """
    applied_now: list[str] = []
    with connect_now(dsn, "realtime migrate") as connection:
        connection.add_notice_handler(_log_warning)
        connection.execute(query("migration_lock"))
        connection.execute(query("migration_table"))
        done = _done(connection)
        for path in sorted(folder("migrations").glob("*.sql")):
            text = path.read_text()
            checksum = hashlib.sha256(text.encode()).hexdigest()
            if path.stem in done:
                if done[path.stem] != checksum:
                    raise MigrationError(f"migration {path.name} was changed after it was applied")
                continue
            _run(connection, path.name, text)
            connection.execute(query("migration_record"), [path.stem, checksum])
            applied_now.append(path.stem)
        for path in sorted((folder("sql") / "schema").glob("*.sql")):
            _run(connection, path.name, path.read_text())
        connection.execute(query("migration_schema_record"), [_SCHEMA, _schema_checksum()])
    return applied_now


def pending_migrations(dsn: str) -> list[str]:
    """What ``migrate`` would apply, ``sql/schema`` being the part that is replaced whole; empty: up to date."""
    with connect_now(dsn, "realtime migrate") as connection:
        row = connection.execute(query("migrations_table_exists")).fetchone()
        done = _done(connection) if row is not None and row[0] else {}
    pending = [path.stem for path in sorted(folder("migrations").glob("*.sql")) if path.stem not in done]
    if done.get(_SCHEMA) != _schema_checksum():
        pending.append(_SCHEMA)
    return pending


def _done(connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, str]:
    return {str(name): str(checksum) for name, checksum in connection.execute(query("migrations_done")).fetchall()}


def _schema_checksum() -> str:
    """One checksum over all of ``sql/schema``: an upgrade that only changes functions must be noticed too."""
    checksum = hashlib.sha256()
    for path in sorted((folder("sql") / "schema").glob("*.sql")):
        checksum.update(path.read_bytes())
    return checksum.hexdigest()


def _log_warning(said: Diagnostic) -> None:
    if said.severity_nonlocalized == "WARNING":
        _log.warning(said.message_primary)


def _run(connection: psycopg.Connection[tuple[object, ...]], name: str, text: str) -> None:
    try:
        connection.execute(text.encode())
    except psycopg.Error as error:
        raise MigrationError(f"{name}: {error.diag.message_primary or error}") from error
