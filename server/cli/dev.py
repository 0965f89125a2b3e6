"""``realtime dev``: everything on this machine with one command, and left as it was found at the end."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server import demo, manual
from server.app.listening import holder_of, listen, listen_near
from server.app.settings import Settings, SettingsError
from server.auth.origins import LOCAL_ORIGINS
from server.cli.local_postgres import LocalPostgres, LocalPostgresError, embedded_bin_dir
from server.cli.migration.migrate import migrate
from server.cli.prelude import exit_of, report
from server.cli.serving.dev_nodes import Cluster, cluster
from server.cli.serving.second_start import refuse_second_start
from server.cli.serving.workers import Served, serve_with_workers
from server.cli.terminal.options import DATA_DIR
from server.dashboard import PATH
from server.http.loopback import is_loopback
from server.logs.masking import without_secrets

__all__ = [
    "Development",
    "clients_of",
    "embedded_programs",
    "hint_of",
    "listener_of",
    "run_dev",
    "with_dashboard",
    "with_users_of_addresses",
]

_WELCOME = """
  Demo page   {page}
  Dashboard   {dashboard}
  Docs        {docs}
  Postgres    {dsn}
              {psql} opens it
{nodes}  Clients     {clients}

  {hint} Ctrl+C stops.
"""
_WITHOUT_A_TOKEN = """\
. Without a token they may use
              the channels {channels}, and read all exposed collections"""
_NODES = """\
  Nodes       {nodes}, too: what one is sent, all deliver
  Relay       {relay}/health
