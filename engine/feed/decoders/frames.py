"""Transactions that can travel: what pgoutput sent of one transaction, as a value that any process can decode.

A change log keeps each message as it came, so frames are taken out of it when a consumer asks for them (:func:`frames_of`),
and a consumer that does not ask pays nothing. :class:`FramesDecoder` makes the transaction out of them again. It needs
nothing but the frames: no walsender, no catalog.

The serialised form (:func:`pack`, :func:`unpack`) is one MessagePack array::

    [1, position, end, xid, commit_time, part, more, relations, payloads]

The first element is the version of this format. Positions and times are integers, ``more`` is a boolean, ``relations`` and
``payloads`` are arrays of byte strings. A reader ignores elements after these, so a version may append some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import FeedError
from engine.feed.decoders.base import MalformedStreamError, Truncate
from engine.feed.decoders.change_log import ChangeLog, Maker
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.feed.decoders.pgoutput_messages import ROW_CHANGES, read_message, relation_message
from engine.lsn import Lsn, format_lsn
from engine.transaction import Relation, Transaction

__all__ = [
    "FORMAT",
    "FramesDecoder",
    "FramesError",
    "PartOrder",
    "WalFrames",
    "frames_of",
    "log_of",
    "pack",
    "parts_of",
    "relation_of",
    "unpack",
]

FORMAT: Final = 1
"""The version of the serialised form. Another version is refused."""

_NOT_OURS: Final = "only what pgoutput sent can be taken apart: set decoder to pgoutput"
_FILED: Final = (Truncate, *ROW_CHANGES.values())
_BOUNDS: Final = (b"B", b"C")  # Begin and Commit: the frames carry their contents as fields


class FramesError(FeedError):
    """Frames cannot be made of a transaction, or a transaction of frames."""


class WalFrames(msgspec.Struct, frozen=True, array_like=True, tag=FORMAT, gc=False):
    """One transaction, or one part of a large one, as pgoutput sent it.

    Attributes:
        position: the commit LSN.
        end: the LSN after the commit record.
        xid: the 32-bit id of the transaction; 0 for a logical message outside of a transaction.
        commit_time: microseconds since the Unix epoch.
        part: the number of this part, from 0.
        more: whether another part follows.
        relations: a Relation message for each table whose first change is in this part.
        payloads: the messages between Begin and Commit, in order. A Relation message is among them where a definition
            changes within the transaction. What the decoder drops (foreign logical messages, heartbeats, types and
            origins) is not.
    """

    position: Lsn
    end: Lsn
    xid: int
    commit_time: int
    part: int
    more: bool
    relations: tuple[bytes, ...]
    payloads: tuple[bytes, ...]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(WalFrames).decode


def pack(frames: WalFrames) -> bytes:
    """The serialised form; see the module's docstring."""
    return _encode(frames)


