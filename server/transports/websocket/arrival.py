"""A connection on which nothing has come. The handshake of a WebSocket that comes whole, in the plain form of almost all
clients, is read here: it would cost h11 and uvicorn several times as much. One of an address for which much was done lately
is accepted in turn (:mod:`server.limits.reading_shares`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.server import ServerState

from server.auth.identity import HandshakeRejectedError
from server.limits.reading_shares import Arrivals
from server.limits.sockets import CountedSocket
from server.transports.websocket.handshakes import Handshakes, Head, plain_head
from server.transports.websocket.upgrade import become_websocket

__all__ = ["Arrival", "Heads", "address_of"]


class HttpConnection(Protocol):
    """What goes on with a connection whose first bytes are no plain handshake."""

    def take_over(
        self, transport: asyncio.Transport, data: bytes, head_due: float, refused: HandshakeRejectedError | None
    ) -> None:
        """See :meth:`server.app.uvicorn_http.HttpProtocol.take_over`."""


class Heads:
    """The heads that have to come within ``seconds``. All have as much time, so they are due in the order in which they
    were entered, and one timer does for all.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[Arrival, float] = {}  # times of the event loop
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, arrival: Arrival, loop: asyncio.AbstractEventLoop) -> float:
        """Call ``arrival.late()`` unless it leaves in time. Returns when it is due."""
        due = self._due[arrival] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._look, loop)
        return due

    def leave(self, arrival: Arrival) -> None:
        """Its head has come, or the connection is closed. May be called again."""
        self._due.pop(arrival, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._due:
            arrival, due = next(iter(self._due.items()))
            if due > now:
                self._timer = loop.call_at(due, self._look, loop)
                return
            del self._due[arrival]
            arrival.late()
        self._timer = None


class Arrival(asyncio.Protocol):
    """See the module. What is no plain handshake is left to ``http``, with the bytes that have come."""

    __slots__ = (
        "_arrivals",
        "_connections",
        "_due",
        "_go_on",
        "_handshakes",
        "_heads",
        "_http",
        "_loop",
        "_peer",
        "_socket",
        "_transport",
    )

    def __init__(
        self,
        handshakes: Handshakes,
        http: Callable[..., HttpConnection],
        heads: Heads,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._handshakes = handshakes
        self._heads = heads
        self._http = partial(http, config, server_state, app_state)
        self._connections: set[Any] = server_state.connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._socket: CountedSocket | None = None
        self._peer: tuple[str, int] | None = None  # to ask the transport takes a socket object each time
        self._due = 0.0
        self._arrivals: Arrivals | None = None  # where it waits
        self._go_on: Callable[[], None] | None = None  # when it need not wait any more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        self._peer = address_of(transport)
        self._socket = self._handshakes.enter(self._peer)
        if self._socket is None:
            transport.abort()
            return
        self._transport = transport
        self._connections.add(self)
        self._due = self._heads.enter(self, self._loop)

    def data_received(self, data: bytes) -> None:
        """The first bytes arrived."""
        transport = self._transport
        if transport is None:
            return
        if (plain := plain_head(data)) is None:
            self._leave()
            self._http().take_over(transport, data, self._due, None)
            return
        head, frames = plain
        client = None if self._peer is None else self._handshakes.client_of(head, self._peer)
        self._arrivals = self._handshakes.arrivals(client)
        self._go_on = partial(self._accept, transport, head, client, data, frames)
        if self._arrivals is None:
            self.read_on()
        else:
            transport.pause_reading()
            self._arrivals.enter(self)

    def read_on(self) -> None:
        """It is accepted now, if it may be."""
        transport, go_on = self._transport, self._go_on
        if transport is None or go_on is None:
            return
        if self._arrivals is not None:
            transport.resume_reading()
        self._leave()
        go_on()

    def _accept(
        self,
        transport: asyncio.Transport,
        head: Head,
        client: tuple[str, int] | None,
        data: bytes,
        frames: bytes,
    ) -> None:
        """``data``: all that has come, ``frames`` what of it is behind the head."""
        if self._handshakes.floods(client):
            self._handshakes.answer_flood(transport)
            return
        try:
            accepted = self._handshakes.accept(head, client, self._handshakes.visitor_of(head, self._peer))
        except HandshakeRejectedError as why:
            self._http().take_over(transport, data, self._due, why.with_traceback(None))
        else:
            become_websocket(transport, accepted, self._connections, frames)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._leave()

    def late(self) -> None:
        """No request has come in time."""
        if self._transport is not None:
            self._transport.close()

    def shutdown(self) -> None:
        """uvicorn shuts down."""
        if self._transport is not None:
            self._transport.close()

    def _leave(self) -> None:
        self._connections.discard(self)
        self._heads.leave(self)
        self._transport = self._go_on = None
        if self._arrivals is not None:
            self._arrivals.leave(self)
        if self._socket is not None:
            self._socket.leave()  # an HTTP connection that goes on counts it again
            self._socket = None


def address_of(transport: asyncio.BaseTransport) -> tuple[str, int] | None:
    """The other end of the socket; None: it has none."""
    peer = transport.get_extra_info("peername")
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
