"""Pages of the server itself: their files, what all of them share (``static/``), and what they may load."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.responses import FileResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.http.security_headers import page_policy

__all__ = ["SHARED", "page_response", "static_files"]

SHARED: Final = Path(__file__).parent / "static"
"""Colours, type, controls, plots: modules and styles that more than one page has."""

_REVALIDATED: Final = {"Cache-Control": "no-cache"}
"""A browser asks for a file each time, so that an upgrade never mixes versions."""


def page_response(file: Path, *, sockets: bool = False) -> Response:
    """The page in ``file``, which may load scripts, styles and images of this server, and ask it; ``sockets``: also by
    WebSocket.
    """
    connect = "'self' ws: wss:" if sockets else "'self'"
    policy = page_policy(script_src="'self'", style_src="'self'", img_src="'self' data:", connect_src=connect)
    return FileResponse(file, headers={**_REVALIDATED, "Content-Security-Policy": policy})


def static_files(path: str, directory: Path) -> list[Mount]:
    """The files of ``directory`` at ``path``, with those of ``SHARED`` below its ``shared/``."""
    return [Mount(f"{path}/shared", _PageFiles(directory=SHARED)), Mount(path, _PageFiles(directory=directory))]


class _PageFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_REVALIDATED)
        return response