def unpack(data: bytes) -> WalFrames:
    """The frames behind ``data``. Raises ``FramesError`` for another version, and for what is no frames at all."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise FramesError(
            f"not frames of format {FORMAT}: {error}; sender and receiver must run versions that share a format"
        ) from error


def frames_of(transaction: Transaction, limit: int | None = None) -> Iterator[WalFrames]:
    """The frames of ``transaction``, in as many parts as ``limit`` bytes of payload each make necessary (None: one).

    Raises ``FramesError`` for a transaction of another plugin than pgoutput; :mod:`engine.feed.decoders.wal2json_frames` has
    those of wal2json.
    """
    return parts_of(transaction, _filed(log_of(transaction)), limit)


def parts_of(
    transaction: Transaction, filed: Iterable[tuple[bytes | None, bytes]], limit: int | None
) -> Iterator[WalFrames]:
    """Parts of what was ``filed``: each payload, with the definition that its part carries if it is the first to need it."""
    definitions: list[bytes] = []
    payloads: list[bytes] = []
    part = size = 0

    def frames(*, more: bool) -> WalFrames:
        head = (transaction.position, transaction.end, transaction.xid, transaction.commit_time)
        return WalFrames(*head, part, more, tuple(definitions), tuple(payloads))

    for definition, raw in filed:
        if limit is not None and payloads and size + len(raw) > limit:
            yield frames(more=True)
            part, size, definitions, payloads = part + 1, 0, [], []
        if definition is not None:
            definitions.append(definition)
        payloads.append(raw)
        size += len(raw)
    yield frames(more=False)


def log_of(transaction: Transaction) -> ChangeLog:
    """The messages of ``transaction``. Raises ``FramesError`` if it has none that can be sent."""
    log = transaction.changes
    if not isinstance(log, ChangeLog):
        raise FramesError(f"transaction {transaction.xid} was not decoded from a stream: it has no messages to send")
    return log


def _filed(log: ChangeLog) -> Iterator[tuple[bytes | None, bytes]]:
    """Each message, with the Relation message of a table that comes first. Another definition is a message of its own.

    A decoder makes new makers for each definition, so only a maker that was not seen before can bring one.
    """
    known: dict[int, Relation] = {}
    makers: set[int] = set()
    for make, raw in log.entries():
        definition = None
        if id(make) not in makers:
            makers.add(id(make))
            if not raw:
                raise FramesError(_NOT_OURS)
            relation = relation_of(make)
            if relation is not None and known.get(relation.oid) != relation:
                if relation.oid in known:
                    yield None, relation_message(relation)
                else:
                    definition = relation_message(relation)
                known[relation.oid] = relation
        yield definition, raw


def relation_of(make: Maker) -> Relation | None:
    """The table of a row or TRUNCATE; None: a logical message. Raises ``FramesError`` for what pgoutput did not send."""
    if make is read_message:
        return None
    if isinstance(make, partial) and make.func in _FILED:
        relation: Relation = make.args[0]
        return relation
    raise FramesError(_NOT_OURS)


class PartOrder:
    """Whether the parts of transactions come in their order. Plain state."""

    def __init__(self) -> None:
        self._wanted: tuple[Lsn, int] | None = None  # the position and part that the transaction under way needs next

    def begins(self, frames: WalFrames) -> bool:
        """Take one part; returns whether a transaction begins with it.

        Raises ``FramesError`` for a part that does not follow the one before. The next part must then be the first of one.
        """
        wanted, self._wanted = self._wanted, None
        begins = wanted is None or frames.part == 0
        if wanted is None or begins:
            wanted = (frames.position, 0)
        if (frames.position, frames.part) != wanted:
            raise FramesError(
                f"part {frames.part} of the transaction at {format_lsn(frames.position)} came, "
                f"expected was part {wanted[1]} of the one at {format_lsn(wanted[0])}"
            )
        return begins

    def goes_on(self, frames: WalFrames) -> bool:
        """``frames`` were applied; returns whether their transaction has more parts."""
        if frames.more:
            self._wanted = (frames.position, frames.part + 1)
        return frames.more


class FramesDecoder:
    """Frames in, transactions out: pure, and the same as where the frames were taken.

    Args:
        memory_limit: bytes of memory for one transaction, after which what follows goes to a spill file.
        spill_dir: where; the system's temporary folder if None.
    """

    def __init__(self, memory_limit: int = 16 << 20, spill_dir: Path | None = None) -> None:
        self._decoder = PgOutputDecoder(memory_limit, spill_dir)
        self._order = PartOrder()

    def feed(self, frames: WalFrames) -> Transaction | None:
        """Take one part; the transaction if it is complete with it, else None.

        Raises ``FramesError`` for a part that does not follow the one before, and ``MalformedStreamError`` for a message
        that is not pgoutput's. The unfinished transaction is then dropped; the next part must be the first of one.
        """
        if self._order.begins(frames):
            self._decoder.reset()  # no definition but those that come with these frames
            self._decoder.begin(frames.xid)
        for payload in (*frames.relations, *frames.payloads):
            if payload[:1] in _BOUNDS:
                raise MalformedStreamError(f"frames hold the start or end of a transaction: {payload[:32]!r}")
            message = self._decoder.feed(payload)
            if message is None:
                continue
            if frames.xid:
                raise MalformedStreamError(f"a transaction holds a message that belongs to none: {payload[:32]!r}")
            return message
        if self._order.goes_on(frames):
            return None
        return self._decoder.commit(frames.position, frames.end, frames.commit_time)
