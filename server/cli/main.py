"""The ``realtime`` command. An error is one line on stderr, never a traceback.

Exit codes: 0 done; 1 it failed, or ``doctor`` found a problem; 2 wrong usage or settings; 3 the database cannot be
reached or rejected the request; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from typing import Annotated

import psycopg
import structlog
import typer

from engine.errors import RealtimeError
from server.app.version import package_version
from server.cli.bench import bench
from server.cli.clients import channels, connections, disconnect, kick, nodes_app
from server.cli.config import config_command
from server.cli.doctor.diagnose import diagnose
from server.cli.doctor.finding import Finding, document_of
from server.cli.exposing import expose, grant, unexpose
from server.cli.keys import keys_app
from server.cli.locks.lock_waits import LOCK_TIMEOUT
from server.cli.migration.migrate import check_served, migrate
from server.cli.nats.command import nats_config
from server.cli.prelude import dsn_of, exit_of, failure_as_json, found_dsn, migrated_dsn, read_settings, report
from server.cli.reference.errors import errors
from server.cli.rules import rules_app
from server.cli.slots import slots_app
from server.cli.tail import tail
from server.cli.terminal import options
from server.cli.terminal.files import write_text
from server.cli.terminal.output import print_json
from server.cli.terminal.words import Commands
from server.cli.token import token
from server.cli.top import top
from server.cli.uninstall import uninstall_command
from server.logs.configure import is_for_people

__all__ = ["main"]

_log = structlog.get_logger("realtime.node")

app = typer.Typer(
    cls=Commands,
    help="Live queries over PostgreSQL.",
    epilog="Exit codes: 0 done; 1 failed, or doctor found a problem; 2 wrong usage or settings; 3 the database "
    "cannot be reached or refused; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


def main() -> None:
    """The entry point: runs a command and turns errors into a line and an exit code."""
    try:
        app(prog_name="realtime")
    except (RealtimeError, psycopg.Error) as wrong:
        message, code = exit_of(wrong)
        print(f"realtime: {message}", file=sys.stderr)
        sys.exit(code)


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
def dev(  # noqa: PLR0913
    data_dir: options.DataDir = options.DATA_DIR,
    dsn: Annotated[
        str | None, typer.Option("--dsn", help="Serve this database, and start none.", show_default=False)
    ] = None,
    examples: Annotated[
        bool | None,
        typer.Option(
            "--examples/--no-examples",
            help="Make the example tables and show the demo page. [default: not with --dsn]",
            show_default=False,
        ),
    ] = None,
    config: options.ConfigFile = None,
    host: options.Host = None,
    port: options.Port = None,
    workers: options.Workers = None,
    nodes: Annotated[
        int, typer.Option("--nodes", min=1, max=8, help="Start a cluster: a NATS server, a relay, and as many nodes.")
    ] = 1,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser, if there is a display.")
    ] = False,
) -> None:
    """Start a Postgres of its own with example tables, serve it, and show the demo page."""
    from server import demo
    from server.cli.dev import Development, run_dev

    settings = read_settings(
        config,
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
        log_format=log_format,
        ephemeral=True,
        drain_time=0.0,
    )
    with_examples = dsn is None if examples is None else examples
    if "anonymous_channels" not in settings.model_fields_set:
        settings = settings.model_copy(update={"anonymous_channels": demo.CHANNELS if with_examples else ()})
    if dsn is not None:
        dsn_of(settings.model_copy(update={"dsn": dsn}))
    run_dev(settings, Development(data_dir, dsn, with_examples, open_page, nodes, config))


@app.command("psql", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql_command_(
    context: typer.Context,
    data_dir: options.DataDir = options.DATA_DIR,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """Open psql on the database of the settings, or on that of `realtime dev`; more arguments are psql's."""
    from server.cli.dev import embedded_programs
    from server.cli.terminal.psql import connecting, psql_command, psql_program

    address = found_dsn(read_settings(config, dsn=dsn), data_dir)
    arguments, environment = psql_command(psql_program(embedded_programs()), address, context.args)
    report(connecting(address, environment))
    os.execve(arguments[0], arguments, environment)


