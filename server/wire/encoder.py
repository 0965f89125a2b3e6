"""What goes over the wire, built once however many connections it goes to.

A server's WebSocket frames are not masked (RFC 6455, 5.1), so the bytes of a message are the same for every receiver. The
same holds for the other forms: MessagePack frames, blocks of an event stream, and the plain JSON of poll answers.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack

from server.ports.channels import ChannelEvent, EventBatch
from server.ports.live_queries import LiveEvent
from server.protocol.msgpack import packed, packed_fields, packed_snapshot
from server.protocol.server_messages import snapshot_tail

__all__ = ["ChannelFrames", "EventFrames", "Wire", "binary_frame", "packed_wire", "text_frame", "text_wire"]

_FIN_TEXT = 0x81
_FIN_BINARY = 0x82
_KEPT_FRAMES = 1024
_KEPT_BYTES = 1024 * 1024


def text_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked text frame."""
    return _frame(_FIN_TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked binary frame."""
    return _frame(_FIN_BINARY, payload)


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return pack("!BBH", first, 126, size) + payload
    return pack("!BBQ", first, 127, size) + payload


def _unchanged(tail: bytes) -> bytes:
    return tail


def _text_snapshot(head: bytes, tail: bytes) -> bytes:
    return text_frame(head + tail)


class EventFrames:
    """The frames of the event being delivered: subscribers with the same head share one.

    A window hands an event to all its subscribers before the next event begins, so remembering one event is enough.
    ``share`` makes of the tail what all of them share, ``build`` the frame of a head and that.
    """

    __slots__ = ("_build", "_event", "_frames", "_share", "_tail")

    def __init__(
        self,
        build: Callable[[bytes, bytes], bytes] = _text_snapshot,
        share: Callable[[bytes], bytes] = _unchanged,
    ) -> None:
        self._build = build
        self._share = share
        self._event: LiveEvent | None = None
        self._tail = b""
        self._frames: dict[bytes, bytes] = {}

    def frame(self, head: bytes, event: LiveEvent) -> bytes:
        """The frame of ``head`` completed by ``event``."""
        if event is not self._event:
            self._event = event
            self._tail = self._share(snapshot_tail(event.position, event.reset, event.changes_json))
            self._frames = {}
        frame = self._frames.get(head)
        if frame is None:
            frame = self._frames[head] = self._build(head, self._tail)
        return frame


class ChannelFrames:
    """The frames of recent channel events.

    A channel may hand several events to one subscriber before it turns to the next one, so more than one is remembered.
    """

    __slots__ = ("_build", "_frames", "_size")

    def __init__(self, build: Callable[[bytes], bytes] = text_frame) -> None:
        self._build = build
        self._frames: dict[ChannelEvent | EventBatch, bytes] = {}
        self._size = 0

    def frame(self, event: ChannelEvent) -> bytes:
        """The frame of ``event``."""
        frame = self._frames.get(event)
        return self._keep(event, self._build(event.json)) if frame is None else frame

    def block(self, block: EventBatch) -> bytes:
        """The frames of all its events, one after the other."""
        frames = self._frames.get(block)
        if frames is None:
            frames = self._keep(block, b"".join([self._build(event.json) for event in block.events]))
        return frames

    def _keep(self, key: ChannelEvent | EventBatch, frames: bytes) -> bytes:
        if self._size > _KEPT_BYTES or len(self._frames) >= _KEPT_FRAMES:
            self._frames.clear()
            self._size = 0
        self._frames[key] = frames
        self._size += len(frames)
        return frames


class Wire:
    """One form of messages: ``own`` for those of one client, the frames for those that many share."""

    __slots__ = ("channels", "events", "own")

    def __init__(self, own: Callable[[bytes], bytes], events: EventFrames, channels: ChannelFrames) -> None:
        self.own = own
        self.events = events
        self.channels = channels


def text_wire() -> Wire:
    """JSON in text frames."""
    return Wire(text_frame, EventFrames(), ChannelFrames())


def packed_wire() -> Wire:
    """MessagePack in binary frames."""
    return Wire(
        _packed_frame,
        EventFrames(
            lambda head, tail: binary_frame(packed_snapshot(head, tail)), lambda tail: packed_fields(tail[:-1])
        ),
        ChannelFrames(_packed_frame),
    )


def _packed_frame(payload: bytes) -> bytes:
    return binary_frame(packed(payload))
