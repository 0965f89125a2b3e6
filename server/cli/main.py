"""The ``realtime`` command. An error is one line on stderr, never a traceback.

Exit codes: 0 done; 1 it failed, or ``doctor`` found a problem; 2 wrong usage or settings; 3 the database cannot be
reached or rejected the request; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from psycopg.conninfo import conninfo_to_dict

from engine.errors import RealtimeError
from engine.postgres.connections.opening import connect_now
from engine.postgres.statements.named_queries import query
from server.app.logs import configure_logs
from server.app.settings import Settings, SettingsError, load_settings, unknown_variables
from server.app.version import package_version
from server.cli import options
from server.cli import slots as slots_command
from server.cli.doctor.diagnose import diagnose
from server.cli.locks.lock_waits import LOCK_TIMEOUT, Connection, refuse_standby, retry_on_locks
from server.cli.migrate import MigrationError, check_migrated, check_served, migrate
from server.cli.names import find_collection, find_columns, find_role, find_table

__all__ = ["main"]

app = typer.Typer(
    help="Live queries over PostgreSQL.",
    epilog="Exit codes: 0 done; 1 failed, or doctor found a problem; 2 wrong usage or settings; 3 the database "
    "cannot be reached or refused; 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
slots_app = typer.Typer(help="List replication slots, or drop one.", invoke_without_command=True)
app.add_typer(slots_app, name="slots")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(package_version())
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Live queries over PostgreSQL."""


_LockTimeout = Annotated[
    float,
    typer.Option(
        min=0.001,
        metavar="SECONDS",
        help="How long to wait for locks before the transaction is rolled back and tried again, up to ten times.",
    ),
]


def main() -> None:
    """The entry point: runs a command and turns errors into a line and an exit code."""
    try:
        app(prog_name="realtime")
    except SettingsError as wrong:
        _fail(str(wrong), 2)
    except MigrationError as wrong:
        _fail(str(wrong), 3 if isinstance(wrong.__cause__, psycopg.Error) else 1)
    except RealtimeError as wrong:
        _fail(str(wrong), 1)
    except psycopg.Error as wrong:
        _fail(_database_error(wrong), 3)


@app.command("version")
def version_command() -> None:
    """Print the version."""
    typer.echo(package_version())


@app.command("help", hidden=True)
def help_command(context: typer.Context) -> None:
    """List the commands."""
    assert context.parent is not None
    typer.echo(context.parent.get_help())


@app.command()
def dev(
    data_dir: Annotated[Path, typer.Option(help="Where its Postgres keeps its data.")] = Path(".realtime/postgres"),
    config: options.ConfigFile = None,
    host: options.Host = None,
    port: options.Port = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser, if there is a display.")
    ] = False,
) -> None:
    """Start a Postgres of its own with example tables, serve it, and show the demo page."""
    from server.cli.dev import run_dev

    settings = _settings(
        config,
        host=host,
        port=port,
        log_level=log_level,
        log_format=log_format,
        ephemeral=True,
        trust_user_parameter=True,
        drain_time=0.0,
    )
    run_dev(settings, data_dir, open_page=open_page)


@app.command()
def serve(  # noqa: PLR0913
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    host: options.Host = None,
    port: options.Port = None,
    slot_name: options.SlotName = None,
    ephemeral: options.Ephemeral = None,
    decoder: options.Decoder = None,
    pool_size: options.PoolSize = None,
    pooled_dsn: options.PooledDsn = None,
    allowed_origin: options.Origins = None,
    rest_key: options.RestKey = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
    run_migrations: Annotated[
        bool, typer.Option("--migrate", help="Bring the database to this version first.")
    ] = False,
) -> None:
    """Serve live queries over a database. More settings: the configuration file or REALTIME_... in the environment."""
    settings = _settings(
        config,
        dsn=dsn,
        host=host,
        port=port,
        slot_name=slot_name,
        ephemeral=ephemeral,
        decoder=decoder,
        pool_size=pool_size,
        pooled_dsn=pooled_dsn,
        allowed_origins=tuple(allowed_origin) if allowed_origin else None,
        rest_key=rest_key,
        log_level=log_level,
        log_format=log_format,
    )
    from server.app.server import serve as serve_until_stopped  # here and not above: the other commands start quicker

    database = _dsn(settings)
    if run_migrations:
        for line in migrate(database, report=_report):
            _report(line)
    elif ahead := check_served(database):
        _report(ahead)
    serve_until_stopped(settings, database, ready=lambda url: print(f"serving {url}", file=sys.stderr, flush=True))


@app.command("migrate")
def migrate_command(
    config: options.ConfigFile = None, dsn: options.Dsn = None, lock_timeout: _LockTimeout = LOCK_TIMEOUT
) -> None:
    """Bring the database to this version."""
    done = migrate(_dsn(_settings(config, dsn=dsn)), lock_timeout=lock_timeout, report=_report)
    print("\n".join(done) or "already up to date")


