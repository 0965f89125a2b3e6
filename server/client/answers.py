"""Answers to the requests of one client, which are given when their work is done."""

from __future__ import annotations

from engine.errors import RealtimeError
from server.client.transport import Transport
from server.protocol import server_messages
from server.protocol.client_messages import RequestReference

__all__ = ["Answers"]


class Answers:
    """Writes answers to ``transport``. Once ``closed`` is set, errors are dropped."""

    __slots__ = ("_transport", "closed")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.closed = False

    def send(self, payload: bytes) -> None:
        """Write a message of this client's own."""
        self._transport.write(self._transport.wire.own(payload))

    def send_all(self, payloads: list[bytes]) -> None:
        """Write messages of this client's own, as one frame where they can be."""
        for frame in self._transport.wire.all_own(payloads):
            self._transport.write(frame)

    def error(self, about: RequestReference, error: RealtimeError) -> None:
        """Answer a request with an error."""
        if not self.closed:
            self.send(server_messages.failed(error, about))
