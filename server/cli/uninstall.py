"""``realtime uninstall``: asks, removes the service from a database, and prints what was done."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from engine.errors import RealtimeError
from server.cli.locks.lock_waits import LOCK_TIMEOUT
from server.cli.prelude import dsn_of, read_settings, report
from server.cli.removal.uninstall import NodesRunError, preview, uninstall
from server.cli.terminal import options

__all__ = ["NotConfirmedError", "uninstall_command"]


class NotConfirmedError(RealtimeError):
    """The user did not agree, or could not be asked."""


def uninstall_command(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also while nodes run: end their sessions.")] = False,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    lock_timeout: options.LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Remove everything that the service made in a database, and restore what it changed. Messages are lost."""
    address = dsn_of(read_settings(config, dsn=dsn))
    found = preview(address)
    if found.running and not force:
        raise NodesRunError(
            f"nodes run: {', '.join(found.running)}. Stop them, or use --force, which ends their sessions"
        )
    if found.contents and not yes:
        _ask(found.database, found.contents)
    done = uninstall(address, force=force, lock_timeout=lock_timeout, report=report)
    print("\n".join(done) or f"database {found.database} has nothing of this service")


def _ask(database: str, contents: list[str]) -> None:
    what = f"This removes from database {database}: {'; '.join(contents)}."
    if not sys.stdin.isatty():
        raise NotConfirmedError(f"{what} To do that without a question: --yes")
    if input(f"{what}\nType the name of the database to go on: ") != database:
        raise NotConfirmedError("nothing was removed")
