"""Judges the handshakes of WebSockets, however their heads were read, and begins the connections that are accepted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from server.auth.identity import API_KEY, HandshakeRequest, handshake_of, query_of
from server.http.client_address import TrustedProxies
from server.http.floods import FloodAnswers
from server.http.own_requests import PROXIED, placed
from server.http.visitor import Visitor, VisitorHeaders
from server.limits.reading_shares import Arrivals
from server.limits.sockets import CountedSocket, NetworkSockets
from server.transports.websocket.handshake import PROTOCOL, Headers, asks_for_websocket, handshake_key, protocols
from server.transports.websocket.websocket_connection import WebSocketConnection

__all__ = ["WEBSOCKET_PATH", "Accepted", "HandshakeHandler", "Handshakes", "Head", "plain_head"]

WEBSOCKET_PATH: Final = "/realtime"

_NO_PROXIES: Final = TrustedProxies()
_NO_VISITORS: Final = VisitorHeaders()
_NO_BOUND: Final = NetworkSockets(1 << 31)

_PLAIN: Final = re.compile(
    rb"GET /realtime(?:\?([!-~]*+))? HTTP/1\.1\r\n((?:[-!#$%&'*+.^_`|~0-9A-Za-z]++:[\t -~]*+\r\n)++)\r\n"
)
_LINES: Final = re.compile(rb"([^:]++):([^\r]*+)\r\n")
_KEY_HEADER: Final = API_KEY.encode()
_LONGEST_PLAIN: Final = 16 * 1024  # bytes
_MAX_PLAIN_HEADERS: Final = 100
_NOT_PLAIN: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})


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

    def arrivals(self, ip: str) -> Arrivals | None:
        """Where a new connection of this address waits until it is accepted; None: it need not."""
        ...


class Head:
    """The head of a request. ``version``: of HTTP, as in ``1.1``; ``query``: of the address, as it came; ``lines``: the
    values of each header.
    """

    __slots__ = ("headers", "lines", "method", "query", "version")

    def __init__(self, method: bytes, version: bytes, query: bytes, headers: Headers) -> None:
        self.method = method
        self.version = version
        self.query = query
        self.headers = headers
        self.lines: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in self.lines:
                self.lines[name].append(value)
            else:
                self.lines[name] = [value]

    def values(self, name: bytes) -> Sequence[str]:
        """The values of a header, one for each of its lines."""
        lines = self.lines.get(name)
        return () if lines is None else [value.decode("latin-1") for value in lines]


class Accepted(Struct, frozen=True):
    """A handshake that was accepted. ``agreed``: the subprotocol that the answer names."""

    connection: WebSocketConnection
    key: bytes
    agreed: str | None
    message_hard_cap: int


class Handshakes:
    """See the module. ``acceptor`` decides about those in the right form, ``sockets`` how many may be open before that."""

    def __init__(
        self,
        acceptor: HandshakeHandler,
        proxies: TrustedProxies | None = None,
        visitors: VisitorHeaders | None = None,
        sockets: NetworkSockets | None = None,
    ) -> None:
        self._acceptor = acceptor
        self.answer_flood = FloodAnswers().answer
        """Answers a request of a client that floods, and closes; see :mod:`server.http.floods`."""
        self._sockets = _NO_BOUND if sockets is None else sockets
        self._proxies = proxies or _NO_PROXIES
        self._visitors = visitors or _NO_VISITORS

    def trusts(self, peer: str) -> bool:
        """Whether this address is a proxy's."""
        return self._proxies.trusts(peer)

    def floods(self, peer: tuple[str, int] | None) -> bool:
        """Whether the client goes on although it was refused again and again. A trusted proxy has other clients, too."""
        return peer is not None and not self._proxies.trusts(peer[0]) and self._acceptor.floods(peer[0])

    def arrivals(self, client: tuple[str, int] | None) -> Arrivals | None:
        """Where a new connection of this client waits until it is accepted; None: it need not, or is refused anyway."""
        return None if client is None or self.floods(client) else self._acceptor.arrivals(client[0])

    def enter(self, peer: tuple[str, int] | None) -> CountedSocket | None:
        """Count a new socket. None: it is dropped before anything of it is read, as its client has too many or floods. Those
        of a trusted proxy are of many clients.
        """
        if peer is None or self._proxies.trusts(peer[0]):
            return self._sockets.enter(None)
        return None if self._acceptor.floods(peer[0]) else self._sockets.enter(peer[0])

    def client_of(self, head: Head, peer: tuple[str, int]) -> tuple[str, int]:
        """The client behind the proxies."""
        return self._proxies.client_of(peer[0], head.values(b"x-forwarded-for")) or peer[0], peer[1]

    def visitor_of(self, head: Head, peer: tuple[str, int] | None) -> Visitor:
        """What the headers have of the client for analytics."""
        return self._visitors.read(head.values, proxied=peer is not None and self._proxies.trusts(peer[0]))

    def accept(
        self, head: Head, client: tuple[str, int] | None, visitor: Visitor, *, proxied: bool = False
    ) -> Accepted:
        """Accept a request that wants to become a WebSocket. ``proxied``: as of :data:`server.http.own_requests.PROXIED`.

        Raises ``HandshakeRejectedError``.
        """
        key = handshake_key(head.method, head.version, head.lines)
        origin = next(iter(head.values(b"origin")), None)
        offered = protocols(head.lines)
        ip = None if client is None else client[0]
        authorization, keys = head.values(b"authorization"), head.values(_KEY_HEADER)
        handshake = handshake_of(origin, query_of(head.query), ip, authorization, offered, keys)
        scope = {"type": "http", "headers": head.headers, "client": client, "state": {PROXIED: proxied}}
        connection = self._acceptor.accept(placed(visitor.added_to(handshake), scope))
        return Accepted(connection, key, PROTOCOL if PROTOCOL in offered else None, self._acceptor.message_hard_cap)


def plain_head(data: bytes) -> tuple[Head, bytes] | None:
    """The head of a handshake as clients send it, and what came behind it. None: ``data`` begins with anything else, or its
    head has not come whole.

    Of what HTTP allows it knows the part that leaves no doubt, and everything else is left to h11: so each head that it
    reads is one that h11 reads in the same way (RFC 9112): one ``Host``, no body, no folded lines, no bare line feeds, no
    byte beyond ASCII.
    """
    found = _PLAIN.match(data) if len(data) <= _LONGEST_PLAIN else None
    if found is None:
        return None
    headers = [(name.lower(), value.strip(b" \t")) for name, value in _LINES.findall(found[2])]
    if len(headers) > _MAX_PLAIN_HEADERS:
        return None
    head = Head(b"GET", b"1.1", found[1] or b"", headers)
    lines = head.lines
    if len(lines.get(b"host", ())) != 1 or not _NOT_PLAIN.isdisjoint(lines) or not asks_for_websocket(lines):
        return None
    return head, data[found.end() :]
