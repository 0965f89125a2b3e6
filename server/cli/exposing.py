"""The commands that change what of a database is served: ``realtime expose``, ``unexpose`` and ``grant``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import psycopg
import typer

from engine.postgres.connections.opening import connect_now
from engine.postgres.statements.named_queries import query
from server.cli.locks.lock_waits import LOCK_TIMEOUT, Connection, refuse_standby, retry_on_locks
from server.cli.migration.migrate import MigrationError
from server.cli.prelude import database_error, migrated_dsn, report
from server.cli.terminal import options
from server.cli.terminal.names import find_collection, find_columns, find_role, find_table

__all__ = ["expose", "grant", "unexpose"]

_Found = TypeVar("_Found")
_Result = TypeVar("_Result")


def expose(  # noqa: PLR0913
    table: Annotated[str, typer.Argument(help="The table, with its schema if that is not in the search path.")],
    columns: Annotated[
        str | None, typer.Option(help="Columns clients may see, separated by commas. [default: all]")
    ] = None,
    camel_case: Annotated[bool, typer.Option("--camel-case", help="Clients see created_at as createdAt.")] = False,
    name: Annotated[str | None, typer.Option(help="The collection's name. [default: the table's]")] = None,
    replica_identity: Annotated[
        str | None, typer.Option(help="Set REPLICA IDENTITY first: full, for a table without primary key, or default.")
    ] = None,
    owner_only: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Each user sees the rows that have the claim sub in this column; '' takes that back. [default: as it is]",
        ),
    ] = None,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    lock_timeout: options.LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Let clients subscribe to a table."""

    def find(connection: Connection) -> list[object]:
        found = find_table(connection, table)
        wanted = None if columns is None else find_columns(connection, found, columns)
        owner = "" if owner_only is None else None  # as in SQL: empty: as it is, null: taken back
        if owner_only:
            [owner] = find_columns(connection, found, owner_only)
        return [found.oid, name, wanted, camel_case, replica_identity, owner]

    def change(connection: Connection, arguments: list[object]) -> str:
        row = connection.execute(query("expose"), arguments).fetchone()
        assert row is not None
        return str(row[0])

    collection = _find_then_change("realtime expose", migrated_dsn(config, dsn), lock_timeout, find, change)
    print(f"clients can subscribe to db:collection:{collection}")


def unexpose(
    name: Annotated[str, typer.Argument(help="The collection's name, or its table's.")],
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    lock_timeout: options.LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Close a collection; its live queries end."""

    def change(connection: Connection, collection: str) -> str:
        connection.execute(query("unexpose"), [collection])
        return collection

    collection = _find_then_change(
        "realtime unexpose",
        migrated_dsn(config, dsn),
        lock_timeout,
        lambda connection: find_collection(connection, name),
        change,
    )
    print(f"{collection} is closed")


def grant(
    role: Annotated[str, typer.Argument(help="The role in the server's DSN.")],
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    lock_timeout: options.LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Give a role every privilege that serving needs in this database; each migrate adds new ones."""

    def change(connection: Connection, grantee: str) -> list[str]:
        granted = [str(row[0]) for row in connection.execute(query("grant_server"), [grantee]).fetchall()]
        return granted or [f"{grantee} had every privilege already"]

    try:
        lines = _find_then_change(
            "realtime grant",
            migrated_dsn(config, dsn),
            lock_timeout,
            lambda connection: find_role(connection, role),
            change,
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise MigrationError(
            f"{database_error(error)}. `realtime grant` is for the owner of the schema realtime, or a superuser"
        ) from error
    print("\n".join(lines))


def _find_then_change(
    command: str,
    dsn: str,
    lock_timeout: float,
    find: Callable[[Connection], _Found],
    change: Callable[[Connection, _Found], _Result],
) -> _Result:
    """Find once what the arguments of ``command`` name, then ``change`` it in a transaction that gives way to others.

    Raises ``ReadOnlyDatabaseError`` on a standby before anything is looked up; otherwise as ``retry_on_locks`` does.
    """
    with connect_now(dsn, command, autocommit=True) as connection:
        refuse_standby(connection)
        found = find(connection)
    return retry_on_locks(
        dsn, command, lambda connection: change(connection, found), lock_timeout=lock_timeout, report=report
    )
