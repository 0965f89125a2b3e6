"""Keeps other web sites away from an endpoint that runs SQL.

A page from elsewhere can make the developer's browser send requests here. Three things stop it: the request must come
from our own origin, its body must be JSON (which a plain form cannot send), and our host name must be one that no
stranger's DNS can point at this machine (DNS rebinding): ``localhost``, an IP address, or a name that was allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

__all__ = ["Endpoint", "refuse_cross_site", "why_refused"]

Endpoint = Callable[[Request], Awaitable[Response]]


def refuse_cross_site(endpoint: Endpoint, allowed_hosts: frozenset[str] = frozenset()) -> Endpoint:
    """``endpoint``, but 403 for what another site could have caused, and 415 for a body that is not JSON."""

    async def guarded(request: Request) -> Response:
        reason = why_refused(request, allowed_hosts)
        if reason is not None:
            return _problem(403, "Forbidden", reason)
        if (
            request.method == "POST"
            and request.headers.get("content-type", "").split(";")[0].strip() != "application/json"
        ):
            return _problem(415, "Unsupported Media Type", "send the statement as application/json")
        return await endpoint(request)

    return guarded


def why_refused(request: Request, allowed_hosts: frozenset[str]) -> str | None:
    """Why this request may come from another site, in plain words; None if it cannot."""
    host = request.headers.get("host", "")
    name = _host_name(host)
    if not _is_ours(name) and name not in allowed_hosts:
        return f"the page was opened under the host name {name!r}; open it as localhost or by its IP address"
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:  # "null" has none
        return f"the request comes from {origin}, not from this page"
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return "the request comes from another site"
    return None


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # an unclosed bracket
        return ""


def _is_ours(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _problem(status: int, title: str, detail: str) -> Response:
    return JSONResponse(
        {"type": "about:blank", "title": title, "status": status, "detail": detail},
        status_code=status,
        media_type="application/problem+json",
    )
