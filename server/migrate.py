"""Bring a database to this version: numbered forward-only migrations, then everything in ``sql/schema``.

All of it happens in one transaction under an advisory lock, so several nodes may start at once and a failure leaves
the database as it was. An applied migration whose file has changed since is refused by its checksum.
"""

from __future__ import annotations

import hashlib

import psycopg

from engine.errors import RealtimeError
from engine.sql import folder, query

__all__ = ["MigrationError", "migrate"]


class MigrationError(RealtimeError):
    """The database cannot be migrated; the message names the file and what Postgres said."""


def migrate(dsn: str) -> list[str]:
    """Migrate the database behind ``dsn``; returns the names of the migrations that were applied now.

    Raises ``MigrationError`` if a file fails, or was changed after it was applied.
    """
    applied_now: list[str] = []
    with psycopg.connect(dsn, application_name="realtime migrate") as connection:
        connection.execute(query("migration_lock"))
        connection.execute(query("migration_table"))
        done = dict(connection.execute(query("migrations_done")).fetchall())
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
    return applied_now


def _run(connection: psycopg.Connection[tuple[object, ...]], name: str, text: str) -> None:
    try:
        connection.execute(text.encode())
    except psycopg.Error as error:
        raise MigrationError(f"{name}: {error.diag.message_primary or error}") from error
