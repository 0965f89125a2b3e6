"""The dashboard of operators: one page at ``/dashboard``, which shows what the REST API answers and has no secrets itself.

It is served where the setting ``dashboard`` is on. Everything that it shows or does is a request to the REST API, with the
key or the token that the operator gave; without one it gets what this machine gets. So these routes ask for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.http.pages import page_response, static_files

__all__ = ["PATH", "dashboard_routes"]

PATH: Final = "/dashboard"

_STATIC: Final = Path(__file__).parent / "static"


def dashboard_routes() -> Sequence[BaseRoute]:
    """The page at ``PATH``, and its files below ``PATH/static``."""

    async def page(request: Request) -> Response:
        return page_response(_STATIC / "index.html")

    return [*static_files(f"{PATH}/static", _STATIC), Route(PATH, page)]
