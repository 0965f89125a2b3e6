"""``realtime dev``: everything on this machine with one command, and left as it was found at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server import demo
from server.app.listening import listen, listen_near
from server.app.settings import Settings
from server.auth.origins import LOCAL_ORIGINS
from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from server.cli.prelude import exit_of
from server.cli.serving.workers import Served, serve_with_workers
from server.dashboard import PATH
from server.http.loopback import is_loopback

__all__ = ["run_dev", "with_dashboard"]

_WELCOME = """
  Demo page   {url}
  Dashboard   {dashboard}
  Postgres    {psql}
  Clients     anonymous, or the user of ?user= in the address: for development only. Without a token they may use
              the channels {channels}, and read all exposed collections

  Change rows with psql, or in the page's SQL box, and watch every open page follow. Ctrl+C stops.
"""


def run_dev(settings: Settings, data_dir: Path, *, open_page: bool = False) -> None:
    """Start a Postgres of our own in ``data_dir``, migrate and seed it, and serve it with the demo page until
    interrupted.

    Raises ``LocalPostgresError``, ``MigrationError``, ``ServeError`` or ``FeedError``.
    """
    settings = with_dashboard(_for_pages_of_this_machine(settings))
    if settings.workers is None:
        settings = settings.model_copy(update={"workers": 1})  # enough for a developer, and it starts sooner
    listener = _listen(settings)
    with _postgres(data_dir) as postgres:
        migrate(postgres.dsn)
        demo.seed(postgres.dsn)

        def ready(url: str) -> None:
            channels = ", ".join(("public:*", *settings.anonymous_channels))
            dashboard = f"{url.rstrip('/')}{PATH}" if settings.dashboard else "off (setting dashboard)"
            print(_WELCOME.format(url=url, dashboard=dashboard, psql=_psql(postgres), channels=channels), flush=True)
            if open_page and _has_display():
                webbrowser.open(url)

        serve_with_workers(Served(settings, postgres.dsn, demo.routes(postgres.dsn), ready, listener), exit_of)


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


def _listen(settings: Settings) -> socket.socket:
    """The requested port; without one, the first free port from the default on."""
    if "port" in settings.model_fields_set:
        return listen(settings.host, settings.port, settings.user_timeout)
    listener = listen_near(settings.host, settings.port, settings.user_timeout)
    if (port := listener.getsockname()[1]) != settings.port:
        print(f"port {settings.port} is taken; using {port} (another: --port, or make demo PORT=...)", file=sys.stderr)
    return listener


def _psql(postgres: LocalPostgres) -> str:
    """The command that opens ``psql``; with its path where only the server's own installation has one."""
    installed = shutil.which("psql") is not None
    return f"{'psql' if installed else postgres.bin_dir / 'psql'} {postgres.dsn}"


@contextmanager
def _postgres(data_dir: Path) -> Iterator[LocalPostgres]:
    """A running server; stopped at the end if it did not run before."""
    postgres = LocalPostgres(data_dir)
    ran_before = postgres.data_dir.exists() and postgres.running
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it is stopped then, too
    try:
        postgres.start()
        yield postgres
    finally:
        if not ran_before:
            postgres.stop()


def _has_display() -> bool:
    """Without one, ``webbrowser`` would start a browser in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
