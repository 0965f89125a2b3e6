"""Bring a database to this version: roles, numbered forward-only migrations, ``sql/schema``, then ``sql/upkeep``.

All of it happens in one transaction under an advisory lock, so several nodes may start at once and a failure leaves the
database as it was. An applied migration whose file has changed since is refused by its checksum. ``sql/schema`` is
replaced whole if its checksum differs, and kept if not. It must serve every node that runs: a migrate that would leave
one behind is refused, and a database that a newer version has migrated is left as it is. ``sql/upkeep`` checks
privileges, triggers and the publication at each migrate, and locks only objects that need a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import structlog
from psycopg.errors import Diagnostic
from psycopg.rows import dict_row, tuple_row

from engine.postgres.connections.opening import connect_now
from engine.postgres.lock_holders import session_in_words
from engine.postgres.missing_tables import REMEDY
from engine.postgres.statements.named_queries import folder, query
from engine.postgres.statements.schema_objects import SCHEMA, schema_checksum, schema_files
from engine.postgres.statements.sql_interface import oldest_served, schema_version
from server.cli.locks.lock_waits import LOCK_TIMEOUT, LockTimeoutError, log_wait, retry_on_locks
from server.cli.migration.migration_state import (
    DatabaseState,
    MigrationError,
    migration_checksums,
    migration_files,
    not_at_this_version,
    package_name,
    read_state,
)

__all__ = ["MigrationError", "check_migrated", "check_served", "migrate", "migrated_state", "wide_publications"]

OTHERS_TIMEOUT: Final = 60.0
"""Seconds that a migrate waits for another one to end."""

_HANDLED_BY_CALLER: Final = (  # tried again or explained by retry_on_locks()
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.QueryCanceled,
    psycopg.errors.ReadOnlySqlTransaction,
)
_log = structlog.get_logger("realtime.migrate")
_Connection = psycopg.Connection[tuple[Any, ...]]


def migrate(dsn: str, *, lock_timeout: float = LOCK_TIMEOUT, report: Callable[[str], None] = log_wait) -> list[str]:
    """Migrate the database behind ``dsn``; returns the steps taken, as texts, empty if it was up to date.

    ``report`` gets the process that holds a lock while the migrate waits for it. Nothing is done if a newer version has
    migrated the database in a way that serves this one. Raises ``MigrationError`` if the schema ``realtime`` is another
    product's, if a newer version has migrated the database in another way, if a running node is too old for this
    version, or if a file fails or was changed after it was applied; ``ReadOnlyDatabaseError`` if something is to be
    written and cannot be; ``LockTimeoutError`` if tables stay locked or another migrate does not end;
    ``psycopg.OperationalError`` if the database cannot be reached or does not answer.
    """
    return retry_on_locks(
        dsn,
        "realtime migrate",
        lambda connection: _migrate(connection, lock_timeout),
        lock_timeout=lock_timeout,
        report=report,
    )


def _migrate(connection: _Connection, lock_timeout: float) -> list[str]:
    notes: list[str] = []
    with _listening(connection, notes):
        _wait_for_others(connection)
        connection.execute(query("migration_lock_timeout"), [f"{round(lock_timeout * 1000)}ms"])
        state = read_state(connection)
        state.refuse_foreign()
        state.refuse_incomplete()
        state.refuse_unreadable()
        state.refuse_other()
        if state.ahead:
            return [state.ahead]
        _run(connection, "the table realtime.migrations", query("migration_table"))
        _run(connection, "roles.sql", (folder("sql") / "roles.sql").read_text())
        if not state.applied:
            _run(connection, "the publication", query("publication_set_aside"))
        _apply_numbered(connection, state, notes)
        if not state.applied:
            _run(connection, "the publication", query("publication_put_back"))
        read_state(connection).refuse_incomplete()
        _refuse_left_behind(connection)
        _apply_schema(connection, state, notes)
        for path in sorted((folder("sql") / "upkeep").glob("*.sql")):
            _run(connection, path.name, path.read_text())
    for name in wide_publications(connection):
        reason = "it takes in the tables of the schema realtime, which its subscribers do not have"
        _log.warning("publication_too_wide", publication=name, reason=reason, remedy="see `realtime doctor`")
    return notes


def _wait_for_others(connection: _Connection) -> None:
    """Take the lock of migrators. Raises ``LockTimeoutError`` if another one holds it for longer than ``OTHERS_TIMEOUT``."""
    connection.execute(query("migration_lock_timeout"), [f"{round(OTHERS_TIMEOUT * 1000)}ms"])
    try:
        connection.execute(query("migration_lock"))
    except psycopg.errors.LockNotAvailable as error:
        connection.rollback()
        holders = connection.cursor(row_factory=dict_row).execute(query("migration_lock_holders")).fetchall()
        raise LockTimeoutError(
            f"another `realtime migrate` of this database has not ended within {OTHERS_TIMEOUT:g} s: "
            f"{', '.join(map(session_in_words, holders)) or 'by now it has'}. Try again when it has, or end it with "
            f"SELECT pg_terminate_backend({holders[0]['pid'] if holders else 'its process'});"
        ) from error


def _apply_numbered(connection: _Connection, state: DatabaseState, notes: list[str]) -> None:
    for path in migration_files():
        if path.stem not in state.applied:
            _run(connection, path.name, path.read_text())
            done = [path.stem, migration_checksums()[path.stem], None, package_name(), None]
            connection.execute(query("migration_record"), done)
            notes.append(f"applied {path.stem}")


def _apply_schema(connection: _Connection, state: DatabaseState, notes: list[str]) -> None:
    done, version = state.applied.get(SCHEMA), schema_version()
    recorded = (schema_checksum(), version, oldest_served())
    if state.lost or not state.schema_current:
        with _keeping_privileges(connection, notes):
            for path in schema_files():
                _run(connection, path.name, path.read_text())
        notes.append(f"applied {SCHEMA} version {version}")
        if state.schema_current:
            notes.append(f"made again what was missing: {', '.join(state.lost)}")
    elif done is not None and done.version != version:
        notes.append(f"recorded {SCHEMA} version {version}")
    if done is None or (done.checksum, done.version, done.serves_from) != recorded:
        connection.execute(query("migration_record"), [SCHEMA, *recorded[:2], package_name(), recorded[2]])


@contextmanager
def _keeping_privileges(connection: _Connection, notes: list[str]) -> Iterator[None]:
    """A function that is dropped and made again inside, with other arguments perhaps, keeps who may execute it."""
    [(functions,)] = connection.execute(query("function_privileges")).fetchall()
    yield
    for (statement,) in connection.execute(query("function_privileges_lost"), {"functions": functions}).fetchall():
        _run(connection, "privileges of functions", statement)
        notes.append(f"kept: {statement}")


def _refuse_left_behind(connection: _Connection) -> None:
    """Raise ``MigrationError`` if a node runs that was made for functions which this version does not serve."""
    oldest = oldest_served()
    cursor = connection.cursor(row_factory=dict_row)
    nodes = cursor.execute(query("migration_left_behind"), [oldest]).fetchall()
    if nodes:
        named = "; ".join(f"{row['id']} on {row['host']} ({SCHEMA} version {row['schema_version']})" for row in nodes)
        raise MigrationError(
            f"{package_name()} serves nodes of {SCHEMA} version {oldest} and later, and older ones run: {named}. Upgrade "
            f"them to a version in between first, or stop them. A node that crashed counts until {nodes[-1]['until']}"
        )


def migrated_state(dsn: str) -> DatabaseState:
    """The migration state of ``dsn``'s database. Raises ``MigrationError`` if the schema is another product's, or one
    that a newer version has migrated without serving this one, or the role may not look.
    """
    with connect_now(dsn, "realtime migrate") as connection:
        state = read_state(connection)
    state.refuse_foreign()
    state.refuse_incomplete()
    state.refuse_unreadable()
    state.refuse_other()
    return state


def check_migrated(dsn: str) -> None:
    """Raise ``MigrationError`` unless the database was migrated at all; the role need not be able to look into it."""
    with connect_now(dsn, "realtime migrate") as connection:
        state = read_state(connection)
    state.refuse_foreign()
    state.refuse_incomplete()
    state.refuse_other()
    if not state.ours:
        raise MigrationError(f"database {state.database} is not migrated: run `realtime migrate`")


def check_served(dsn: str) -> str | None:
    """Raise ``MigrationError`` unless the database serves this version and clients' SQL can be run in it.

    Returns a notice about a database that a newer version has migrated.
    """
    state = migrated_state(dsn)
    if problem := not_at_this_version(state):
        raise MigrationError(f"{problem}; run `realtime migrate`, or serve with --migrate")
    with connect_now(dsn, "realtime migrate") as connection:
        lost = connection.execute(query("migration_reader_lost")).fetchone()
        roles = [name for (name,) in connection.execute(query("roles_missing")).fetchall()]
    if lost is not None or roles:
        what = lost[0] if lost is not None else f"the role {roles[0]} does not exist"
        raise MigrationError(
            f"{what} (was the database restored into another cluster?); run `realtime migrate`, or serve with --migrate"
        )
    return state.ahead


def wide_publications(connection: psycopg.Connection[Any]) -> list[str]:
    """Foreign publications that include the tables of the schema ``realtime`` without naming them."""
    name = "wide_publications" if connection.info.server_version >= 150000 else "wide_publications_14"
    cursor = connection.cursor(row_factory=tuple_row)
    return [str(row[0]) for row in cursor.execute(query(name)).fetchall()]


@contextmanager
def _listening(connection: _Connection, notes: list[str]) -> Iterator[None]:
    """Collect RAISE INFO of the files as steps taken; log RAISE WARNING."""

    def take(notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "INFO":
            notes.append(notice.message_primary or "")
        elif notice.severity_nonlocalized == "WARNING":
            _log.warning("migration_warning", reason=notice.message_primary)

    connection.add_notice_handler(take)
    try:
        yield
    finally:
        connection.remove_notice_handler(take)


def _run(connection: _Connection, name: str, text: str) -> None:
    try:
        # Not every encoding has the ellipsis of the comments, the one character there that is not ASCII.
        connection.execute(text.replace("…", "...").encode())
    except _HANDLED_BY_CALLER:
        raise
    except psycopg.Error as error:
        raise MigrationError(f"{name}: {error.diag.message_primary or error}. {_remedy(error)}") from error


def _remedy(error: psycopg.Error) -> str:
    """The remedy for a failed file."""
    if error.diag.message_hint:
        return error.diag.message_hint
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return (
            "Run `realtime migrate` as a superuser, or as the owner of the schema realtime "
            "(the first time: a role with CREATE on the database and CREATEROLE)"
        )
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return f"If a part of the schema realtime was dropped: {REMEDY}"
    return "Nothing was changed"
