"""uvicorn's HTTP protocol, with its transport within the application's reach, and with our WebSockets.

ASGI has no way to drop a client that does not read: returning waits until everything has been sent. So each request finds
its transport in ``scope["state"]["transport"]``; an event stream watches it and aborts it if the client stalls.

A WebSocket handshake is checked and accepted here, before any answer. A rejected handshake goes to the application as any
other request does, with the reason in ``scope["state"]["refused"]``: so the rejection is an ordinary HTTP answer. Input that
is no HTTP is answered by a problem document, too, and the client gets the time to read it.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any, ClassVar, Final, Protocol

import h11
import msgspec
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from server.auth.identity import API_KEY, HandshakeRejectedError, HandshakeRequest, handshake_of, query_of
from server.http.client_address import TrustedProxies
from server.http.own_requests import placed
from server.http.problems import MEDIA_TYPE, problem_document
from server.http.proxy_header import InvalidProxyHeaderError, ProxyHeader
from server.http.security_headers import SECURITY_HEADERS
from server.http.visitor import VisitorHeaders
from server.transports.websocket.handshake import PROTOCOL, asks_for_websocket, handshake_key, protocols
from server.transports.websocket.upgrade import RealtimeProtocol
from server.transports.websocket.websocket_connection import WebSocketConnection

__all__ = ["WEBSOCKET_PATH", "HandshakeHandler", "HttpProtocol"]

WEBSOCKET_PATH: Final = "/realtime"

_LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a request line with its headers."""

_MAX_HEADERS: Final = 500

_NO_PROXIES: Final = TrustedProxies()
_NO_VISITORS: Final = VisitorHeaders()

_NO_PROTOCOL: Final = asyncio.Protocol()
"""Between two protocols of a transport: uvloop keeps ``data_received`` of the last one that had it, and would keep all that
was needed to read the handshake for as long as the connection is open.
"""

_LINGER: Final = 2.0
"""Seconds in which a refused client may go on sending: unread bytes at a close destroy the answer (TCP's RST)."""

_log = structlog.get_logger("realtime.http")
_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
_QUOTED: Final = re.compile(r""":? (?:bytearray\()?b?['"]""")
_FLOOD_ANSWER: Final = b"".join(
    (
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\nConnection: close\r\n",
        *(b"%b: %b\r\n" % header for header in SECURITY_HEADERS),
        b"\r\n",
    )
)
"""An address that floods has its whole quota again after a minute without a request."""

_DETAILS: Final = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the request line and the headers are too long",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "HTTP/1.1 is spoken here",
    HTTPStatus.NOT_IMPLEMENTED: "this transfer encoding is not supported",
}


class HandshakeHandler(Protocol):
    """Decides about clients that want a WebSocket."""

    @property
    def message_hard_cap(self) -> int:
        """Bytes of the largest frame that is read at all."""

    def accept(self, upgrade: HandshakeRequest) -> WebSocketConnection:
        """A listener for a new connection. Raises ``HandshakeRejectedError``."""
        ...

    def floods(self, ip: str) -> bool:
        """Whether this address is to be dropped unanswered."""
        ...


