"""``realtime connections``, ``channels``, ``nodes``, ``kick``, ``disconnect``: who is connected where; how to change it.

They ask the database and not a server: what they do, SQL does (``realtime.kick()``, ``realtime.disconnect()``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from psycopg.rows import dict_row

from engine.errors import RealtimeError
from engine.postgres.connections.opening import connect_now
from engine.postgres.statements.named_queries import query
from server.cli.locks.lock_waits import refuse_standby
from server.cli.prelude import migrated_dsn, refuse_figures_of_standby
from server.cli.terminal import options
from server.cli.terminal.output import print_records

__all__ = ["NoNodeError", "NotConnectedError", "channels", "connections", "disconnect", "kick", "nodes_app"]

_CONNECTIONS = ("id", "user", "node", "transport", "ip", "connected_at", "channels")
_NODES = ("node", "state", "ready", "url", "region", "connections", "capacity", "cpu", "loop_lag", "feed_lag")
_CHANNELS = ("channel", "room", "subscribers", "members", "capacity", "last_message_at")

Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="How many at most.")]


nodes_app = typer.Typer(help="The nodes, and clients that are moved between them.", no_args_is_help=True)


class NotConnectedError(RealtimeError):
    """There is no such connection."""


class NoNodeError(RealtimeError):
    """There is no such node, or it does not run."""


@nodes_app.command("list")
def list_nodes(as_json: options.AsJson = False, config: options.ConfigFile = None, dsn: options.Dsn = None) -> None:
    """List the nodes, and how full they are."""
    with _connected(migrated_dsn(config, dsn)) as connection:
        refuse_figures_of_standby(connection)
        rows = connection.execute(query("rest_nodes")).fetchall()
    print_records(_NODES, rows, as_json=as_json)


@nodes_app.command("move")
def move(
    node: Annotated[str, typer.Argument(help="The node, as `realtime nodes list` has it.")],
    share: Annotated[float, typer.Option(min=0.001, max=1, help="Of its clients.")] = 0.1,
    seconds: Annotated[float, typer.Option(min=0, max=3600, help="Over which they connect again.")] = 10,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """Ask a share of a node's clients to connect again: to the nodes that the load balancer chooses. They miss nothing."""
    rows = _change(config, dsn, "rest_move", {"node": node, "share": share, "seconds": seconds})
    if not rows:
        raise NoNodeError(f"there is no running node {node!r}; `realtime nodes list` lists them")
    print(f"order {rows[0]['id']}: {node} asks {share:.1%} of its clients within {seconds:g} s (table realtime.moves)")


def connections(
    user: Annotated[str | None, typer.Option(help="Only those of this user.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only those present in this channel.")] = None,
    node: Annotated[str | None, typer.Option(help="Only those of this node.")] = None,
    limit: Limit = 1000,
    as_json: options.AsJson = False,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """List connected clients, the longest connected first."""
    filters = {"user": user, "channel": channel, "node": node, "limit": limit}
    with _connected(migrated_dsn(config, dsn)) as connection:
        rows = connection.execute(query("list_connections"), filters).fetchall()
    print_records(_CONNECTIONS, rows, as_json=as_json)


def channels(
    pattern: Annotated[str, typer.Argument(help="Their names; * stands for any text.")] = "*",
    limit: Limit = 1000,
    as_json: options.AsJson = False,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """List channels, those with the most subscribers first: rooms, and what has members, subscribers or messages."""
    filters = {"pattern": _like(pattern), "limit": limit}
    with _connected(migrated_dsn(config, dsn)) as connection:
        refuse_figures_of_standby(connection)
        rows = connection.execute(query("list_channels"), filters).fetchall()
    print_records(_CHANNELS, rows, as_json=as_json)


def kick(
    channel: Annotated[str, typer.Argument(help="The channel.")],
    user: Annotated[str, typer.Argument(help="The user.")],
    reason: Annotated[str | None, typer.Option(help="What the user's clients are given as the reason.")] = None,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """End a user's subscriptions to a channel, on every connection. The connections live on."""
    [row] = _change(config, dsn, "rest_kick", {"channel": channel, "user_id": user, "reason": reason})
    present = row["connections"]
    print(f"{user} is removed from {channel}, where {present} {_noun(present)} of the user {_verb(present)} present")


def disconnect(
    connection: Annotated[
        str | None, typer.Argument(help="The connection, as `realtime connections` lists it.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Instead: all connections of this user.")] = None,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """End a connection, or all of a user, on whichever node. Clients are asked not to come back by themselves."""
    if (connection is None) == (user is None):
        raise typer.BadParameter("give a connection or --user")
    if user is not None:
        [row] = _change(config, dsn, "rest_disconnect_user", {"user_id": user})
    else:
        [row] = _change(config, dsn, "rest_disconnect", {"connection_id": connection})
    if not row["count"]:
        raise NotConnectedError(f"there is no connection {connection}" if user is None else f"{user} has no connection")
    print(f"{row['count']} {_noun(row['count'])} ended")


def _connected(address: str) -> psycopg.Connection[dict[str, Any]]:
    return connect_now(address, "realtime clients", autocommit=True, row_factory=dict_row)


def _change(config: Path | None, dsn: str | None, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with _connected(migrated_dsn(config, dsn)) as connection:
        refuse_standby(connection)
        return connection.execute(query(statement), parameters).fetchall()


def _like(pattern: str) -> str:
    for special in "\\", "%", "_":
        pattern = pattern.replace(special, f"\\{special}")
    return pattern.replace("*", "%")


def _noun(count: int) -> str:
    return "connection" if count == 1 else "connections"


def _verb(count: int) -> str:
    return "was" if count == 1 else "were"