@app.command()
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
    lock_timeout: _LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Let clients subscribe to a table."""
    address = _migrated(config, dsn)
    with connect_now(address, "realtime expose", autocommit=True) as connection:
        refuse_standby(connection)
        found = find_table(connection, table)
        wanted = None if columns is None else find_columns(connection, found, columns)

    def work(connection: Connection) -> str:
        row = connection.execute(query("expose"), [found.oid, name, wanted, camel_case, replica_identity]).fetchone()
        assert row is not None
        return str(row[0])

    collection = retry_on_locks(address, "realtime expose", work, lock_timeout=lock_timeout, report=_report)
    print(f"clients can subscribe to db:collection:{collection}")


@app.command()
def unexpose(
    name: Annotated[str, typer.Argument(help="The collection's name, or its table's.")],
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    lock_timeout: _LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Close a collection; its live queries end."""
    address = _migrated(config, dsn)
    with connect_now(address, "realtime unexpose", autocommit=True) as connection:
        refuse_standby(connection)
        collection = find_collection(connection, name)

    def work(connection: Connection) -> None:
        connection.execute(query("unexpose"), [collection])

    retry_on_locks(address, "realtime unexpose", work, lock_timeout=lock_timeout, report=_report)
    print(f"{collection} is closed")


@app.command()
def doctor(config: options.ConfigFile = None, dsn: options.Dsn = None, decoder: options.Decoder = None) -> None:
    """Check whether a database is ready, and print a remedy for what is not."""
    settings = _settings(config, dsn=dsn, decoder=decoder)
    findings = diagnose(_dsn(settings), settings)
    for finding in findings:
        print(finding)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


@app.command()
def grant(
    role: Annotated[str, typer.Argument(help="The role in the server's DSN.")],
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    lock_timeout: _LockTimeout = LOCK_TIMEOUT,
) -> None:
    """Give a role every privilege that serving needs in this database; each migrate adds new ones."""
    address = _migrated(config, dsn)
    with connect_now(address, "realtime grant", autocommit=True) as connection:
        refuse_standby(connection)
        grantee = find_role(connection, role)

    def work(connection: Connection) -> list[str]:
        return [str(row[0]) for row in connection.execute(query("grant_server"), [grantee]).fetchall()]

    try:
        granted = retry_on_locks(address, "realtime grant", work, lock_timeout=lock_timeout, report=_report)
    except psycopg.errors.InsufficientPrivilege as error:
        raise MigrationError(
            f"{_database_error(error)}. `realtime grant` is for the owner of the schema realtime, or a superuser"
        ) from error
    print("\n".join(granted) or f"{grantee} had every privilege already")


@slots_app.callback()
def slots(context: typer.Context, config: options.ConfigFile = None, dsn: options.Dsn = None) -> None:
    """List replication slots, or drop one."""
    context.obj = (config, dsn)
    if context.invoked_subcommand is None:
        asyncio.run(slots_command.print_slots(_dsn(_settings(config, dsn=dsn))))


@slots_app.command("list")
def slots_list(context: typer.Context, config: options.ConfigFile = None, dsn: options.Dsn = None) -> None:
    """List replication slots, as ``realtime slots`` does."""
    config_before, dsn_before = context.obj
    asyncio.run(slots_command.print_slots(_dsn(_settings(config or config_before, dsn=dsn or dsn_before))))


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
    address = _dsn(_settings(config or config_before, dsn=dsn or dsn_before))
    asyncio.run(slots_command.drop(address, name, force, ask=input))
    print(f"{name} is dropped")


def _settings(config: Path | None, **flags: object) -> Settings:
    settings = load_settings(config, **flags)
    configure_logs(settings.log_level, settings.log_format)
    for unknown in unknown_variables():
        _report(f"ignored: {unknown}")
    return settings


def _migrated(config: Path | None, dsn: str | None) -> str:
    """The connection string of a database that this version migrated. Raises as ``_dsn`` and ``check_migrated`` do."""
    address = _dsn(_settings(config, dsn=dsn))
    check_migrated(address)
    return address


def _dsn(settings: Settings) -> str:
    if settings.dsn is None:
        raise SettingsError("no database is given: use --dsn, REALTIME_DSN, or dsn in the --config file")
    try:
        conninfo_to_dict(settings.dsn)
    except psycopg.ProgrammingError:  # libpq's words would repeat the text, and with it a password
        raise SettingsError(
            "the dsn is not a PostgreSQL address: write postgresql://user@host:5432/database, or host=... dbname=..."
        ) from None
    return settings.dsn


def _report(text: str) -> None:
    """Progress, on stderr beside the output."""
    print(f"realtime: {text}", file=sys.stderr, flush=True)


def _fail(message: str, code: int) -> None:
    print(f"realtime: {message}", file=sys.stderr)
    sys.exit(code)


def _database_error(error: psycopg.Error) -> str:
    """PostgreSQL's message in one line, with its hint, or where there is none with its detail."""
    text = error.diag.message_primary or " ".join(str(error).split())
    more = error.diag.message_hint or error.diag.message_detail
    if not more and isinstance(error, psycopg.errors.InsufficientPrivilege):
        more = (
            "`realtime doctor` lists the privileges that the role lacks, `realtime grant ROLE` gives those of serving"
        )
    return f"{text}. {' '.join(more.split())}" if more else text
