"""uvicorn's HTTP protocol, with its transport within the application's reach.

ASGI has no way to drop a client that takes nothing: returning waits until everything has been sent. So each request finds
its transport in ``scope["state"]["transport"]``, for an event stream to look at and, at worst, abort.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HttpProtocol"]


class HttpProtocol(H11Protocol):
    """See the module."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)
