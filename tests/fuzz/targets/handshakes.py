"""The heads of WebSocket handshakes: what is read without h11 is what h11 reads, too, and in the same way."""

from __future__ import annotations

from typing import Final

import h11

from server.http.h11_connection import LONGEST_HEAD, ServerConnection
from server.transports.websocket.handshakes import WEBSOCKET_PATH, plain_head

__all__ = ["TOKENS", "target"]

TOKENS: Final = (
    b"GET /realtime HTTP/1.1\r\n", b"GET /realtime?", b"GET ", b"POST ", b"/realtime", b"http://x/realtime",
    b"%72ealtime", b" HTTP/1.1", b" HTTP/1.0", b"?a=1&b=%20", b"#", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b"\r\n\t",
    b": ", b":", b",", b"Host: x\r\n", b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n",
    b"Connection: keep-alive, Upgrade\r\n", b"Sec-WebSocket-Version: 13\r\n", b"Content-Length: 0\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"Transfer-Encoding: chunked\r\n", b"Cookie: a=b\r\n",
    b"Expect: 100-continue\r\n", b"\x00", b"\x7f", b"\xe9", b"\x0b", b"\x85",
)  # fmt: skip


def target(data: bytes) -> None:
    """Raises where the two differ."""
    plain = plain_head(data)
    if plain is None:
        return
    head, rest = plain
    connection = ServerConnection(h11.SERVER, LONGEST_HEAD)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request), request
    path, _, query = request.target.partition(b"?")
    assert path == WEBSOCKET_PATH.encode()
    assert (request.method, request.http_version, query) == (head.method, head.version, head.query)
    assert list(request.headers) == list(head.headers)
    assert isinstance(connection.next_event(), h11.EndOfMessage)
    assert connection.trailing_data[0] == rest
