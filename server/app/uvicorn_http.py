"""uvicorn's HTTP protocol, with its transport within the application's reach, and with our WebSockets.

ASGI has no way to drop a client that does not read: returning waits until everything has been sent. So each request finds
its transport in ``scope["state"]["transport"]``; an event stream watches it and aborts it if the client stalls.

A WebSocket handshake is checked and accepted before any answer, and mostly without h11
(:mod:`server.transports.websocket.arrival`). A rejected handshake goes to the application as any other request does, with
the reason in ``scope["state"]["refused"]``: so the rejection is an ordinary HTTP answer. Input that is no HTTP is answered
by a problem document, too, and the client gets the time to read it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, Final

import h11
import msgspec
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from server.auth.identity import HandshakeRejectedError
from server.http.client_address import TrustedProxies
from server.http.h11_connection import LONGEST_HEAD, ServerConnection, reason_of
from server.http.own_requests import PROXIED
from server.http.problems import MEDIA_TYPE, problem_document
from server.http.proxy_header import InvalidProxyHeaderError, ProxyHeader
from server.http.security_headers import SECURITY_HEADERS
from server.http.visitor import VisitorHeaders
from server.limits.sockets import CountedSocket, NetworkSockets
from server.transports.websocket.arrival import Arrival, Heads, address_of
from server.transports.websocket.handshake import asks_for_websocket
from server.transports.websocket.handshakes import (
    WEBSOCKET_PATH,
    Accepted,
    HandshakeHandler,
    Handshakes,
    Head,
)
from server.transports.websocket.upgrade import become_websocket

__all__ = ["HttpProtocol", "arrivals"]

_LINGER: Final = 2.0
"""Seconds in which a refused client may go on sending: unread bytes at a close destroy the answer (TCP's RST)."""

_log = structlog.get_logger("realtime.http")

_DETAILS: Final = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the request line and the headers are too long",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "HTTP/1.1 is spoken here",
    HTTPStatus.NOT_IMPLEMENTED: "this transfer encoding is not supported",
}


