"""Pages of the server itself: their files, what all of them share (``static/``), and what they may load."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.http.security_headers import page_policy

__all__ = ["SHARED", "PageFiles", "html_response", "page_response", "static_files"]

SHARED: Final = Path(__file__).parent / "static"
"""Colours, type, controls, plots: modules and styles that more than one page has."""

_REVALIDATED: Final = {"Cache-Control": "no-cache"}
"""A browser asks for a file each time, so that an upgrade never mixes versions."""


def page_response(file: Path, *, sockets: bool = False) -> Response:
    """The page in ``file``, which may load scripts, styles and images of this server, and ask it; ``sockets``: also by
    WebSocket.
    """
    return FileResponse(file, headers=_headers("'self' ws: wss:" if sockets else "'self'"))


def html_response(text: str) -> Response:
    """A page that is made for the request, which may load what ``page_response``'s may."""
    return HTMLResponse(text, headers=_headers("'self'"))


def _headers(connect: str) -> dict[str, str]:
    policy = page_policy(script_src="'self'", style_src="'self'", img_src="'self' data:", connect_src=connect)
    return {**_REVALIDATED, "Content-Security-Policy": policy}


def static_files(path: str, directory: Path) -> list[Mount]:
    """The files of ``directory`` at ``path``, with those of ``SHARED`` below its ``shared/``."""
    return [Mount(f"{path}/shared", PageFiles(directory=SHARED)), Mount(path, PageFiles(directory=directory))]


class PageFiles(StaticFiles):
    """The files of a folder, for which a browser asks each time."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Starlette: the file, with the header."""
        response = await super().get_response(path, scope)
        response.headers.update(_REVALIDATED)
        return response
