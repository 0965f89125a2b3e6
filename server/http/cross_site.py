"""Detection of requests that another web site could have caused.

A page of another site can make the developer's browser send requests here. Two checks prevent it: the request must have
the server's own origin, and its host name must be one that foreign DNS cannot point at this machine (DNS rebinding):
``localhost``, an IP address, or a name that was allowed.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request

__all__ = ["is_own_page", "why_refused"]


def why_refused(request: Request, allowed_hosts: frozenset[str]) -> str | None:
    """The reason why this request may come from another site, as a text; None if it cannot."""
    host = request.headers.get("host", "")
    name = _host_name(host)
    if not _is_ours(name) and name not in allowed_hosts:
        return f"the page was opened under the host name {name!r}; open it as localhost or by its IP address"
    origin = request.headers.get("origin")
    if origin is not None and not is_own_page(request):
        return f"the request comes from {origin}, not from this page"
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return "the request comes from another site"
    return None


def is_own_page(request: Request) -> bool:
    """Whether the header ``Origin`` names the host that the request was sent to."""
    try:
        own = urlsplit(request.headers.get("origin", "")).netloc  # "null" has none
    except ValueError:  # an unclosed bracket
        return False
    return own != "" and own == request.headers.get("host")


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
