"""The WebSocket end of the port uvicorn serves: uvicorn parses the upgrade request, picows speaks WebSocket from
there on.

uvicorn makes one object of its ``ws`` class per upgrade, calls ``connection_made`` and ``data_received`` (with the
request, put together again) on it and makes it the protocol of the same transport (uvicorn,
``handle_websocket_upgrade``). A picows protocol is a buffered one, so the request is written into its buffer; all
later bytes go there straight from the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
from picows import WSAutoPingStrategy, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener
from picows.api import WSProtocol  # type: ignore[attr-defined]
from uvicorn.config import Config
from uvicorn.server import ServerState

from server.identity import Refused, Upgrade, query_of
from server.ws_connection import WebSocketConnection

__all__ = ["WEBSOCKET_PATH", "Acceptor", "RealtimeProtocol"]

WEBSOCKET_PATH = b"/realtime"

_READ_BUFFER = 4096
_GOING_AWAY = 1001
_HANDSHAKE_TIMEOUT = 5.0
# An adapter, because picows makes a new Logger object per connection from a plain logger.
_log = logging.LoggerAdapter(logging.getLogger("realtime.ws"), {})


class Acceptor(Protocol):
    """Decides about upgrade requests."""

    @property
    def message_hard_cap(self) -> int:
        """Bytes of the largest frame that is read at all."""

    def accept(self, upgrade: Upgrade) -> WebSocketConnection:
        """A listener for a new connection. Raises ``Refused``."""
        ...


class RealtimeProtocol(WSProtocol):  # type: ignore[misc]
    """One upgraded connection. ``acceptor`` is bound with ``functools.partial``; the rest is what uvicorn gives."""

    def __init__(
        self,
        acceptor: Acceptor,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._acceptor = acceptor
        self._connections = server_state.connections
        self._asyncio_transport: asyncio.Transport | None = None
        super().__init__(
            None,  # host and port: the client's side only
            None,  # path: the client's side only
            False,  # is_client_side
            self._listen,
            _log,
            True,  # disconnect_on_exception
            _HANDSHAKE_TIMEOUT,
            False,  # enable_auto_ping: pings are the connection's own affair
            10.0,
            10.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # enable_auto_pong: pings count against the message rate
            acceptor.message_hard_cap,
            None,  # extra_headers
            _READ_BUFFER,
        )

    def connection_made(self, transport: asyncio.Transport) -> None:
        """uvicorn hands over its transport."""
        self._asyncio_transport = transport
        self._connections.add(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """The upgrade request, from uvicorn."""
        rest = memoryview(data)
        while rest:
            room = self.get_buffer(len(rest))
            size = min(len(room), len(rest))
            room[:size] = rest[:size]
            rest = rest[size:]
            self.buffer_updated(size)

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes arrived from the socket."""
        super().buffer_updated(nbytes)
        if self.transport.close_handshake is not None and self.transport.is_close_frame_sent:
            self._after_close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._connections.discard(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """uvicorn shuts down."""
        if self.listener is not None:
            self.listener.close(_GOING_AWAY, "the server is shutting down")
        elif self._asyncio_transport is not None:
            self._asyncio_transport.close()

    def _after_close(self) -> None:
        # picows has refused a frame and closes soon; what still arrives must not pile up in its buffer.
        if (
            self._asyncio_transport is not None
            and self.transport.close_handshake.recv is None
            and not self.listener.closing
        ):
            self._asyncio_transport.pause_reading()

    def _listen(self, request: WSUpgradeRequest) -> WebSocketConnection | WSUpgradeResponseWithListener:
        try:
            if request.path.partition(b"?")[0] != WEBSOCKET_PATH:
                raise Refused(HTTPStatus.NOT_FOUND, "WebSocket connections are served at /realtime")
            upgrade = Upgrade(request.headers.get("Origin"), query_of(request.path), self._peer())
            return self._acceptor.accept(upgrade)
        except Refused as refused:
            return WSUpgradeResponseWithListener(_problem(refused), None)

    def _peer(self) -> str | None:
        peer = None if self._asyncio_transport is None else self._asyncio_transport.get_extra_info("peername")
        return str(peer[0]).partition("%")[0] if isinstance(peer, tuple) and peer else None  # %: an IPv6 zone


def _problem(refused: Refused) -> WSUpgradeResponse:
    body = msgspec.json.encode({"title": refused.status.phrase, "status": refused.status, "detail": str(refused)})
    response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(
        refused.status, body, {"Content-Type": "application/problem+json"}
    )
    return response
