"""Keeps other web sites away from an endpoint that runs SQL: see :mod:`server.http.cross_site`. Its body must also be JSON,
which a plain form cannot send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from server.http.cross_site import why_refused
from server.http.problems import problem_response

__all__ = ["Endpoint", "refuse_cross_site"]

Endpoint = Callable[[Request], Awaitable[Response]]


def refuse_cross_site(endpoint: Endpoint, allowed_hosts: frozenset[str] = frozenset()) -> Endpoint:
    """``endpoint``, but 403 for requests that another site could have caused, and 415 for a body that is not JSON."""

    async def guarded(request: Request) -> Response:
        reason = why_refused(request, allowed_hosts)
        if reason is not None:
            return problem_response(403, reason)
        if (
            request.method == "POST"
            and request.headers.get("content-type", "").split(";")[0].strip() != "application/json"
        ):
            return problem_response(415, "send the statement as application/json")
        return await endpoint(request)

    return guarded
