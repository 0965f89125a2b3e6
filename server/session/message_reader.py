"""What a client sends: within its rate and size, and a message of the protocol. Everything else is answered here.

Here a message beyond the rate is refused (``RATE_LIMITED``), and a connection that goes on sending is closed. The count is
:mod:`server.limits.token_bucket`'s, the limits are in :mod:`server.limits.connection_limits`.
"""

from __future__ import annotations

from typing import TypeVar

from server.limits.connection_limits import SessionLimits
from server.limits.token_bucket import TokenBucket
from server.protocol import client_messages, server_messages
from server.protocol.client_messages import ClientMessage, InvalidMessageError, Publish, RequestReference
from server.protocol.close_codes import CloseCode
from server.protocol.error_codes import ErrorCode
from server.protocol.msgpack import json_of, names_text
from server.session.actions import Close, Output

__all__ = ["MessageReader", "Read"]

_FLOOD_SECONDS = 10
_MESSAGE = 256  # bytes whose reading takes about as long as what each message takes, however short it is
_PUBLISHED = 30e-6, 10e-9  # seconds of the processor for a message, and for a byte of it, after it was read

Read = tuple[ClientMessage, int] | list[Output]
"""A message and its size in bytes of JSON, or the answers to what is not a message that is carried out."""

Answer = TypeVar("Answer", bound=Read | None)


class MessageReader:
    """Reads the messages of one connection. ``now`` is in seconds, monotonic. Never raises, for any bytes."""

    __slots__ = ("_bucket", "_later", "_limits", "_read", "_refused")

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._bucket = TokenBucket(limits.message_rate)
        self._read = self._refused = 0  # bytes since the last ``refused_part``, and ``_MESSAGE`` for each message
        self._later = 0.0  # seconds since the last ``later``

    def text(self, data: bytes, now: float) -> Read:
        """A text message arrived."""
        size = len(data)
        if size > self._limits.message_size:
            read: Read = self._oversized(now, data)
        elif self._bucket.take(now):
            read = _read(data)
        else:
            read = self._beyond_rate(client_messages.names_in(data))
        return self._counted(size, read)

    def packed(self, data: bytes, now: float) -> Read:
        """A MessagePack message arrived."""
        return self._counted(len(data), self._packed(data, now))

    def refused_part(self) -> float:
        """Which part of what arrived since the last call (0 to 1) was no message that is carried out."""
        part = self._refused / self._read if self._refused else 0.0
        self._read = self._refused = 0
        return part

    def later(self) -> float:
        """About how many seconds the processor will work at the messages to be published that arrived since the last call:
        they are written, brought back by the stream, kept and delivered. Measured with messages of up to 50 KB.
        """
        seconds, self._later = self._later, 0.0
        return seconds

    def _counted(self, size: int, read: Answer) -> Answer:
        self._read += size + _MESSAGE
        if isinstance(read, list):
            self._refused += size + _MESSAGE
        elif read is not None and isinstance(read[0], Publish):
            self._later += _PUBLISHED[0] + size * _PUBLISHED[1]
        return read

    def _packed(self, data: bytes, now: float) -> Read:
        if not self._bucket.take(now):
            return self._beyond_rate(client_messages.names_in(names_text(data)))
        try:
            text = json_of(data)
        except InvalidMessageError as bad:
            return _invalid(bad, names_text(data))
        if len(text) > self._limits.message_size:
            return [self._too_large(f" as JSON ({len(text)})", client_messages.names_in(text))]
        return _read(text)

    def binary(self, now: float) -> list[Output]:
        """A binary message arrived where texts are expected; its content does not matter."""
        return self._counted(0, self._binary(now))

    def _binary(self, now: float) -> list[Output]:
        if not self._bucket.take(now):
            return self._beyond_rate(RequestReference())
        text = "invalid message: messages are JSON in text frames, not binary"
        return [server_messages.error(ErrorCode.INVALID_MESSAGE, text, RequestReference())]

    def oversized(self, now: float, data: bytes = b"") -> list[Output]:
        """A message beyond the size limit arrived. ``data``: its text, if it was kept, to name the request."""
        return self._counted(len(data), self._oversized(now, data))

    def _oversized(self, now: float, data: bytes) -> list[Output]:
        if not self._bucket.take(now):
            return self._beyond_rate(RequestReference())
        return [self._too_large("", client_messages.names_in(data))]

    def admit(self, now: float) -> list[Close] | None:
        """Count an input that is no message but costs like one (a WebSocket ping). None: it is within the limit."""
        if self._bucket.take(now):
            self._counted(0, None)
            return None
        self._counted(0, [])
        return [Close(CloseCode.POLICY_VIOLATION, "too many messages")] if self._flooding() else []

    def _too_large(self, how: str, about: RequestReference) -> bytes:
        text = f"the message is larger than {self._limits.message_size} bytes{how}"
        return server_messages.error(ErrorCode.MESSAGE_TOO_LARGE, text, about, limit="max_message_size")

    def _beyond_rate(self, about: RequestReference) -> list[Output]:
        if self._flooding():
            return [Close(CloseCode.POLICY_VIOLATION, "too many messages")]
        text = f"more than {self._limits.message_rate:g} messages per second; this one was not carried out"
        wait = self._bucket.wait
        return [server_messages.error(ErrorCode.RATE_LIMITED, text, about, wait, "max_message_rate")]

    def _flooding(self) -> bool:
        # Answering each of an endless flood would cost more than the flood.
        return self._bucket.refused > self._limits.message_rate * _FLOOD_SECONDS


def _read(data: bytes) -> Read:
    try:
        return client_messages.decode(data), len(data)
    except InvalidMessageError as bad:
        return _invalid(bad, data)


def _invalid(bad: InvalidMessageError, data: bytes) -> list[Output]:
    return [server_messages.error(bad.code, f"invalid message: {bad}", client_messages.names_in(data))]
