"""Which addresses clients may come from: lists of addresses and CIDR blocks that are allowed or denied.

The lists of the settings hold for all connections and requests except ``/health``; a request is judged before it is read
further and before a WebSocket is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.addresses import parse_address, parse_networks
from server.http.problems import problem_response

__all__ = ["REFUSAL", "AddressGate", "AddressLists"]

REFUSAL: Final = "this server accepts no connections from your address"
_UNGUARDED: Final = "/health"


class AddressLists:
    """An address is admitted if no network of ``denied`` has it, and if one of ``allowed`` has it or that list is empty.

    An IPv4 address in IPv6 form is the IPv4 address. What is no address (a Unix socket's peer has none) is admitted only
    where there are no lists. ``refused``: how many were not admitted. Raises ``ValueError`` for what is no network.
    """

    def __init__(self, allowed: Iterable[str] = (), denied: Iterable[str] = ()) -> None:
        self._allowed = parse_networks(allowed)
        self._denied = parse_networks(denied)
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
        address = None if client is None else parse_address(client)
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
