"""``realtime slots``: every slot of the cluster, and dropping one.

A slot that is not one of this database's nodes may be a standby's, a subscription's or another product's. It is dropped
only if its name was typed twice.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from engine.errors import FeedError, RealtimeError
from engine.feed.slots import SlotInfo, drop_slot, list_slots
from engine.postgres.connections.conninfo import answer_timeout
from engine.postgres.connections.opening import connect
from server.cli.prelude import failure_as_json, found_dsn, read_settings
from server.cli.terminal import options
from server.cli.terminal.output import print_json, print_table, size_in_words

__all__ = ["ForeignSlotError", "drop", "print_slots", "slots_app"]

_HEADS = (
    "NAME", "TYPE", "DATABASE", "PLUGIN", "ACTIVE", "OWNER", "LAG", "LAG SECONDS", "RETAINED WAL", "WAL STATUS",
)  # fmt: skip


class ForeignSlotError(RealtimeError):
    """The slot belongs to no node of this database; the message describes it and how to drop it nevertheless."""


async def print_slots(dsn: str, *, as_json: bool = False) -> None:
    """Print every slot of the cluster, as a table or a JSON array. Raises ``psycopg.Error``, which a JSON object with
    ``error`` has, too.
    """
    with failure_as_json(as_json, lambda text: {"error": text}):
        async with await connect(dsn, "realtime slots", answer_timeout=answer_timeout(dsn)) as connection:
            found = await list_slots(connection)
    if as_json:
        print_json([asdict(slot) for slot in found])
    else:
        print_table(_HEADS, [_row(slot) for slot in found])


def _row(slot: SlotInfo) -> tuple[str, ...]:
    return (
        slot.name,
        ", ".join(filter(None, (slot.type, slot.kept))),
        slot.database or "-",
        slot.plugin or "-",
        "yes" if slot.active else "no",
        f"{slot.node} on {slot.host or '?'}" if slot.node else "a node that is gone" if slot.ours else "-",
        size_in_words(slot.lag_bytes),
        "-" if slot.lag_seconds is None else f"{slot.lag_seconds:.1f}",
        size_in_words(slot.retained_bytes),
        slot.wal_status or "-",
    )


async def drop(dsn: str, name: str, force: str | None, ask: Callable[[str], str]) -> None:
    """Drop the slot ``name``.

    Args:
        dsn: the database of this service's nodes.
        name: the slot.
        force: the name again, for a foreign slot.
        ask: puts a question to the user; called only at a terminal, when ``force`` is not given.

    Raises ``ForeignSlotError``, ``SlotBusyError``, ``FeedError`` if there is none, ``psycopg.Error``.
    """
    async with await connect(dsn, "realtime slots", answer_timeout=answer_timeout(dsn)) as connection:
        slot = next((slot for slot in await list_slots(connection) if slot.name == name), None)
        if slot is None:
            raise FeedError(f"there is no replication slot {name!r}")
        if not slot.ours and not slot.active:  # a slot in use is refused by drop_slot, with its user
            _insist(slot, force, ask)
        await drop_slot(connection, name)


def _insist(slot: SlotInfo, force: str | None, ask: Callable[[str], str]) -> None:
    kind = " ".join(filter(None, (slot.kept, slot.type)))
    where = f" of database {slot.database}, plugin {slot.plugin}" if slot.type == "logical" else ""
    what = f"slot {slot.name} is not one of this database's nodes: a {kind} slot{where}"
    copies = ", and its copies on standbys go, too" if slot.kept == "failover" else ""
    if force is None and sys.stdin.isatty():
        force = ask(f"{what}. Its consumer loses its place for good{copies}. Type its name to drop it: ")
    if force is None:
        raise ForeignSlotError(
            f"{what}. If it is not needed{copies}: realtime slots drop {slot.name} --force {slot.name}"
        )
    if force != slot.name:
        raise ForeignSlotError(f"{what}. It is not dropped: {force!r} is not its name")


slots_app = typer.Typer(help="List replication slots, or drop one.", invoke_without_command=True)


@slots_app.callback()
def slots(
    context: typer.Context, as_json: options.AsJson = False, config: options.ConfigFile = None, dsn: options.Dsn = None
) -> None:
    """List replication slots, or drop one."""
    context.obj = (config, dsn)
    if context.invoked_subcommand is None:
        asyncio.run(print_slots(found_dsn(read_settings(config, dsn=dsn)), as_json=as_json))


@slots_app.command("list")
def slots_list(
    context: typer.Context, as_json: options.AsJson = False, config: options.ConfigFile = None, dsn: options.Dsn = None
) -> None:
    """List replication slots, as ``realtime slots`` does."""
    config_before, dsn_before = context.obj
    address = found_dsn(read_settings(config or config_before, dsn=dsn or dsn_before))
    asyncio.run(print_slots(address, as_json=as_json))


@slots_app.command("drop")
def slots_drop(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The slot.")],
    force: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name again: for a slot that is not one of this database's nodes."),
    ] = None,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """Drop a slot that is not in use."""
    config_before, dsn_before = context.obj
    address = found_dsn(read_settings(config or config_before, dsn=dsn or dsn_before))
    asyncio.run(drop(address, name, force, ask=input))
    print(f"{name} is dropped")