class HttpProtocol(H11Protocol):
    """See the module. ``acceptor``, ``proxies``, ``proxy_protocol`` (connections of the proxies begin with its header) and
    ``visitors`` are bound with ``functools.partial``; uvicorn passes the rest.

    The application sees the client behind the ``proxies`` in ``scope["client"]``, and what headers have of it for analytics
    in ``scope["state"]["visitor"]``.
    """

    head_timeout: ClassVar[float] = 10.0
    """Seconds for a request line with its headers."""

    def __init__(
        self,
        acceptor: HandshakeHandler,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        proxies: TrustedProxies | None = None,
        proxy_protocol: bool = False,
        visitors: VisitorHeaders | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._acceptor = acceptor
        self._proxies = proxies or _NO_PROXIES
        self._proxy_protocol = proxy_protocol
        self._visitors = visitors or _NO_VISITORS
        self._proxy_header: ProxyHeader | None = None  # it is still to come
        self._accepted: tuple[WebSocketConnection, bytes, str | None] | None = None
        self._lingering = False
        self._dropped = False
        self._head_timer: asyncio.TimerHandle | None = None
        self.conn = self._http = _Connection(h11.SERVER, _LONGEST_HEAD)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        self._dropped = self._is_flood(transport.get_extra_info("peername"))
        if self._dropped:
            transport.abort()
            return
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)
        if self._proxy_protocol and self.client is not None and self._proxies.trusts(self.client[0]):
            self._proxy_header = ProxyHeader()
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._proxy_header is not None:
            data = self._take_proxy_header(self._proxy_header, data)
        if data and not (self._lingering or self._dropped):
            super().data_received(data)
            if self.conn.trailing_data[0]:  # the beginning of another request on the same connection
                self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        if self._dropped:
            return
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
        self.client = header.client or self.client
        if self._is_flood(header.client):
            self.transport.abort()
            return b""
        return rest

    def _is_flood(self, peer: tuple[str, int] | None) -> bool:
        """Whether the client is dropped before anything of it is read. A trusted proxy has other clients, too."""
        return peer is not None and not self._proxies.trusts(peer[0]) and self._acceptor.floods(peer[0])

    # Slow heads.

    def _expect_head(self) -> None:
        """The head of a request must be complete within ``head_timeout``: uvicorn waits for it without end."""
        if self._head_timer is None and self.conn.their_state is h11.IDLE:
            self._head_timer = self.loop.call_later(self.head_timeout, self._drop_slow_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _drop_slow_head(self) -> None:
        self._head_timer = None
        self.transport.close()

    # WebSockets.

    def _should_upgrade(self) -> bool:
        self._stop_head_timer()
        scope, proxied = self.scope, False
        if self.client is not None:
            peer, port = self.client
            proxied = self._proxies.trusts(peer)
            scope["client"] = self._proxies.client_of(peer, self._header(b"x-forwarded-for")) or peer, port
            if self._is_flood(scope["client"]):
                return True
        visitor = scope["state"]["visitor"] = self._visitors.read(self._header, proxied=proxied)
        if scope["path"] != WEBSOCKET_PATH or not asks_for_websocket(self.headers):
            return False
        try:
            key = handshake_key(scope["method"].encode(), scope["http_version"].encode(), self.headers)
            origin = next(iter(self._header(b"origin")), None)
            offered = protocols(self.headers)
            ip = None if scope["client"] is None else scope["client"][0]
            query, authorization = query_of(scope["query_string"]), self._header(b"authorization")
            keys = self._header(API_KEY.encode())
            handshake = visitor.added_to(handshake_of(origin, query, ip, authorization, offered, keys))
            connection = self._acceptor.accept(placed(handshake, scope))
            self._accepted = connection, key, PROTOCOL if PROTOCOL in offered else None
        except HandshakeRejectedError as refused:
            scope["state"]["refused"] = refused.with_traceback(None)  # its frame has the scope: a cycle
            return False
        return True

    def _header(self, name: bytes) -> list[str]:
        """The values of a header, one for each of its lines."""
        return [value.decode("latin-1") for each, value in self.headers if each == name]

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The request was let in: from here on the transport is a WebSocket's. Or it is one of a flood."""
        if self._accepted is None:
            self._answer_flood()
            return
        connection, key, agreed = self._accepted
        self.connections.discard(self)
        protocol = RealtimeProtocol(connection, self.connections, self._acceptor.message_hard_cap, agreed)
        protocol.connection_made(self.transport)
        # Frames may stand behind the request already, from a client that did not wait.
        protocol.begin(key, self.conn.trailing_data[0])
        self.transport.set_protocol(_NO_PROTOCOL)
        self.transport.set_protocol(protocol)

    def _answer_flood(self) -> None:
        """What a client behind a proxy gets in place of being dropped, which the proxy would take for a failing server.

        The bytes are always the same: neither the application nor a task has a part in it.
        """
        self._lingering = True
        self.transport.write(_FLOOD_ANSWER)
        self.transport.close()

    # Input that is no HTTP.

    def send_400_response(self, msg: str) -> None:
        """Answer an unreadable request, unless another answer is under way, and close."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        wrong = self._http.wrong
        status = HTTPStatus(400 if wrong is None else wrong.error_status_hint)
        detail = _DETAILS.get(status, msg if wrong is None else f"not an HTTP request: {_reason(wrong)}")
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


class _Connection(h11.Connection):
    """h11's, with what a server needs besides.

    It remembers why a request could not be read, knows no absolute form (RFC 9112, 3.2.2: servers must accept it), ignores
    empty lines before a request (2.2), and limits a head also if it arrives at once: h11 does while its end is missing.
    """

    wrong: h11.RemoteProtocolError | None = None

    def receive_data(self, data: bytes) -> None:
        """See the class; b"" is the end of the stream."""
        if data and self.their_state is h11.IDLE and not self.trailing_data[0]:
            data = data.lstrip(b"\r\n")
            if not data:
                return
        super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """See the class."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as wrong:
            self.wrong = wrong
            raise
        if isinstance(event, h11.Request) and (status := _problem_of(event)) is not None:
            self.wrong = h11.RemoteProtocolError("refused", error_status_hint=status)
            raise self.wrong
        if isinstance(event, h11.Request) and (found := _ABSOLUTE.match(event.target)) is not None:
            path = event.target[found.end() :]
            return h11.Request(
                method=event.method,
                headers=event.headers.raw_items(),
                target=path if path.startswith(b"/") else b"/" + path,
                http_version=event.http_version,
            )
        return event


def _reason(wrong: h11.RemoteProtocolError) -> str:
    """h11's text without the bytes that it quotes: a token may be among them."""
    return _QUOTED.split(str(wrong), maxsplit=1)[0]


def _problem_of(request: h11.Request) -> HTTPStatus | None:
    if not request.http_version.startswith(b"1."):
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    size = len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
    if size > _LONGEST_HEAD or len(request.headers) > _MAX_HEADERS:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None
