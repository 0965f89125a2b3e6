"""The commands that change what of a database is served: ``realtime expose``, ``unexpose`` and ``grant``."""

from __future__ import annotations

from typing import Annotated

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
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    lock_timeout: options.LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Let clients subscribe to a table."""
    address = migrated_dsn(config, dsn)
    with connect_now(address, "realtime expose", autocommit=True) as connection:
        refuse_standby(connection)
        found = find_table(connection, table)
        wanted = None if columns is None else find_columns(connection, found, columns)

    def work(connection: Connection) -> str:
        row = connection.execute(query("expose"), [found.oid, name, wanted, camel_case, replica_identity]).fetchone()
        assert row is not None
        return str(row[0])

    collection = retry_on_locks(address, "realtime expose", work, lock_timeout=lock_timeout, report=report)
    print(f"clients can subscribe to db:collection:{collection}")


def unexpose(
    name: Annotated[str, typer.Argument(help="The collection's name, or its table's.")],
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    lock_timeout: options.LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Close a collection; its live queries end."""
    address = migrated_dsn(config, dsn)
    with connect_now(address, "realtime unexpose", autocommit=True) as connection:
        refuse_standby(connection)
        collection = find_collection(connection, name)

    def work(connection: Connection) -> None:
        connection.execute(query("unexpose"), [collection])

    retry_on_locks(address, "realtime unexpose", work, lock_timeout=lock_timeout, report=report)
    print(f"{collection} is closed")


def grant(
    role: Annotated[str, typer.Argument(help="The role in the server's DSN.")],
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    lock_timeout: options.LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Give a role every privilege that serving needs in this database; each migrate adds new ones."""
    address = migrated_dsn(config, dsn)
    with connect_now(address, "realtime grant", autocommit=True) as connection:
        refuse_standby(connection)
        grantee = find_role(connection, role)

    def work(connection: Connection) -> list[str]:
        return [str(row[0]) for row in connection.execute(query("grant_server"), [grantee]).fetchall()]

    try:
        granted = retry_on_locks(address, "realtime grant", work, lock_timeout=lock_timeout, report=report)
    except psycopg.errors.InsufficientPrivilege as error:
        raise MigrationError(
            f"{database_error(error)}. `realtime grant` is for the owner of the schema realtime, or a superuser"
        ) from error
    print("\n".join(granted) or f"{grantee} had every privilege already")