@app.command()
def serve(  # noqa: PLR0913
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    host: options.Host = None,
    port: options.Port = None,
    workers: options.Workers = None,
    slot_name: options.SlotName = None,
    ephemeral: options.Ephemeral = None,
    decoder: options.Decoder = None,
    pool_size: options.PoolSize = None,
    pooled_dsn: options.PooledDsn = None,
    allowed_origin: options.Origins = None,
    rest_key: options.RestKey = None,
    dashboard: options.Dashboard = None,
    nats: options.Nats = None,
    node_name: options.NodeName = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
    run_migrations: Annotated[
        bool, typer.Option("--migrate", help="Bring the database to this version first.")
    ] = False,
) -> None:
    """Serve live queries over a database. More settings: the configuration file or REALTIME_... in the environment."""
    flags = {
        "dsn": dsn,
        "host": host,
        "port": port,
        "workers": workers,
        "slot_name": slot_name,
        "ephemeral": ephemeral,
        "decoder": decoder,
        "pool_size": pool_size,
        "pooled_dsn": pooled_dsn,
        "allowed_origins": tuple(allowed_origin) if allowed_origin else None,
        "rest_key": rest_key,
        "dashboard": dashboard,
        "nats_url": tuple(nats) if nats else None,
        "node_name": node_name,
        "log_level": log_level,
        "log_format": log_format,
    }
    settings = read_settings(config, **flags)
    from server.cli.serving.workers import (  # here and not above: the other commands start quicker
        Served,
        serve_with_workers,
    )

    database = dsn_of(settings)
    if run_migrations:
        for line in migrate(database, report=report):
            report(line)
    elif ahead := check_served(database):
        report(ahead)
    serve_with_workers(
        Served(settings, database, ready=partial(_report_address, settings.log_format)),
        exit_of,
        reload=partial(read_settings, config, **flags),
    )


def _report_address(log_format: str, url: str) -> None:
    """A line of its own for people, an event for programs that read the log."""
    if is_for_people(log_format):
        print(f"serving {url}", file=sys.stderr, flush=True)
    else:
        _log.info("serving", url=url)


@app.command()
def relay(  # noqa: PLR0913
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    nats: options.Nats = None,
    host: options.Host = None,
    port: options.Port = None,
    slot_name: options.SlotName = None,
    node_name: options.NodeName = None,
    decoder: options.Decoder = None,
    rest_key: options.RestKey = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
) -> None:
    """Read the one slot of a cluster and publish it to NATS, for nodes on any machine. Several relays take turns."""
    settings = read_settings(
        config,
        dsn=dsn,
        nats_url=tuple(nats) if nats else None,
        host=host,
        port=port,
        slot_name=slot_name,
        node_name=node_name,
        decoder=decoder,
        rest_key=rest_key,
        log_level=log_level,
        log_format=log_format,
    )
    from server.cluster.serve_relay import serve_relay  # here and not above: the other commands start quicker

    database = dsn_of(settings)
    if ahead := check_served(database):
        report(ahead)
    serve_relay(settings, database, partial(_report_address, settings.log_format))


@app.command("migrate")
def migrate_command(
    config: options.ConfigFile = None, dsn: options.Dsn = None, lock_timeout: options.LockTimeout = LOCK_TIMEOUT
) -> None:
    """Bring the database to this version."""
    done = migrate(dsn_of(read_settings(config, dsn=dsn)), lock_timeout=lock_timeout, report=report)
    print("\n".join(done) or "already up to date")


app.command()(expose)
app.command()(unexpose)


@app.command()
def doctor(
    as_json: options.AsJson = False,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
    decoder: options.Decoder = None,
) -> None:
    """Check whether a database is ready, and print a remedy for what is not."""
    from server.cli.serving.workers import workers_of

    settings = read_settings(config, dsn=dsn, decoder=decoder)
    with failure_as_json(as_json, lambda text: document_of([Finding("problem", text)])):
        findings = diagnose(found_dsn(settings), settings.model_copy(update={"workers": workers_of(settings)}))
    if as_json:
        print_json(document_of(findings))
    else:
        print("\n".join(map(str, findings)))
    raise typer.Exit(int(any(finding.level == "problem" for finding in findings)))


@app.command("types")
def types_command(
    ts: Annotated[bool, typer.Option("--ts", help="Types of TypeScript.")] = False,
    py: Annotated[bool, typer.Option("--py", help="Types of Python.")] = False,
    out: options.OutFile = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: print how the file differs, and exit with 1 if it does.")
    ] = False,
    config: options.ConfigFile = None,
    dsn: options.Dsn = None,
) -> None:
    """Write the types of the exposed collections, as clients see their documents."""
    from server.cli.types.python import python
    from server.cli.types.typescript import typescript
    from server.cli.types.write import difference, read_collections

    if ts == py:
        raise typer.BadParameter("give one of --ts and --py", param_hint="--ts, --py")
    if check and out is None:
        raise typer.BadParameter("it compares the file of --out", param_hint="--check")
    collections = asyncio.run(read_collections(migrated_dsn(config, dsn)))
    text = typescript(collections) if ts else python(collections)
    if out is None:
        print(text, end="")
    elif not check:
        write_text(out, text)
    elif differs := difference(out, text):
        print(differs, end="")
        raise typer.Exit(1)


app.command("config")(config_command)
app.command()(connections)
app.command()(channels)
app.command()(kick)
app.command()(disconnect)
app.command()(errors)
app.command()(bench)
app.command("nats-config")(nats_config)
app.command()(top)
app.command()(tail)
app.command()(grant)
app.command("uninstall")(uninstall_command)
app.command()(token)
app.add_typer(keys_app, name="keys")
app.add_typer(slots_app, name="slots")
app.add_typer(nodes_app, name="nodes")
app.add_typer(rules_app, name="rules")
