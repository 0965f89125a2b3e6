"""WebSocket connections on the port of uvicorn: :mod:`server.app.uvicorn_http` reads the handshake, and picows handles the
frames after it.

picows reads a handshake itself, so it gets one that differs in the key only, as the rest of the client's handshake has been
checked. A picows protocol is a buffered one: bytes go into its buffer straight from the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, MutableMapping
from http import HTTPStatus
from time import thread_time
from types import MappingProxyType
from typing import Any, Final, cast

from picows import WSAutoPingStrategy, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener
from picows.api import WSProtocol  # type: ignore[attr-defined]

from server.limits.read_turns import LEAST, TURN, next_read, size_in_turn
from server.protocol.close_codes import CloseCode
from server.transports.websocket.handshakes import Accepted
from server.transports.websocket.quiet_transport import QuietTransport, may_be_quiet
from server.transports.websocket.websocket_connection import WebSocketConnection
from server.wire.frame import Frame

__all__ = ["become_websocket"]

_READ_BUFFER = 2048  # bytes, which grow with the messages: the fewest that picows takes
_REQUEST: Final = (
    b"GET /realtime HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
)
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


_NO_PROTOCOL: Final = asyncio.Protocol()
"""Between two protocols of a transport: uvloop keeps ``data_received`` of the last one that had it, and would keep all that
was needed to read the handshake for as long as the connection is open.
"""


class _Log(logging.LoggerAdapter[logging.Logger]):
    """An adapter, because picows makes a new Logger object per connection from a plain logger.

    A frame against the protocol is the client's error, not ours.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger, {})
        self.isEnabledFor = logger.isEnabledFor  # type: ignore[method-assign]  # asked four times of each connection

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Of each connection, when it comes and when it goes."""
        if self.isEnabledFor(logging.INFO):
            self.log(logging.INFO, msg, *args, **kwargs)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log it, at a lower level where that is so."""
        if str(msg).startswith("WS parser error"):
            level = min(level, logging.INFO)
        super().log(level, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Nothing is added."""
        return msg, kwargs


_log = _Log(logging.getLogger("realtime.ws"))


class _QueuedAnswer:
    """The answer to a handshake (RFC 6455, 4.2.2): put into the queue of ``connection``, and so written with the first
    messages, since two writes cost twice as much, at both ends. picows is given nothing to write.

    It is one for all connections, since picows asks for ``connection`` and writes the answer without a turn in between.
    ``agreed``: the subprotocol.
    """

    __slots__ = ("agreed", "connection", "headers")

    status: Final = HTTPStatus.SWITCHING_PROTOCOLS

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}  # picows adds the proof that the key was read
        self.connection: WebSocketConnection | None = None
        self.agreed: str | None = None

    def to_bytes(self) -> bytearray:
        """Nothing."""
        connection, self.connection = self.connection, None
        if connection is not None:
            protocol = "" if self.agreed is None else f"Sec-WebSocket-Protocol: {self.agreed}\r\n"
            text = f"{_ANSWER}{protocol}Sec-WebSocket-Accept: {self.headers['Sec-WebSocket-Accept']}\r\n\r\n"
            connection.queue.add(Frame(text.encode(), count=0))
        return bytearray()


_answer: Final = _QueuedAnswer()
_ANSWER: Final = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"


class RealtimeProtocol(WSProtocol):  # type: ignore[misc]
    """One accepted connection. ``connections``: the set that uvicorn closes when it shuts down.

    ``agreed``: the subprotocol that the answer names.
    """

    __slots__ = ("_agreed", "_asyncio_transport", "_connection", "_connections", "_most")

    def __init__(
        self, connection: WebSocketConnection, connections: set[Any], message_hard_cap: int, agreed: str | None = None
    ) -> None:
        self._connection = connection
        self._connections = connections
        self._agreed = agreed
        self._asyncio_transport: asyncio.Transport | None = None
        self._most = LEAST if connection.shares else TURN  # bytes of the next read
        super().__init__(
            None,  # host and port: the client's side only
            None,  # path: the client's side only
            False,  # is_client_side
            self._listen,
            _log,
            True,  # disconnect_on_exception
            None,  # websocket_handshake_timeout: the handshake has been read
            False,  # enable_auto_ping: pings are the connection's own affair
            10.0,
            10.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # enable_auto_pong: pings count against the message rate
            message_hard_cap,
            None,  # extra_headers: the client's side only
            _READ_BUFFER,
        )

    def connection_made(self, transport: asyncio.Transport) -> None:
        """uvicorn hands over its transport."""
        self._asyncio_transport = transport
        self._connections.add(self)
        quiet = may_be_quiet(transport) and not _log.isEnabledFor(logging.INFO)
        super().connection_made(QuietTransport(transport) if quiet else transport)

    def begin(self, key: bytes, frames: bytes) -> None:
        """Answer the handshake with this key, and read the client's ``frames`` that arrived with it."""
        self._take(_REQUEST % key)
        self._connection.write_queued()
        if frames:
            self._take(frames)
        if self.transport.request is not None:
            self.transport.request.headers = _NO_HEADERS  # they are ours, and the connection may stay for days

    def _take(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            room = self.get_buffer(len(rest))
            size = min(len(room), len(rest))
            room[:size] = rest[:size]
            rest = rest[size:]
            self.buffer_updated(size)

    def get_buffer(self, size_hint: int) -> memoryview:
        """Where the next bytes go. picows' own buffer grows with the messages, and one read could fill it with many."""
        room: memoryview = super().get_buffer(size_hint)
        return room[: self._most]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes arrived from the socket."""
        size = nbytes
        if self._connection.shares:
            began = thread_time()  # of the processor: a busy machine is not the client's doing
            super().buffer_updated(nbytes)
            self._connection.carry_out()
            seconds = thread_time() - began
            self._connection.read_for(seconds)
            size = size_in_turn(nbytes, seconds)
            if nbytes >= LEAST:
                self._most = next_read(self._most, nbytes, seconds)
        else:
            super().buffer_updated(nbytes)
            self._connection.carry_out()
        if (
            self.transport.close_handshake is not None
            and self.transport.is_close_frame_sent
            and not self._connection.closing
        ):
            self._after_close()
        else:
            self._connection.read(nbytes, size)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._connections.discard(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """uvicorn shuts down."""
        if self.listener is not None:
            self.listener.close(CloseCode.GOING_AWAY, "the server is shutting down")
        elif self._asyncio_transport is not None:
            self._asyncio_transport.close()

    def _after_close(self) -> None:
        # picows has refused a frame and closes soon; what still arrives must not pile up in its buffer.
        if self._asyncio_transport is not None and self.transport.close_handshake.recv is None:
            self._asyncio_transport.pause_reading()

    def _listen(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        _answer.connection, _answer.agreed = self._connection, self._agreed
        return WSUpgradeResponseWithListener(cast("WSUpgradeResponse", _answer), self._connection)


def become_websocket(transport: asyncio.Transport, accepted: Accepted, connections: set[Any], frames: bytes) -> None:
    """From here on the transport is a WebSocket's. ``frames``: bytes that came with the handshake; ``connections``: see
    ``RealtimeProtocol``.
    """
    protocol = RealtimeProtocol(accepted.connection, connections, accepted.message_hard_cap, accepted.agreed)
    protocol.connection_made(transport)
    protocol.begin(accepted.key, frames)
    transport.set_protocol(_NO_PROTOCOL)
    transport.set_protocol(protocol)
