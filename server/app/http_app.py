"""The HTTP application: health, further routes (the demo page), and errors as problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from engine.identity.address_lists import AddressLists
from server.auth.identity import HandshakeRejectedError
from server.http.address_gate import AddressGate
from server.http.problems import ErrorCounter, problem_of, problem_response
from server.http.security_headers import SecurityHeaders
from server.protocol.error_codes import ErrorCode
from server.transports.websocket.handshake import HEADERS_OF_426

__all__ = ["make_app"]

_log = structlog.get_logger("realtime.http")


def make_app(
    health: Sequence[BaseRoute],
    routes: Sequence[BaseRoute] = (),
    addresses: AddressLists | None = None,
    count_error: Callable[[ErrorCode, str], None] = lambda code, limit: None,
) -> ASGIApp:
    """The HTTP application; every answer of it has the security headers.

    Args:
        health: the routes of :mod:`server.observe.health`.
        routes: more routes, for instance the demo page's.
        addresses: which clients reach it, except for its health.
        count_error: called with the code of each problem document, and the limit that was reached or "".
    """

    async def upgrade_required(request: Request) -> Response:
        refused = request.scope.get("state", {}).get("refused")  # by server.app.uvicorn_http
        if refused is None:
            text = "this is the WebSocket endpoint, and the request does not ask for a WebSocket"
            refused = HandshakeRejectedError(HTTPStatus.UPGRADE_REQUIRED, text, HEADERS_OF_426)
        problem = problem_of(refused)
        assert problem is not None
        return problem.response()

    app = Starlette(
        routes=[*health, Route("/realtime", upgrade_required), *routes],
        exception_handlers={HTTPException: _http_problem, Exception: _server_problem},
    )
    app.router.redirect_slashes = False  # it redirects to the header Host, which anyone chooses
    # Not Starlette's middlewares: its answers to faults pass those by.
    return SecurityHeaders(ErrorCounter(AddressGate(app, addresses or AddressLists()), count_error))


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(error.status_code, error.detail, headers=error.headers)


async def _server_problem(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, so it is logged with its traceback.
    return problem_response(500, "the server failed to answer; see its log")
