"""The HTTP end: health, whatever routes are added (the demo page), and errors as problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

__all__ = ["make_app"]

_log = structlog.get_logger("realtime.http")


def make_app(status: Callable[[], Mapping[str, Any]], routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The HTTP application.

    Args:
        status: what ``GET /health`` says; its ``status`` is ``ok`` if requests should come here.
        routes: more routes, for instance the demo page's.
    """

    async def health(request: Request) -> Response:
        now = status()
        code = HTTPStatus.OK if now["status"] == "ok" else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONResponse(now, code, headers={"Cache-Control": "no-store"})

    async def upgrade_required(request: Request) -> Response:
        raise HTTPException(
            HTTPStatus.UPGRADE_REQUIRED,
            "this is the WebSocket endpoint",
            {"Upgrade": "websocket", "Connection": "Upgrade"},
        )

    return Starlette(
        routes=[Route("/health", health), Route("/realtime", upgrade_required), *routes],
        exception_handlers={HTTPException: _http_problem, Exception: _server_problem},
    )


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, error.detail, error.headers)


async def _server_problem(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, so it is logged with its traceback.
    return _problem(500, "the server failed to answer; its log says why", None)


def _problem(status: int, detail: str, headers: Mapping[str, str] | None) -> Response:
    title = HTTPStatus(status).phrase
    body = {"title": title, "status": status} | ({"detail": detail} if detail != title else {})
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")
