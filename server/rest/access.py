"""Access to the REST API: with the server's rest_key or a secret API key; without the former, also from this machine.

The API is for servers: it reads and writes everything. A request through a proxy looks as if it came from this machine, so
without a key such requests are refused, and so are requests that another web site could have made a browser on this
machine send.
"""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Final

from starlette.requests import Request

from server.auth.api_keys import KeyRing, looks_like_key
from server.auth.identity import API_KEY
from server.auth.refusal import AuthenticationError
from server.http.cross_site import why_refused
from server.http.loopback import is_loopback
from server.http.problems import CHALLENGE, ProblemError
from server.protocol.error_codes import ErrorCode

__all__ = ["Access"]

_PROXIED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_NEEDED: Final = "this needs the header Authorization: Bearer KEY with the server's rest_key or a secret API key"


class Access:
    """Lets requests in.

    Args:
        key: a static key, which gives everything; None: there is none, and this machine needs no key.
        ring: the API keys.
        required: this machine needs a key, too.
    """

    def __init__(self, key: str | None, ring: KeyRing, *, required: bool = False) -> None:
        self._key = key
        self._ring = ring
        self._required = required

    @property
    def keyed(self) -> bool:
        """Whether every request needs a key."""
        return self._key is not None or self._required

    def check(self, request: Request, scope: str) -> None:
        """Raises ``ProblemError`` if the request may not do what ``scope`` names, ``RealtimeError`` if that is not known."""
        given = self._given(request)
        if given is not None and (self._key is None or not hmac.compare_digest(given.encode(), self._key.encode())):
            self._check_key(given, scope)
        elif given is None and self.keyed:
            raise _refused(_NEEDED)
        elif given is None:
            self._check_local(request)

    def _given(self, request: Request) -> str | None:
        """The key of a request. Without a rest_key, other bearer tokens than API keys may be those of a proxy."""
        if API_KEY in request.query_params:
            raise _refused(
                "REST takes no key from the address, where proxies log it: send it in a header, and revoke it"
            )
        schemes = [each.partition(" ") for each in request.headers.getlist("authorization")]
        given = [key.strip() for scheme, _, key in schemes if scheme.lower() == "bearer"]
        named = request.headers.getlist(API_KEY)
        keys = named + [each for each in given if self._key is not None or looks_like_key(each)]
        if len(keys) > 1:
            raise ProblemError(
                ErrorCode.INVALID_MESSAGE, "one key is accepted, in the header Authorization or in the header apikey"
            )
        return keys[0] if keys else None

    def _check_key(self, text: str, scope: str) -> None:
        try:
            key = self._ring.check(text)
        except AuthenticationError as refusal:
            raise _refused(str(refusal) if looks_like_key(text) or self._key is None else _NEEDED) from refusal
        if not key.secret:
            raise ProblemError(
                ErrorCode.PERMISSION_DENIED, "a publishable API key has no rights here: the REST API takes secret ones"
            )
        if key.scopes is not None and scope not in key.scopes:
            raise ProblemError(ErrorCode.PERMISSION_DENIED, f"the API key {key.prefix} lacks the scope {scope}")

    def _check_local(self, request: Request) -> None:
        if request.client is None or not is_loopback(request.client.host):
            raise ProblemError(
                ErrorCode.PERMISSION_DENIED,
                "without a rest_key or a secret API key the REST API answers only requests from the server's own machine",
            )
        if any(name in request.headers for name in _PROXIED):
            raise ProblemError(
                ErrorCode.PERMISSION_DENIED,
                "the request came through a proxy; that needs a rest_key or a secret API key",
            )
        if (reason := why_refused(request, frozenset())) is not None:
            raise ProblemError(ErrorCode.PERMISSION_DENIED, reason, HTTPStatus.FORBIDDEN)


def _refused(text: str) -> ProblemError:
    return ProblemError(ErrorCode.AUTHENTICATION_FAILED, text, headers=CHALLENGE)
