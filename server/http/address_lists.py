"""Which addresses clients may come from: lists of addresses and CIDR blocks that are allowed or denied.

The lists of the settings hold for all connections and requests except ``/health``; a request is judged before it is read
further and before a WebSocket is accepted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.problems import problem_response

__all__ = ["REFUSAL", "AddressGate", "AddressLists"]

REFUSAL: Final = "this server accepts no connections from your address"
_UNGUARDED: Final = "/health"

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressLists:
    """An address is admitted if no network of ``denied`` has it, and if one of ``allowed`` has it or that list is empty.

    An IPv4 address in IPv6 form is the IPv4 address. What is no address (a Unix socket's peer has none) is admitted only
    where there are no lists. ``refused``: how many were not admitted. Raises ``ValueError`` for what is no network.
    """

    def __init__(self, allowed: Iterable[str] = (), denied: Iterable[str] = ()) -> None:
        self._allowed = _networks(allowed)
        self._denied = _networks(denied)
        self.refused = 0

    def admit(self, client: str | None) -> bool:
        """Whether a client may come from this address; counts it if not."""
        if self._admits(client):
            return True
        self.refused += 1
        return False

    def _admits(self, client: str | None) -> bool:
        if not self._allowed and not self._denied:
            return True
        address = _address(client)
        if address is None or any(address in network for network in self._denied):
            return False
        return not self._allowed or any(address in network for network in self._allowed)


class AddressGate:
    """An application that only admitted addresses reach, except for ``/health``; others get 403."""

    def __init__(self, app: ASGIApp, lists: AddressLists) -> None:
        self._app = app
        self._lists = lists

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        app = self._app
        if scope["type"] == "http" and scope["path"] != _UNGUARDED and "refused" not in scope.get("state", {}):
            client = scope.get("client")
            if not self._lists.admit(None if client is None else client[0]):
                app = problem_response(HTTPStatus.FORBIDDEN, REFUSAL)
        await app(scope, receive, send)


def _networks(texts: Iterable[str]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def _address(text: str | None) -> _Address | None:
    if text is None:
        return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])  # %: an IPv6 zone
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
