"""Remove the service from a database: slots, collections, publication, schema, roles.

All of it is one transaction, except for the slots, which PostgreSQL drops at once; they go first, under a lock that lets no
node make one again. Roles belong to the cluster: one that has something in another database is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from engine.errors import RealtimeError
from engine.postgres.connections.opening import connect_now
from engine.postgres.statements.named_queries import query
from server.cli.locks.lock_waits import LOCK_TIMEOUT, log_wait, retry_on_locks
from server.cli.migration.migration_state import read_state

__all__ = ["NodesRunError", "Preview", "preview", "uninstall"]

_PUBLICATION: Final = "bunbase_realtime"
_OUTDATED: Final = (
    psycopg.errors.UndefinedObject,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
)

_Connection = psycopg.Connection[Any]


class NodesRunError(RealtimeError):
    """Nodes run on the database; the message names them."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a database has of the service. ``running``: its nodes, in words; ``contents``: what would be removed."""

    database: str
    running: list[str]
    contents: list[str]


def preview(dsn: str) -> Preview:
    """Look at the database behind ``dsn``. Raises ``MigrationError`` if the schema ``realtime`` is another product's."""
    with connect_now(dsn, "realtime uninstall", autocommit=True) as connection:
        state = read_state(connection)
        state.refuse_foreign()
        if not state.ours:
            return Preview(state.database, [], [])
        state.refuse_unreadable()
        collections = [row["relation"] for row in _rows(connection, "uninstall_collections")]
        slots = len(_rows(connection, "uninstall_slots"))
        contents = [
            f"{slots} replication slots",
            f"the collections {_list(collections)}",
            "the schema realtime, with all messages and rooms",
            "the roles, unless other databases use them",
        ]
        if users := [row["name"] for row in _rows(connection, "uninstall_users")]:
            contents.append(f"what uses the schema: {_list(users)}")
        return Preview(state.database, _running(connection), contents)


def uninstall(
    dsn: str, *, force: bool = False, lock_timeout: float = LOCK_TIMEOUT, report: Callable[[str], None] = log_wait
) -> list[str]:
    """Remove the service from the database behind ``dsn``; returns what was done and what was left, as texts.

    ``force``: end the sessions of nodes that run. Raises ``NodesRunError``, ``MigrationError`` for the schema of another
    product, ``LockTimeoutError`` if tables stay locked, ``psycopg.Error`` if PostgreSQL refuses; then nothing but slots
    has been removed.
    """
    removal = _Removal(dsn, force)
    return retry_on_locks(dsn, "realtime uninstall", removal.run, lock_timeout=lock_timeout, report=report)


@dataclass
class _Removal:
    dsn: str
    force: bool
    slots: list[str] = field(default_factory=list)  # dropped, in whichever attempt
    done: list[str] = field(default_factory=list)

    def run(self, connection: _Connection) -> list[str]:
        connection.execute(query("migration_lock"))
        state = read_state(connection)
        state.refuse_foreign()
        self.done = []
        if state.ours:
            state.refuse_unreadable()
            connection.execute(query("uninstall_lock"))
            self._stop_nodes(connection)
            self._drop_slots(connection)
            self._restore(connection)
        if _rows(connection, "uninstall_publication")[0]["exists"]:
            connection.execute(sql.SQL("drop publication {}").format(sql.Identifier(_PUBLICATION)))
            self.done.append(f"dropped the publication {_PUBLICATION}")
        if state.ours:
            self._drop_schema(connection)
        for row in _rows(connection, "uninstall_roles"):
            self._drop_role(connection, row["name"], row["databases"])
        return [*(f"dropped the slot {name}" for name in self.slots), *self.done]

    def _stop_nodes(self, connection: _Connection) -> None:
        running = _running(connection)
        if running and not self.force:
            raise NodesRunError(
                f"nodes run: {_list(running)}. Stop them; or, with --force, their sessions are ended and they fail. "
                "A node that crashed counts until its lease has expired"
            )
        if self.force:
            ended = connection.execute(query("uninstall_end_sessions"), {}).fetchone()
            assert ended is not None
            if ended[0]:
                self.done.append(f"ended {ended[0]} sessions of nodes")

    def _drop_slots(self, connection: _Connection) -> None:
        for row in _rows(connection, "uninstall_slots"):
            name = row["name"]
            try:
                with connection.transaction():
                    connection.execute(query("feed_slot_drop"), {"slot": name})
            except psycopg.errors.InsufficientPrivilege:  # without the attribute REPLICATION a walsender may do it
                with connect_now(self.dsn, "realtime uninstall", autocommit=True, replication="database") as sender:
                    sender.execute(sql.SQL("DROP_REPLICATION_SLOT {}").format(sql.Identifier(name)))
            self.slots.append(name)

    def _restore(self, connection: _Connection) -> None:
        """What was changed outside the schema."""
        for row in _rows(connection, "uninstall_collections"):
            connection.execute(query("uninstall_unexpose"), [row["name"]])
            self.done.append(f"closed the collection {row['name']} (table {row['relation']})")
        for row in _rows(connection, "uninstall_identities"):
            connection.execute(row["statement"].encode())
            self.done.append(f"restored the replica identity of {row['relation']}: {row['former']}")
        for row in _rows(connection, "uninstall_grants"):
            try:
                with connection.transaction():
                    connection.execute(row["opposite"].encode())
                self.done.append(f"revoked: {row['statement']}")
            except _OUTDATED as error:
                self.done.append(f"left: {row['statement']} ({error.diag.message_primary})")

    def _drop_schema(self, connection: _Connection) -> None:
        [contents] = _rows(connection, "uninstall_contents")
        users = [row["name"] for row in _rows(connection, "uninstall_users")]
        connection.execute(query("uninstall_schema"))
        self.done.append(
            f"dropped the schema realtime: {contents['tables']} tables, {contents['functions']} functions, "
            f"{contents['event_triggers']} event triggers, {contents['truncate_triggers']} triggers realtime_truncate"
        )
        self.done += [f"dropped the {name}, which used it" for name in users]

    def _drop_role(self, connection: _Connection, name: str, databases: list[str]) -> None:
        role = sql.Identifier(name)
        try:
            with connection.transaction():
                connection.execute(sql.SQL("drop owned by {}").format(role))
            if databases:
                self.done.append(f"left the role {name}: it has privileges in {_list(databases)}")
                return
            with connection.transaction():
                connection.execute(sql.SQL("drop role {}").format(role))
            self.done.append(f"dropped the role {name}")
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.DependentObjectsStillExist) as error:
            reason = error.diag.message_detail or error.diag.message_primary
            self.done.append(
                f"left the role {name} ({reason}): as a superuser, DROP OWNED BY {name}; DROP ROLE {name};"
            )


def _running(connection: _Connection) -> list[str]:
    return [
        f"{row['id']} on {row['host']} (lease until {row['until']})" for row in _rows(connection, "uninstall_running")
    ]


def _rows(connection: _Connection, name: str) -> list[dict[str, Any]]:
    return connection.cursor(row_factory=dict_row).execute(query(name), {}).fetchall()


def _list(names: list[str]) -> str:
    return ", ".join(names) or "(none)"
