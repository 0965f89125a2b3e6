"""What travels through NATS: events in chunks, and the leading relay's signs of life. No I/O.

An event is a message of :mod:`engine.relay.messages` (``Part``, ``Passed`` or ``Break``), or several: the parts of a large
transaction, which a node applies when it is whole, and neither end has in memory as a whole. Each is cut into chunks that
NATS accepts (``max_payload``, 1 MB by default), since a single row may be larger. Each chunk is one message of NATS, a
MessagePack array with the fields of :class:`Sent`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from engine.errors import FeedError
from engine.feed.consumed import FeedStatus
from engine.feed.feed import ServerIdentity
from engine.lsn import Lsn
from engine.relay.messages import ToWorker, encode, to_worker

__all__ = [
    "MAX_TOPICS",
    "OVERHEAD",
    "RECORD",
    "TOPICS",
    "Assembler",
    "ClusterProtocolError",
    "Index",
    "Pulse",
    "Sent",
    "cut",
    "pack",
    "pulse_of",
    "sent_of",
    "sign_of_life",
]

FORMAT: Final = 1
"""The version of these messages. Another version is refused."""

RECORD: Final = b"record"
"""What a node sends over the control subject if what committed until now is to be recorded at once."""

TOPICS: Final = 2
"""The version of the rule by which events have topics (:func:`engine.relay.topic.topics_of`); 1 had none for channels."""

MAX_TOPICS: Final = 200
"""A message names the positions of so many topics at most, and one for all others."""

OVERHEAD: Final = 512 + 18 * (MAX_TOPICS + 1)
"""Bytes of a message of NATS beside the content: headers of JetStream, and the fields of :class:`Sent`, of which each named
topic needs up to 18 as MessagePack.
"""

_LENGTH: Final = 4  # bytes before a message of the relay; NATS knows its length


class ClusterProtocolError(FeedError):
    """NATS brought what no relay of this version sends."""


class Index(NamedTuple):
    """What a sign of life has about topics (:mod:`engine.cluster.topics`).

    ``since``: the position of the sign of life before it; ``last``: for each topic with events since then, the position of
    the last one.
    """

    since: Lsn
    last: dict[int, Lsn]


class Sent(msgspec.Struct, frozen=True, array_like=True, tag=FORMAT, gc=False):
    """One message of NATS.

    Attributes:
        generation: of the stream; another one means that transactions may be missing between the two.
        leader: the term of the relay that published it.
        previous: the position of the event before it.
        position: the stream's behind it. It is equal to ``previous`` for what is no transaction.
        first: its event begins with it. A sign of life is one by itself, unless it is between the parts of an event.
        last: its event is complete with it. As ``first``.
        chunk: its number in its message, from 0.
        more: another chunk of the same message follows.
        data: the chunk.
        prior: the position before its event on its topic (:mod:`engine.cluster.topics`); -1: of a version without topics. Of
            a sign of life that is between the parts of an event: where that ends.
        index: of a sign of life; None: of an event, or of such a version.
        others: of an event, in its first chunk: the positions before it on other topics that it is about
            (:mod:`engine.cluster.topics`); None: there are none, or of a version that does not send them.
    """

    generation: int
    leader: int
    previous: Lsn
    position: Lsn
    first: bool
    last: bool
    chunk: int
    more: bool
    data: bytes
    prior: Lsn = -1
    index: Index | None = None
    others: dict[int, Lsn] | None = None

    @property
    def leads_to(self) -> Lsn:
        """The position of its event, or of the event that it is within. Within a generation it never goes down."""
        return self.prior if self.index is not None and not self.last else self.position

    @property
    def reached(self) -> Lsn:
        """The stream has everything up to there with this message."""
        return self.position if self.last else self.previous


class Pulse(msgspec.Struct, frozen=True, array_like=True, tag=FORMAT, gc=False):
    """The content of a sign of life.

    Attributes:
        relay: the name of the relay that leads.
        plugin: the output plugin of the slot.
        server: that the stream is of.
        sessions: how often the relay has reached the server.
        status: of its feed.
        reason: why that does not stream.
        confirmed: the slot's position.
        database_oid: the database's, with ``server`` its identity; 0: of a version that did not send it.
        database: its name.
        recorded: of all messages of transactions that committed before this position it is recorded where; 0: not known.
        topics: the version of the rule by which events have topics; 0: all are common.
    """

    relay: str
    plugin: str
    server: ServerIdentity
    sessions: int
    status: FeedStatus
    reason: str | None
    confirmed: Lsn
    database_oid: int = 0
    database: str = ""
    recorded: Lsn = 0
    topics: int = 0


pack: Final = msgspec.msgpack.Encoder().encode
_sent: Final = msgspec.msgpack.Decoder(Sent)
_pulse: Final = msgspec.msgpack.Decoder(Pulse)


def sent_of(data: bytes | None) -> Sent:
    """The message behind ``data``. Raises ``ClusterProtocolError``."""
    try:
        return _sent.decode(data or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClusterProtocolError(
            f"not a message of a relay of format {FORMAT}: {error}; relay and nodes must run versions that share a format"
        ) from error


def pulse_of(sent: Sent) -> Pulse:
    """The content of a sign of life. Raises ``ClusterProtocolError``."""
    try:
        return _pulse.decode(sent.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClusterProtocolError(f"not a relay's sign of life: {error}") from error


def sign_of_life(generation: int, leader: int, at: Lsn, index: Index, pulse: Pulse, within: Lsn = 0) -> Sent:
    """A sign of life where the stream has everything up to ``at``; ``within``: between the parts of the event that ends
    there.
    """
    whole = not within
    return Sent(generation, leader, at, at, whole, whole, 0, False, pack(pulse), within or at, index)


def cut(message: ToWorker, size: int) -> Iterator[tuple[int, bool, bytes]]:
    """The chunks of ``message`` of ``size`` bytes at most: number, whether another one follows, and content."""
    data = encode(message)[_LENGTH:]
    number = 0
    while len(data) > size:
        yield number, True, data[:size]
        data, number = data[size:], number + 1
    yield number, False, data


class Assembler:
    """Chunks in, messages out. A chunk that does not follow the one before drops what was there of the message."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, sent: Sent) -> ToWorker | None:
        """The message that is complete with ``sent``; None: it is not yet. Raises ``ClusterProtocolError``."""
        if sent.chunk == 0:
            self._chunks.clear()
        if sent.chunk != len(self._chunks):
            raise ClusterProtocolError(f"chunk {sent.chunk} came where {len(self._chunks)} was expected")
        if sent.more:
            self._chunks.append(sent.data)
            return None
        data = b"".join((*self._chunks, sent.data)) if self._chunks else sent.data
        self._chunks.clear()
        return to_worker(data)