"""
_WITH_EXAMPLES = "Change rows with psql, or in the page's SQL box, and watch every open page follow."
_WITHOUT_EXAMPLES = "In psql, select realtime.expose('TABLE') lets clients subscribe to a table."


@dataclass(frozen=True, slots=True)
class Development:
    """What is served for a developer.

    ``data_dir``: of the Postgres that is started. ``dsn``: a database to serve in its place. ``examples``: with the demo's
    tables and page. ``open_page``: in a browser, if there is a display. ``nodes``: as many, with a relay and NATS between.
    ``config``: the file that was named, for these.
    """

    data_dir: Path
    dsn: str | None = None
    examples: bool = True
    open_page: bool = False
    nodes: int = 1
    config: Path | None = None


def run_dev(settings: Settings, development: Development) -> None:
    """Serve a Postgres of our own, or a database that is given, until interrupted: migrated, and with the examples.

    Raises ``SettingsError``, ``LocalPostgresError``, ``LocalNatsError``, ``MigrationError``, ``AlreadyServedError``,
    ``ServeError``, ``FeedError`` or ``psycopg.Error``.
    """
    if development.nodes > 1 and (settings.workers or 1) > 1:
        raise SettingsError(
            "--nodes and --workers exclude each other: each node of a development cluster is one process"
        )
    settings = with_dashboard(_for_pages_of_this_machine(with_users_of_addresses(settings)))
    if settings.workers is None:
        settings = settings.model_copy(update={"workers": 1})  # enough for a developer, and it starts sooner
    listener = listener_of(settings)
    with _database(development) as dsn:
        report("bringing the database to this version")
        migrate(dsn, report=report)
        refuse_second_start(dsn, settings.slot_name)
        if development.examples:
            report("making the example tables")
            demo.seed(dsn)

        with _nodes(settings, dsn, listener, development) as nodes:

            def ready(url: str) -> None:
                print(_welcome(settings, development, dsn, url, nodes), flush=True)
                if development.open_page and _has_display():
                    webbrowser.open(url if development.examples else f"{url.rstrip('/')}{PATH}")

            routes = [*manual.routes(), *(demo.routes(dsn) if development.examples else ())]
            serve_with_workers(Served(nodes.settings, dsn, routes, ready, listener), exit_of)


def embedded_programs() -> Path | None:
    """The folder with the programs of the embedded PostgreSQL, if that is installed."""
    try:
        return embedded_bin_dir()
    except LocalPostgresError:
        return None


@contextmanager
def _nodes(settings: Settings, dsn: str, listener: socket.socket, development: Development) -> Iterator[Cluster]:
    """The nodes beside this one, if there are several."""
    count = development.nodes
    if count == 1:
        yield Cluster(settings)
        return
    report(f"starting NATS, a relay and {count} nodes")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that they are ended then, too
    with cluster(settings, dsn, listener.getsockname()[1], count, development.config) as nodes:
        yield nodes


def _welcome(settings: Settings, development: Development, dsn: str, url: str, nodes: Cluster) -> str:
    dashboard = f"{url.rstrip('/')}{PATH}" if settings.dashboard else "off (setting dashboard)"
    page = f"{url}" if development.examples else "off (--examples)"
    return _WELCOME.format(
        page=page,
        nodes=_NODES.format(nodes=", ".join(nodes.others), relay=nodes.relay) if nodes.others else "",
        dashboard=dashboard,
        docs=f"{url.rstrip('/')}/docs",
        dsn=without_secrets(dsn),
        psql=_psql(development),
        clients=clients_of(settings),
        hint=hint_of(development),
    )


def hint_of(development: Development) -> str:
    """What the developer may do next: nothing that needs the address of the database, which only ``psql`` finds itself."""
    return _WITH_EXAMPLES if development.examples else _WITHOUT_EXAMPLES


def clients_of(settings: Settings) -> str:
    """Which clients the server accepts, in words for its developer."""
    user = ", or the user of ?user= in the address: for development only" if settings.trust_user_parameter else ""
    if not settings.allow_anonymous:
        return f"with a token{user}" if user else "with a token only (allow_anonymous = false); ?user= is refused"
    channels = ", ".join(("public:*", *settings.anonymous_channels))
    return f"anonymous{user}{_WITHOUT_A_TOKEN.format(channels=channels)}"


def _psql(development: Development) -> str:
    """The command that opens psql on the database, as it can be typed in this folder."""
    program = "realtime" if shutil.which("realtime") else sys.argv[0]
    if development.dsn is not None:
        return f"{program} psql --dsn ..."
    if development.data_dir == DATA_DIR:
        return f"{program} psql"
    return f"{program} psql --data-dir {shlex.quote(str(development.data_dir))}"


def with_users_of_addresses(settings: Settings) -> Settings:
    """``?user=`` is believed, unless the setting is given, or clients need a token: then an address would do without one."""
    if "trust_user_parameter" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"trust_user_parameter": settings.allow_anonymous})


def _for_pages_of_this_machine(settings: Settings) -> Settings:
    """A development server believes ``?user=``, and the developer's browser reaches it from every page that is open there:
    so other sites' pages may not connect, unless the setting or the address to listen on is chosen otherwise.
    """
    local = settings.host == "localhost" or is_loopback(settings.host)
    if "allowed_origins" in settings.model_fields_set or not local:
        return settings
    return settings.model_copy(update={"allowed_origins": LOCAL_ORIGINS})


def with_dashboard(settings: Settings) -> Settings:
    """The dashboard is there unless the setting is given."""
    return settings if "dashboard" in settings.model_fields_set else settings.model_copy(update={"dashboard": True})


def listener_of(settings: Settings) -> socket.socket:
    """On the requested port; without one, the first free port from the default on."""
    if "port" in settings.model_fields_set:
        return listen(settings.host, settings.port, settings.user_timeout)
    listener = listen_near(settings.host, settings.port, settings.user_timeout)
    if (port := listener.getsockname()[1]) != settings.port:
        holder = holder_of(settings.port)
        taken = f"port {settings.port} is taken{f' by {holder}' if holder else ''}"
        print(f"{taken}; using {port} (another: --port, or make demo PORT=...)", file=sys.stderr)
    return listener


@contextmanager
def _database(development: Development) -> Iterator[str]:
    """The address of the database to serve: given, or of a server that is stopped at the end if it did not run before."""
    if development.dsn is not None:
        yield development.dsn
        return
    data_dir = development.data_dir
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalPostgresError(f"no PostgreSQL can be in {data_dir}: {error.strerror}") from error
    postgres = LocalPostgres(data_dir)
    ran_before = postgres.running
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it is stopped then, too
    try:
        new = not (postgres.data_dir / "PG_VERSION").exists()
        report(f"{'making' if new else 'starting'} a PostgreSQL in {data_dir}")
        postgres.start()
        yield postgres.dsn
    finally:
        if not ran_before:
            postgres.stop()


def _has_display() -> bool:
    """Without one, ``webbrowser`` would start a browser in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