class HttpProtocol(H11Protocol):
    """See the module. ``handshakes`` and ``proxy_protocol`` (connections of trusted proxies begin with its header) are bound
    with ``functools.partial``; uvicorn passes the rest.

    The application sees the client behind the proxies in ``scope["client"]``, and what headers have of it for analytics
    in ``scope["state"]["visitor"]``.
    """

    head_timeout: ClassVar[float] = 10.0
    """Seconds for a request line with its headers."""

    def __init__(
        self,
        handshakes: Handshakes,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        proxy_protocol: bool = False,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._handshakes = handshakes
        self._socket: CountedSocket | None = None
        self._proxy_protocol = proxy_protocol
        self._proxy_header: ProxyHeader | None = None  # it is still to come
        self._accepted: Accepted | None = None
        self._refused: HandshakeRejectedError | None = None  # the first request, which an ``Arrival`` has judged
        self._head_due: float | None = None  # when its head must have come
        self._lingering = False
        self._head_timer: asyncio.TimerHandle | None = None
        self.conn = self._http = ServerConnection(h11.SERVER, LONGEST_HEAD)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        self._socket = self._handshakes.enter(address_of(transport))
        if self._socket is None:
            transport.abort()
            return
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)
        if self._proxy_protocol and self.client is not None and self._handshakes.trusts(self.client[0]):
            self._proxy_header = ProxyHeader()
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._proxy_header is not None:
            data = self._take_proxy_header(self._proxy_header, data)
        if data and self._socket is not None and not self._lingering:
            super().data_received(data)
            if self.conn.trailing_data[0]:  # the beginning of another request on the same connection
                self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        if self._socket is None:
            return
        self._socket.leave()
        self._stop_head_timer()
        super().connection_lost(exc)

    def _take_proxy_header(self, header: ProxyHeader, data: bytes) -> bytes:
        """The bytes behind the header of the PROXY protocol. A proxy that sends another beginning is disconnected."""
        try:
            rest = header.feed(data)
        except InvalidProxyHeaderError as wrong:
            _log.warning("proxy_header_invalid", proxy=self.client and self.client[0], error=str(wrong))
            self.transport.abort()
            return b""
        if rest is None:
            return b""
        self._proxy_header = None
        self.app_state = {**self.app_state, PROXIED: True}
        self.client = header.client or self.client
        if (socket := self._handshakes.enter(header.client)) is None:
            self.transport.abort()
            return b""
        self._socket = socket  # in place of the proxy's, which does not count
        return rest

    # Slow heads.

    def _expect_head(self) -> None:
        """The head of a request must be complete within ``head_timeout``: uvicorn waits for it without end."""
        if self._head_timer is None and self.conn.their_state is h11.IDLE:
            due, self._head_due = self._head_due, None
            left = self.head_timeout if due is None else max(0.0, due - self.loop.time())
            self._head_timer = self.loop.call_later(left, self._drop_slow_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _drop_slow_head(self) -> None:
        self._head_timer = None
        self.transport.close()

    def take_over(
        self, transport: asyncio.Transport, data: bytes, head_due: float, refused: HandshakeRejectedError | None
    ) -> None:
        """Go on with the connection of an ``Arrival``, on which ``data`` has come. ``head_due``: the time of the event loop
        when the head of its request must be complete; ``refused``: why it becomes no WebSocket.
        """
        self._head_due, self._refused = head_due, refused
        transport.set_protocol(self)
        self.connection_made(transport)
        self.data_received(data)

    # WebSockets.

    def _should_upgrade(self) -> bool:
        self._stop_head_timer()
        scope, earlier = self.scope, self._refused
        self._refused = None
        head = Head(scope["method"].encode(), scope["http_version"].encode(), scope["query_string"], self.headers)
        if self.client is not None:
            scope["client"] = self._handshakes.client_of(head, self.client)
            if self._handshakes.floods(scope["client"]):
                return True
        visitor = scope["state"]["visitor"] = self._handshakes.visitor_of(head, self.client)
        if scope["path"] != WEBSOCKET_PATH or not asks_for_websocket(head.lines):
            return False
        try:
            if earlier is not None:
                raise earlier
            proxied = self.app_state.get(PROXIED, False)
            self._accepted = self._handshakes.accept(head, scope["client"], visitor, proxied=proxied)
        except HandshakeRejectedError as refused:
            scope["state"]["refused"] = refused.with_traceback(None)  # its frame has the scope: a cycle
            return False
        return True

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The request was let in: from here on the transport is a WebSocket's. Or it is one of a flood."""
        if self._accepted is None or self._socket is None:
            self._lingering = True
            self._handshakes.answer_flood(self.transport)
            return
        self.connections.discard(self)
        self._socket.leave()
        # Frames may stand behind the request already, from a client that did not wait.
        become_websocket(self.transport, self._accepted, self.connections, self.conn.trailing_data[0])

    # Input that is no HTTP.

    def send_400_response(self, msg: str) -> None:
        """Answer an unreadable request, unless another answer is under way, and close."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        wrong = self._http.wrong
        status = HTTPStatus(400 if wrong is None else wrong.error_status_hint)
        detail = _DETAILS.get(status, msg if wrong is None else f"not an HTTP request: {reason_of(wrong)}")
        body = msgspec.json.encode(problem_document(status, detail))
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *SECURITY_HEADERS,
        ]
        reason = status.phrase.encode()
        for part in (
            h11.Response(status_code=status, headers=headers, reason=reason),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(part) or b"")
        self._lingering = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)


def arrivals(
    acceptor: HandshakeHandler,
    *,
    proxies: TrustedProxies | None = None,
    proxy_protocol: bool = False,
    visitors: VisitorHeaders | None = None,
    sockets: NetworkSockets | None = None,
) -> Any:
    """What uvicorn makes a protocol of for each connection; parameters as of ``Handshakes`` and ``HttpProtocol``."""
    handshakes = Handshakes(acceptor, proxies, visitors, sockets)
    http = partial(HttpProtocol, handshakes, proxy_protocol=proxy_protocol)
    return http if proxy_protocol else partial(Arrival, handshakes, http, Heads(HttpProtocol.head_timeout))
