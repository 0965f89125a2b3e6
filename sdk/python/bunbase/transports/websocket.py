"""WebSocket: JSON in text frames, or MessagePack in binary ones."""

from __future__ import annotations

from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from bunbase.protocol import codec
from bunbase.protocol.codes import CloseCode
from bunbase.protocol.errors import ConnectionEndedError
from bunbase.transports.base import Message, Transport, retry_after_of

__all__ = ["WebSocketTransport"]

_CLOSE_TIMEOUT = 2.0


class WebSocketTransport(Transport):
    """The library's own pings are off: the link above judges liveness, and its pacing must know all that is sent."""

    name = "websocket"
    _socket: ClientConnection | None = None

    async def open(self) -> None:
        """See ``Transport``."""
        try:
            self._socket = await connect(
                self._address.websocket,
                additional_headers={**self._address.headers, **self._address.authorization},
                open_timeout=self._timeout,
                ping_interval=None,
                close_timeout=_CLOSE_TIMEOUT,
                compression=None,
                max_size=None,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            wait = retry_after_of(error.response.headers) if isinstance(error, InvalidStatus) else 0.0
            raise ConnectionEndedError(f"WebSocket: {error or type(error).__name__}", retry_after=wait) from error
        self._received()

    async def send(self, messages: list[Message]) -> None:
        """See ``Transport``."""
        assert self._socket is not None
        try:
            for message in messages:
                if self._address.format == "msgpack":
                    await self._socket.send(codec.encode_binary(message))
                else:
                    await self._socket.send(codec.encode_text(message))
        except ConnectionClosed as closed:
            raise _ended(closed) from closed

    async def receive(self) -> list[Message]:
        """See ``Transport``."""
        assert self._socket is not None
        try:
            data = await self._socket.recv()
        except ConnectionClosed as closed:
            raise _ended(closed) from closed
        self._received()
        try:
            message: Any = codec.decode_text(data) if isinstance(data, str) else codec.decode_binary(data)
        except ValueError as error:
            raise ConnectionEndedError(f"the server sent what is no message: {error}") from error
        return [message]

    async def close(self, *, leave: bool) -> None:
        """See ``Transport``."""
        if self._socket is not None:
            await self._socket.close(CloseCode.NORMAL if leave else CloseCode.GOING_AWAY)


def _ended(closed: ConnectionClosed) -> ConnectionEndedError:
    if closed.rcvd is None:
        return ConnectionEndedError("the connection was cut")
    return ConnectionEndedError(closed.rcvd.reason or "closed by the server", closed.rcvd.code)
