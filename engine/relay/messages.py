"""What relay and workers send each other, and how it is framed on a byte stream. No I/O.

A message is a length (four bytes, big-endian) and a MessagePack array whose first element is its kind. Both ends are of the
same version: the supervisor starts them from one installation, and a worker of another version is refused
(:data:`PROTOCOL`).

Theory of operation
-------------------
A worker sends ``Hello`` and gets ``Welcome``: where its stream stands. Until the slot is ready it gets ``Status`` only.
After ``Welcome`` come the events, in order: ``Part`` (of a transaction), ``Passed`` and ``Break``. Each names the position
that the stream has behind it and that of the event before it (``previous``), so a worker notices an event that it was not
sent. ``Status``, ``Reconnected`` and ``Appointed`` are sent at once, before events that wait.

A ``Break`` with missing transactions begins another *generation* of the stream, whose positions may be lower. Confirmations
name the generation that they are of, so one that was under way cannot count for the next.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engine.errors import FeedError
from engine.feed.consumed import FeedStatus
from engine.feed.decoders.frames import WalFrames
from engine.feed.feed import ServerIdentity
from engine.lsn import Lsn

__all__ = [
    "MAX_MESSAGE",
    "PROTOCOL",
    "Appointed",
    "Break",
    "Confirmed",
    "Doubt",
    "FromWorker",
    "Hello",
    "OtherServer",
    "Part",
    "Passed",
    "Reconnected",
    "RecordingWanted",
    "RelayProtocolError",
    "Splitter",
    "Status",
    "ToWorker",
    "Welcome",
    "encode",
    "from_worker",
    "new_generation",
    "to_worker",
]

PROTOCOL: Final = 3
"""The version of these messages."""

MAX_MESSAGE: Final = 0xFFFFFFFF
"""Bytes of the longest message. A row can have 1 GB, and is one payload."""

_LENGTH: Final = struct.Struct("!I")


class RelayProtocolError(FeedError):
    """The other end sent what it may not send."""


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


class Hello(_Message, frozen=True, tag=1):
    """A worker's first message.

    Attributes:
        protocol: :data:`PROTOCOL` of the worker.
        version: of the package, which has to be the relay's.
        node: the worker's name in ``realtime.nodes``.
        generation: of the stream that it has followed; 0: none.
        delivered: it has every event up to this position of that stream.
        server: the server that the stream was of.
    """

    protocol: int
    version: str
    node: str
    generation: int = 0
    delivered: Lsn = 0
    server: ServerIdentity | None = None


class Welcome(_Message, frozen=True, tag=2):
    """Where the worker's stream stands.

    Attributes:
        generation: of the stream.
        position: every event after it is sent.
        resumed: ``position`` is the one that the worker has asked for.
        reason: why the stream was not resumed; "" for a worker that has followed none.
        other_history: that is because the server has another history than the worker's stream.
        plugin: the output plugin, which decides on the form of payloads.
        server: that the stream is of.
        reports_recorded: see :class:`engine.stream.change_feed.ChangeFeed`.
    """

    generation: int
    position: Lsn
    resumed: bool
    reason: str
    other_history: bool
    plugin: str
    server: ServerIdentity
    reports_recorded: bool = False


class Status(_Message, frozen=True, tag=3):
    """The state of the relay's feed, after each change and every few seconds. ``timeline``: the stream's; 0: not known."""

    status: FeedStatus
    reason: str | None
    timeline: int


class Part(_Message, frozen=True, tag=4):
    """A transaction, or a part of one."""

    previous: Lsn
    frames: WalFrames


class Passed(_Message, frozen=True, tag=5):
    """See :class:`engine.transaction.Progress`."""

    previous: Lsn
    position: Lsn
    recorded: Lsn = 0


class Break(_Message, frozen=True, tag=6):
    """See :class:`engine.transaction.Discontinuity`. ``position`` is where the stream continues.

    If transactions are missing, ``generation`` is a new one. ``server``: that the stream is of from now on.
    """

    previous: Lsn
    position: Lsn
    generation: int
    reason: str
    missing: bool
    other_history: bool
    safe: Lsn
    server: ServerIdentity


class Reconnected(_Message, frozen=True, tag=7):
    """The relay has reached the server again: other connections may be dead without an error, or lead to another server."""


class Confirmed(_Message, frozen=True, tag=8):
    """The worker needs nothing before ``position`` of ``generation`` any more."""

    generation: int
    position: Lsn


class Doubt(_Message, frozen=True, tag=9):
    """Another connection of the worker to the server was found dead."""


class OtherServer(_Message, frozen=True, tag=10):
    """A connection of the worker leads to a server on a later ``timeline``."""

    timeline: int


class Appointed(_Message, frozen=True, tag=11):
    """The worker leads the recording of commits, until the connection ends."""


class RecordingWanted(_Message, frozen=True, tag=12):
    """See ``request_recording`` of :class:`engine.stream.change_feed.ChangeFeed`."""


ToWorker = Welcome | Status | Part | Passed | Break | Reconnected | Appointed
FromWorker = Hello | Confirmed | Doubt | OtherServer | RecordingWanted

_encoder: Final = msgspec.msgpack.Encoder()
_to_worker: Final = msgspec.msgpack.Decoder(ToWorker)
_from_worker: Final = msgspec.msgpack.Decoder(FromWorker)


def new_generation() -> int:
    """What names another generation of a stream."""
    return secrets.randbits(62) + 1


def encode(message: ToWorker | FromWorker) -> bytes:
    """``message`` with its length in front. Raises ``RelayProtocolError`` for one that is too long."""
    data = _encoder.encode(message)
    if len(data) > MAX_MESSAGE:
        raise RelayProtocolError(
            f"a message of {len(data)} bytes is too long for the relay: the most are {MAX_MESSAGE}"
        )
    return _LENGTH.pack(len(data)) + data


def to_worker(data: bytes | memoryview) -> ToWorker:
    """The message of the relay in ``data``. Raises ``RelayProtocolError``."""
    message: ToWorker = _decoded(_to_worker, data)
    return message


def from_worker(data: bytes | memoryview) -> FromWorker:
    """The message of a worker in ``data``. Raises ``RelayProtocolError``."""
    message: FromWorker = _decoded(_from_worker, data)
    return message


def _decoded(decoder: msgspec.msgpack.Decoder[Any], data: bytes | memoryview) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RelayProtocolError(f"not a message of the relay: {error}") from error


class Splitter:
    """Bytes in, as they arrive; whole messages out."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete with ``data``, without their lengths."""
        pending = self._pending
        pending += data
        start = 0
        try:
            while len(pending) - start >= _LENGTH.size:
                begin = start + _LENGTH.size
                end = begin + _LENGTH.unpack_from(pending, start)[0]
                if end > len(pending):
                    break
                start = end
                yield bytes(pending[begin:end])
        finally:
            del pending[:start]
