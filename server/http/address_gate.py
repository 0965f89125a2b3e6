"""Which addresses clients may come from.

The lists of the settings hold for all connections and requests except ``/health``; a request is judged before it is read
further and before a WebSocket is accepted.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from engine.identity.address_lists import AddressLists
from server.http.problems import problem_response

__all__ = ["REFUSAL", "AddressGate"]

REFUSAL: Final = "this server accepts no connections from your address"
_UNGUARDED: Final = frozenset(("/health", "/health/live", "/health/ready"))


class AddressGate:
    """An application that only admitted addresses reach, except for ``/health``; others get 403."""

    def __init__(self, app: ASGIApp, lists: AddressLists) -> None:
        self._app = app
        self._lists = lists

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        app = self._app
        if scope["type"] == "http" and scope["path"] not in _UNGUARDED and "refused" not in scope.get("state", {}):
            client = scope.get("client")
            if not self._lists.admit(None if client is None else client[0]):
                app = problem_response(HTTPStatus.FORBIDDEN, REFUSAL)
        await app(scope, receive, send)
