"""WebSocket frames of the server, built once however many connections they go to.

A server's frames are not masked (RFC 6455, 5.1), so the bytes of a message are the same for every receiver.
"""

from __future__ import annotations

from struct import pack

from server.channels import ChannelEvent
from server.live import LiveEvent
from server.protocol import snapshot_tail

__all__ = ["ChannelFrames", "EventFrames", "text_frame"]

_FIN_TEXT = 0x81
_KEPT_FRAMES = 1024
_KEPT_BYTES = 1024 * 1024


def text_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked text frame."""
    size = len(payload)
    if size < 126:
        return bytes((_FIN_TEXT, size)) + payload
    if size < 65536:
        return pack("!BBH", _FIN_TEXT, 126, size) + payload
    return pack("!BBQ", _FIN_TEXT, 127, size) + payload


class EventFrames:
    """The frames of the event being delivered: subscribers with the same head share one.

    A window hands an event to all its subscribers before the next event begins, so remembering one event is enough.
    """

    __slots__ = ("_event", "_frames", "_tail")

    def __init__(self) -> None:
        self._event: LiveEvent | None = None
        self._tail = b""
        self._frames: dict[bytes, bytes] = {}

    def frame(self, head: bytes, event: LiveEvent) -> bytes:
        """The text frame of ``head`` completed by ``event``."""
        if event is not self._event:
            self._event = event
            self._tail = snapshot_tail(event.position, event.reset, event.changes_json)
            self._frames = {}
        frame = self._frames.get(head)
        if frame is None:
            frame = self._frames[head] = text_frame(head + self._tail)
        return frame


class ChannelFrames:
    """The frames of recent channel events.

    A channel may hand several events to one subscriber before it turns to the next one, so more than one is remembered.
    """

    __slots__ = ("_frames", "_size")

    def __init__(self) -> None:
        self._frames: dict[ChannelEvent, bytes] = {}
        self._size = 0

    def frame(self, event: ChannelEvent) -> bytes:
        """The text frame of ``event``."""
        frame = self._frames.get(event)
        if frame is None:
            if self._size > _KEPT_BYTES or len(self._frames) >= _KEPT_FRAMES:
                self._frames.clear()
                self._size = 0
            frame = self._frames[event] = text_frame(event.json)
            self._size += len(frame)
        return frame
