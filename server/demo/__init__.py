"""The demo page of ``realtime dev``: a message board, a sales board and a SQL box over a few made-up tables.

:func:`seed` makes the tables, :func:`routes` serves the page and runs the SQL that is typed into it, as the owner of
the database. That is for a developer's own machine; ``realtime serve`` never mounts these routes.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from engine.postgres.connections.opening import connect_now
from engine.postgres.statements.named_queries import query
from server.demo.guard import refuse_cross_site
from server.demo.statement import endpoint
from server.http.pages import page_response, static_files
from server.repository_address import repository_address

__all__ = ["CHANNELS", "routes", "seed"]

CHANNELS: Final = ("chat:*", "presence:*")
"""Those that the examples of the README and of the guides use, besides ``public:*``."""

_HERE: Final = Path(__file__).parent
_SEED_FILES: Final = ("conversation.sql", "seed.sql", "expose.sql")


def seed(dsn: str) -> None:
    """Make the demo's tables, fill them if they are empty, and expose them. Safe to call at every start.

    Raises ``psycopg.Error`` if the database is not migrated, or has tables of these names with other columns.
    """
    with connect_now(dsn, "realtime demo seed") as connection:
        connection.answer_timeout = None  # filling tables takes its time, and another start may be doing it
        connection.execute(query("path_of_role"))  # the demo's tables are where the role's tables are
        connection.execute(query("demo_seed_lock"))
        for name in _SEED_FILES:
            connection.execute((_HERE / name).read_bytes())


def routes(dsn: str, *, allowed_hosts: frozenset[str] = frozenset()) -> list[BaseRoute]:
    """The page at ``/``, its files below ``/demo/static``, and ``POST /demo/sql``.

    Args:
        dsn: the development database; statements run as its user.
        allowed_hosts: host names, besides ``localhost`` and IP addresses, under which the page may be opened.
    """

    async def page(request: Request) -> Response:
        return page_response(_HERE / "static" / "index.html", sockets=True)

    async def about(request: Request) -> Response:
        repository = await asyncio.to_thread(_repository)
        return JSONResponse(
            {"dsn": _without_password(dsn), "repository": repository}, headers={"Cache-Control": "no-store"}
        )

    return [
        Route("/", page),
        Route("/demo/about", refuse_cross_site(about, allowed_hosts)),
        Route("/demo/sql", refuse_cross_site(endpoint(dsn), allowed_hosts), methods=["POST"]),
        *static_files("/demo/static", _HERE / "static"),
    ]


@cache
def _repository() -> str | None:
    try:
        named = metadata("bunbase-realtime").get_all("Project-URL") or ()
    except PackageNotFoundError:
        named = ()
    return repository_address(named, _HERE.parents[1])


def _without_password(dsn: str) -> str:
    """``dsn`` as an argument of psql, without the password."""
    parts = {name: value for name, value in conninfo_to_dict(dsn).items() if name not in {"password", "passfile"}}
    if "password" not in conninfo_to_dict(dsn) and dsn.startswith(("postgres://", "postgresql://")):
        return dsn
    return make_conninfo("", **parts)
