"""``realtime keys``: API keys of applications and of their servers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from engine.postgres.connections.opening import connect_now
from engine.postgres.statements.named_queries import query
from server.auth.api_keys import PREFIX_LENGTH, looks_like_key
from server.cli.locks.lock_waits import refuse_standby
from server.cli.prelude import migrated_dsn
from server.cli.terminal import options
from server.cli.terminal.durations import seconds_of
from server.cli.terminal.output import print_table

__all__ = ["keys_app"]

_HEADS = ("NAME", "KIND", "PREFIX", "SCOPES", "EXPIRES", "FROM", "STATE", "ID")

keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


class Kind(StrEnum):
    """See ``realtime.api_keys.kind``."""

    PUBLISHABLE = "publishable"
    SECRET = "secret"


@keys_app.command("create")
def create(  # noqa: PLR0913 - an option each
    name: Annotated[str, typer.Argument(help="What it is for.")],
    kind: Annotated[
        Kind, typer.Option(help="publishable: for clients; secret: for REST requests of servers.")
    ] = Kind.PUBLISHABLE,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What a secret key may do: publish, history, presence, channels, connections, sessions, alerts, metrics, "
            "or dashboard: read everything. [default: all]"
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it lasts, such as 8h or 90d. [default: for ever]")
    ] = None,
    allow_ip: Annotated[
        list[str] | None, typer.Option(help="Address or CIDR block that it may be used from. [default: any]")
    ] = None,
    deny_ip: Annotated[
        list[str] | None, typer.Option(help="Address or CIDR block that it may not be used from.")
    ] = None,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """Make a key and print it. It cannot be shown again."""
    seconds = None if expires is None else seconds_of(expires, "--expires")
    address = migrated_dsn(config, dsn)
    made = {"name": name, "kind": kind.value, "scopes": scope, "allowed": allow_ip, "denied": deny_ip}
    print(_call(address, "create_api_key", seconds=seconds, **made))


@keys_app.command("list")
def list_keys(config: options.ConfigFile = None, dsn: options.Dsn = None) -> None:
    """List the keys, the latest first. The keys themselves are not kept."""
    with connect_now(migrated_dsn(config, dsn), "realtime keys", autocommit=True) as connection:
        rows = connection.execute(query("list_api_keys")).fetchall()
    print_table(_HEADS, [tuple(map(str, row)) for row in rows])


@keys_app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="Its id, or its prefix.")],
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """Revoke a key: its connections are closed, and every server refuses it."""
    named = key[:PREFIX_LENGTH] if looks_like_key(key) else key  # PostgreSQL may log what it is sent
    done = _call(migrated_dsn(config, dsn), "revoke_api_key", key=named)
    print("it is revoked" if done else "it had been revoked before")


def _call(address: str, statement: str, **parameters: object) -> object:
    with connect_now(address, "realtime keys", autocommit=True) as connection:
        refuse_standby(connection)
        row = connection.execute(query(statement), parameters).fetchone()
    assert row is not None
    return row[0]
