"""Puts the fragments of a WebSocket message together (RFC 6455, 5.4), within limits.

A text that is not UTF-8 ends the connection (8.1), at the fragment in which that shows.
"""

from __future__ import annotations

import codecs

from msgspec import Struct
from picows import WSFrame, WSMsgType

from engine.errors import BunbaseError
from server.protocol.close_codes import CloseCode
from server.transports.websocket.frame_kinds import BINARY, CONTINUATION, TEXT

__all__ = ["Assembler", "InvalidFrameError", "Message"]

_MAX_FRAGMENTS = 1024


class InvalidFrameError(BunbaseError):
    """The connection must be closed with ``code``; the text is the reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Message(Struct, frozen=True, gc=False):
    """A whole message. ``data`` is empty where it was not kept: ``too_large`` and in fragments, or binary where the
    connection uses text.
    """

    data: bytes
    binary: bool
    too_large: bool


class Assembler:
    """A message beyond ``message_size`` is not kept, unless it arrived in one frame: its error can then name the request.
    Beyond ``hard_cap`` it is not even read.

    ``binary``: whether binary messages are kept.
    """

    __slots__ = ("_binary", "_fragments", "_hard_cap", "_kind", "_message_size", "_parts", "_size", "_text")

    def __init__(self, message_size: int, hard_cap: int, *, binary: bool = False) -> None:
        self._binary = binary
        self._message_size = message_size
        self._hard_cap = hard_cap
        self._parts: list[bytes] | None = None  # and ``_text``, with the first message in fragments
        self._size = 0
        self._kind: WSMsgType | None = None
        self._fragments = 0
        self._text: codecs.IncrementalDecoder | None = None

    def add(self, frame: WSFrame) -> Message | None:
        """Take a data frame; returns the message if it was the last one. Raises ``InvalidFrameError``."""
        kind = frame.msg_type
        if (kind == CONTINUATION) == (self._kind is None):
            raise InvalidFrameError(CloseCode.PROTOCOL_ERROR, "unexpected continuation frame or its absence")
        if self._kind is None:
            if frame.fin and frame.payload_size <= self._message_size:
                return self._single(frame, kind)
            self._kind = kind
        self._size += frame.payload_size
        self._fragments += 1
        if self._size > self._hard_cap or self._fragments > _MAX_FRAGMENTS:
            raise InvalidFrameError(CloseCode.MESSAGE_TOO_BIG, "message too big")
        data = frame.get_payload_as_bytes()
        if self._parts is None:
            self._parts, self._text = [], codecs.getincrementaldecoder("utf-8")()
        if self._kind == TEXT:
            self._check_text(data, bool(frame.fin))
        whole = self._fragments == 1 and frame.fin
        if (self._size > self._message_size and not whole) or (self._kind == BINARY and not self._binary):
            self._parts.clear()
        else:
            self._parts.append(data)
        return self._finish(self._parts) if frame.fin else None

    def _single(self, frame: WSFrame, kind: WSMsgType) -> Message:
        """The message of one frame, as almost all are. It fits."""
        if kind == BINARY:
            return Message(frame.get_payload_as_bytes() if self._binary else b"", True, False)
        data = frame.get_payload_as_bytes()
        try:
            data.decode()
        except UnicodeDecodeError as wrong:
            raise _not_text() from wrong
        return Message(data, False, False)

    def _check_text(self, data: bytes, final: bool) -> None:
        assert self._text is not None
        try:
            self._text.decode(data, final)
        except UnicodeDecodeError as wrong:
            raise _not_text() from wrong

    def _finish(self, parts: list[bytes]) -> Message:
        message = Message(b"".join(parts), self._kind == BINARY, self._size > self._message_size)
        self._kind, self._size, self._fragments = None, 0, 0
        self._parts = self._text = None
        return message


def _not_text() -> InvalidFrameError:
    return InvalidFrameError(CloseCode.INVALID_TEXT, "a text message is not valid UTF-8")
