"""What every command needs first: the settings, the database's address, and words for its errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from engine.errors import RealtimeError
from engine.postgres.connections.conninfo import address
from server.app.loading import settings_with_places, unknown_variables
from server.app.settings import Settings, SettingsError
from server.app.sources.layers import DATABASE_URL, DOTENV_FILE, variables_of
from server.cli.local_postgres import running_in
from server.cli.migration.migrate import MigrationError, check_migrated
from server.cli.terminal.options import DATA_DIR
from server.cli.terminal.output import print_json
from server.logs.configure import configure_logs
from server.workers.supervisor import WorkersFailedError

__all__ = [
    "StandbyError",
    "database_error",
    "dsn_of",
    "exit_of",
    "failure_as_json",
    "found_dsn",
    "migrated_dsn",
    "read_settings",
    "refuse_figures_of_standby",
    "report",
    "report_unknown_variables",
]

_WAYS: Final = (
    "use --dsn, REALTIME_DSN (in the environment or .env), dsn in realtime.toml, or "
    "DATABASE_URL with a postgresql:// address"
)


class StandbyError(RealtimeError):
    """What was asked for is not on a standby; the message has what to do."""


def read_settings(config: Path | None, **flags: object) -> Settings:
    """The settings of a command; logs are written according to them. Raises ``SettingsError``."""
    settings, places = settings_with_places(config, **flags)
    configure_logs(settings.log_level, settings.log_format)
    report_unknown_variables()
    if settings.dsn is not None:
        _check_address(settings.dsn, places.get("dsn"))
    return settings


def report_unknown_variables() -> None:
    """Warn of variables that look like settings and are none."""
    for unknown in unknown_variables():
        report(f"ignored: {unknown}")


def migrated_dsn(config: Path | None, dsn: str | None) -> str:
    """The connection string of a database that this version migrated. Raises as ``found_dsn`` and ``check_migrated`` do."""
    found = found_dsn(read_settings(config, dsn=dsn))
    check_migrated(found)
    return found


def refuse_figures_of_standby(connection: psycopg.Connection[Any]) -> None:
    """Raise ``StandbyError`` on a standby: what nodes count is in unlogged tables, which are on the primary only."""
    if connection.info.parameter_status("in_hot_standby") == "on":
        raise StandbyError(
            "this server is a standby, which does not have the figures of nodes, channels and live queries: connect to the "
            "primary (target_session_attrs=read-write in the DSN finds it among several hosts). `realtime slots` and "
            "`realtime doctor` work here"
        )


def dsn_of(settings: Settings) -> str:
    """The database's connection string. Raises ``SettingsError`` without one, or if it is none."""
    if settings.dsn is None:
        raise SettingsError(_no_database())
    _check_address(settings.dsn)
    return settings.dsn


def _check_address(dsn: str, place: str | None = None) -> None:
    """Raise ``SettingsError``, with the ``place`` of the setting if that is known, for what is no address."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:  # libpq's words would repeat the text, and with it a password
        where = f"{place}: " if place else ""
        raise SettingsError(
            f"{where}the dsn is not a PostgreSQL address: write postgresql://user@host:5432/database, or host=... "
            "dbname=..."
        ) from None


def _no_database() -> str:
    """That none is given, and the ways to give one. ``DATABASE_URL`` may have one of another kind."""
    other = os.environ.get(DATABASE_URL) or variables_of(DOTENV_FILE).get(DATABASE_URL)
    return f"no database is given{f', and {DATABASE_URL} is no postgresql:// address' if other else ''}: {_WAYS}"


def found_dsn(settings: Settings, data_dir: Path = DATA_DIR) -> str:
    """The connection string of the settings; where they have none, of the ``realtime dev`` that runs with ``data_dir``.

    That one is reported, so that it is plain which database is read or changed. Raises ``SettingsError``.
    """
    if settings.dsn is not None:
        return dsn_of(settings)
    found = running_in(data_dir)
    if found is None:
        raise SettingsError(f"{_no_database()}; and no `realtime dev` runs in {data_dir}")
    report(f"no database is given, so it is that of the `realtime dev` in {data_dir}: {address(found)}")
    return found


def report(text: str) -> None:
    """Progress, on stderr beside the output."""
    print(f"realtime: {text}", file=sys.stderr, flush=True)


def database_error(error: psycopg.Error) -> str:
    """PostgreSQL's message in one line, with its hint, or where there is none with its detail."""
    text = error.diag.message_primary or " ".join(str(error).split())
    more = error.diag.message_hint or error.diag.message_detail
    if not more and isinstance(error, psycopg.errors.InsufficientPrivilege):
        more = (
            "`realtime doctor` lists the privileges that the role lacks, `realtime grant ROLE` gives those of serving"
        )
    return f"{text}. {' '.join(more.split())}" if more else text


@contextmanager
def failure_as_json(as_json: bool, document: Callable[[str], object]) -> Iterator[None]:
    """Print ``document`` of what a command reports of an error, before that ends the command, if ``as_json``."""
    try:
        yield
    except (RealtimeError, psycopg.Error) as wrong:
        if as_json:
            print_json(document(exit_of(wrong)[0]))
        raise


def exit_of(error: RealtimeError | psycopg.Error) -> tuple[str, int]:
    """What a command reports of ``error``, and its exit code."""
    if isinstance(error, psycopg.Error):
        return database_error(error), 3
    if isinstance(error, SettingsError):
        return str(error), 2
    if isinstance(error, MigrationError):
        return str(error), 3 if isinstance(error.__cause__, psycopg.Error) else 1
    return str(error), error.exit_code if isinstance(error, WorkersFailedError) else 1
