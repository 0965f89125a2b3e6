"""Requests of operators that need no key, since nothing but this machine can send them, and of pages of this server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from starlette.requests import Request

from server.auth.identity import WATCH, HandshakeRequest
from server.http.cross_site import is_own_page, why_refused
from server.http.loopback import is_loopback

__all__ = ["PROXIED", "placed", "why_not_local"]

PROXIED: Final = "proxied"
"""In ``scope["state"]``: whether the connection began with a header of the PROXY protocol."""

_PROXIED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def why_not_local(request: Request) -> str | None:
    """Why a request needs a key, as a text; None: a program of this machine sent it, or a page of this server in a browser
    of this machine.
    """
    if request.client is None or not is_loopback(request.client.host):
        return "without a rest_key or a secret API key the REST API answers only requests from the server's own machine"
    if request.scope.get("state", {}).get(PROXIED) or any(name in request.headers for name in _PROXIED):
        return "the request came through a proxy; that needs a rest_key or a secret API key"
    return why_refused(request, frozenset())


def placed(handshake: HandshakeRequest, scope: Mapping[str, object]) -> HandshakeRequest:
    """The handshake with what its request shows about where it came from.

    A page of this server need not be among ``allowed_origins`` to use a token. One that reaches it under a name of its own
    (DNS rebinding) looks like such a page, but has no token.
    """
    if handshake.token is not None:
        own = handshake.origin is not None and is_own_page(Request(dict(scope)))
        return replace(handshake, origin=None) if own else handshake
    if handshake.query.get(WATCH) == "on" and why_not_local(Request(dict(scope))) is None:
        return replace(handshake, origin=None, local=True)
    return handshake
