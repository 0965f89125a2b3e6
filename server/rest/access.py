"""Access to the REST API: by the key; without a configured key, from this machine only.

The API is for servers: it reads and writes everything. A request through a proxy looks as if it came from this machine, so
without a key such requests are refused, and so are requests that another web site could have made a browser on this
machine send.
"""

from __future__ import annotations

import hmac
from http import HTTPStatus

from starlette.requests import Request

from server.http.cross_site import why_refused
from server.http.loopback import is_loopback
from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode

__all__ = ["Access"]

_PROXIED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class Access:
    """``key``: what requests must carry as ``Authorization: Bearer KEY``; None: only this machine has access."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def check(self, request: Request) -> None:
        """Raises ``ProblemError`` if the request is not let in."""
        if self._key is None:
            self._check_local(request)
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._key.encode()):
            text = "this needs the header Authorization: Bearer KEY with the server's rest_key"
            raise ProblemError(
                ErrorCode.AUTHENTICATION_FAILED, text, headers={"WWW-Authenticate": 'Bearer realm="realtime"'}
            )

    def _check_local(self, request: Request) -> None:
        if request.client is None or not is_loopback(request.client.host):
            raise ProblemError(
                ErrorCode.PERMISSION_DENIED,
                "without a rest_key the REST API answers only requests from the server's own machine",
            )
        if any(name in request.headers for name in _PROXIED):
            raise ProblemError(
                ErrorCode.PERMISSION_DENIED, "the request came through a proxy; set a rest_key to allow that"
            )
        if (reason := why_refused(request, frozenset())) is not None:
            raise ProblemError(ErrorCode.PERMISSION_DENIED, reason, HTTPStatus.FORBIDDEN)
