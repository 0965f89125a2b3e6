"""Encoders: each message is built once for all its receivers.

A server's WebSocket frames are not masked (RFC 6455, 5.1), so the bytes of a message are the same for every receiver. The
same holds for the other forms: MessagePack frames, blocks of an event stream, and the plain JSON of poll answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct

from engine.metrics.stages import Stages
from server.ports.channels import ChannelEvent, EventBatch
from server.ports.live_queries import LiveEvent
from server.protocol.error_codes import ErrorCode
from server.protocol.msgpack import packed, packed_fields, packed_snapshot
from server.protocol.server_messages import ErrorPayload, snapshot_tail
from server.wire.frame import Frame, Opened

__all__ = ["ChannelFrames", "EventFrames", "Wire", "binary_frame", "packed_wire", "text_frame", "text_wire"]

_FIN_TEXT = 0x81
_FIN_BINARY = 0x82
_KEPT_FRAMES = 1024
_KEPT_BYTES = 1024 * 1024
_PAST_FRAMES = 16 * 1024
_PAST_BYTES = 16 * 1024 * 1024
_PAST_FOR = 10.0  # seconds


def text_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked text frame."""
    return _frame(_FIN_TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked binary frame."""
    return _frame(_FIN_BINARY, payload)


_SHORT = Struct("!BB").pack
_MIDDLE = Struct("!BBH").pack
_LONG = Struct("!BBQ").pack


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return _SHORT(first, size) + payload
    if size < 65536:
        return _MIDDLE(first, 126, size) + payload
    return _LONG(first, 127, size) + payload


def _text_snapshot(head: bytes, tail: bytes) -> bytes:
    return text_frame(head + tail)


class EventFrames:
    """The frames of the event being delivered: subscribers with the same head share one.

    A window delivers an event to all its subscribers before the next event begins, so a cache of one event is enough.
    ``share`` encodes the common tail (None: it stays JSON), ``build`` the frame of a head and that tail.
    """

    __slots__ = ("_build", "_event", "_frames", "_share", "_stages", "_tails")

    def __init__(
        self,
        build: Callable[[bytes, bytes], bytes] = _text_snapshot,
        share: Callable[[bytes], bytes] | None = None,
        *,
        stages: Stages | None = None,
    ) -> None:
        self._stages = stages
        self._build = build
        self._share = share
        self._event: LiveEvent | None = None
        # By form: 1 is with meta, 2 as a delta, 3 both.
        self._tails: dict[int, bytes] = {}
        self._frames: dict[tuple[int, bytes], Frame] = {}

    def frame(self, head: bytes, event: LiveEvent, with_meta: bool = False, delta: bool = False) -> Frame:
        """The frame of ``head`` completed by ``event``, with its annotation if it has one and ``with_meta``; ``delta``:
        without what the client has already.
        """
        if event is not self._event:
            self._event = event
            self._tails.clear()
            self._frames.clear()
        form = (with_meta and event.meta is not None) + 2 * (delta and not event.reset)
        if (frame := self._frames.get((form, head))) is not None:
            return frame
        stages = self._stages
        began = 0 if stages is None else stages.begin_encoding(event.committed_at)
        tail = self._tails.get(form) or self._shared(event, form)
        frame = self._frames[form, head] = Frame(self._build(head, tail), committed_at=event.committed_at)
        if began and stages is not None:
            frame.encoded_at = stages.end_encoding(began, event.committed_at, None)
        return frame

    def _shared(self, event: LiveEvent, form: int) -> bytes:
        changes = event.delta_json if form & 2 else event.changes_json
        meta = event.meta if form & 1 else None
        tail = snapshot_tail(event.position, event.reset, changes, meta)
        if self._share is not None:
            tail = self._share(tail)
        self._tails[form] = tail
        return tail


class ChannelFrames:
    """The frames of recent channel events.

    A channel may deliver several events to one subscriber before it turns to the next one, so more than one is remembered.
    Messages of the past, which many clients may ask for at once after a restart, are for some seconds, up to 16 MiB.
    ``joined``: a batch can be one frame.
    """

    __slots__ = ("_build", "_frames", "_past", "_past_size", "_size", "_stages", "joined")

    def __init__(
        self, build: Callable[[bytes], bytes] = text_frame, *, joined: bool = False, stages: Stages | None = None
    ) -> None:
        self._stages = stages
        self._build = build
        self.joined = joined
        self._frames: dict[ChannelEvent | EventBatch, list[Frame]] = {}
        self._size = 0
        self._past: dict[ChannelEvent, Frame] = {}
        self._past_size = 0

    def frame(self, event: ChannelEvent) -> Frame:
        """The frame of ``event``."""
        if event.committed_at is None and event.key is not None:
            return self._of_past(event)
        frames = self._frames.get(event)
        if frames is None:
            frames = self._keep(event, self._made([event]))
        return frames[0]

    def batch(self, batch: EventBatch) -> list[Frame]:
        """The frames of all its events."""
        frames = self._frames.get(batch)
        if frames is None:
            frames = self._keep(batch, self._made(batch.events, joined=self.joined))
        return frames

    def _made(self, events: Sequence[ChannelEvent], *, joined: bool = False) -> list[Frame]:
        stages = self._stages
        began = 0 if stages is None else stages.begin_encoding(events[0].committed_at)
        frames = [self._join(events)] if joined else [self._frame(event) for event in events]
        if began and stages is not None:
            encoded_at = stages.end_encoding(began, events[0].committed_at, events[0].channel)
            for frame in frames:
                frame.encoded_at = encoded_at
        return frames

    def _frame(self, event: ChannelEvent) -> Frame:
        return Frame(self._build(event.json), event.channel, event.priority, event.key, event.committed_at)

    def _join(self, events: Sequence[ChannelEvent]) -> Frame:
        """Events of one channel and one commit in one frame."""
        build, first = self._build, events[0]
        return Frame(
            b"".join([build(event.json) for event in events]),
            first.channel,
            max([event.priority for event in events]),
            committed_at=first.committed_at,
            count=len(events),
        )

    def _of_past(self, event: ChannelEvent) -> Frame:
        frame = self._past.get(event)
        if frame is None:
            [frame] = self._made([event])
            if not self._past:
                asyncio.get_running_loop().call_later(_PAST_FOR, self._forget)
            elif self._past_size > _PAST_BYTES or len(self._past) >= _PAST_FRAMES:
                self._past.clear()
                self._past_size = 0
            self._past[event] = frame
            self._past_size += len(frame.data)
        return frame

    def _forget(self) -> None:
        self._past = {}
        self._past_size = 0

    def _keep(self, key: ChannelEvent | EventBatch, frames: list[Frame]) -> list[Frame]:
        if self._size > _KEPT_BYTES or len(self._frames) >= _KEPT_FRAMES:
            self._frames.clear()
            self._size = 0
        self._frames[key] = frames
        self._size += sum([len(frame.data) for frame in frames])
        return frames


class Wire:
    """One form of messages: ``own`` for those of one client, the frames for those that many share."""

    __slots__ = ("_build", "_count_error", "channels", "events")

    def __init__(self, build: Callable[[bytes], bytes], events: EventFrames, channels: ChannelFrames) -> None:
        self._build = build
        self._count_error: Callable[[ErrorCode, str], None] | None = None
        self.events = events
        self.channels = channels

    def own(self, payload: bytes, opened: Opened | None = None) -> Frame:
        """The frame of a message for one client. ``opened``: the channel whose opening it announces."""
        if type(payload) is ErrorPayload and self._count_error is not None:
            self._count_error(payload.code, payload.limit)
        return Frame(self._build(payload), opened=opened)

    def all_own(self, payloads: list[bytes]) -> list[Frame]:
        """The same of several, none of which is an error or announces anything."""
        if not payloads:
            return []
        if self.channels.joined:
            return [Frame(b"".join(map(self._build, payloads)), count=len(payloads))]
        return [Frame(self._build(payload)) for payload in payloads]

    def count_errors(self, transport: str, count: Callable[[str, ErrorCode, str], None]) -> None:
        """Call ``count`` with ``transport``, the code and the limit (or "") of each error that becomes a frame."""
        self._count_error = partial(count, transport)


def text_wire(stages: Stages | None = None) -> Wire:
    """JSON in text frames."""
    return Wire(text_frame, EventFrames(stages=stages), ChannelFrames(joined=True, stages=stages))


def packed_wire(stages: Stages | None = None) -> Wire:
    """MessagePack in binary frames."""
    return Wire(
        _packed_frame,
        EventFrames(
            lambda head, tail: binary_frame(packed_snapshot(head, tail)),
            lambda tail: packed_fields(tail[:-1]),
            stages=stages,
        ),
        ChannelFrames(_packed_frame, joined=True, stages=stages),
    )


def _packed_frame(payload: bytes) -> bytes:
    return binary_frame(packed(payload))
