"""Frames as values: taken out of a transaction, packed, unpacked, decoded, or refused."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.feed.decoders.base import MalformedStreamError
from engine.feed.decoders.frames import FramesDecoder, FramesError, WalFrames, frames_of, pack, unpack
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.relay.topic import COMMON, topics_of
from engine.transaction import Message, Transaction, Value
from tests.unit.feed.test_decoders import BEGIN, COMMIT, relation_message, tuple_data, values


def insert(oid: int, row: list[Value]) -> bytes:
    return b"I" + struct.pack("!I", oid) + b"N" + tuple_data(row)


def truncate(*oids: int) -> bytes:
    return b"T" + struct.pack(f"!IB{len(oids)}I", len(oids), 1, *oids)


def message(prefix: bytes, content: bytes, *, transactional: bool) -> bytes:
    return b"M" + struct.pack("!BQ", transactional, 2000) + prefix + b"\0" + struct.pack("!I", len(content)) + content


def decoded(*payloads: bytes, announced: bool = True) -> Transaction:
    """A transaction of two tables and ``payloads``, under a decoder that spills at once."""
    decoder = PgOutputDecoder(memory_limit=100)
    decoder.expect_ddl_messages(announced)
    tables = [relation_message(8, ["a", "b"]), relation_message(9, ["a", "b"])]
    for payload in (BEGIN, *tables, *payloads):
        decoder.feed(payload)
    transaction = decoder.feed(COMMIT)
    assert transaction is not None
    return transaction


rows = st.builds(insert, st.sampled_from([8, 9]), st.lists(values, min_size=2, max_size=2))
definitions = st.builds(
    lambda oid, names: relation_message(oid, names), st.sampled_from([8, 9]), st.sampled_from([["a", "b"], ["a", "c"]])
)
messages = st.builds(lambda content: message(b"realtime.x", content, transactional=True), st.binary(max_size=20))
truncates = st.sampled_from([truncate(8), truncate(9, 8)])


@given(st.lists(rows | definitions | messages | truncates, max_size=30), st.none() | st.integers(1, 100), st.booleans())
def test_frames_give_the_transaction_that_they_were_taken_of(
    payloads: list[bytes], limit: int | None, announced: bool
) -> None:
    transaction = decoded(*payloads, announced=announced)
    parts = [unpack(pack(part)) for part in frames_of(transaction, limit)]
    decoder = FramesDecoder(memory_limit=100)
    assert [decoder.feed(part) for part in parts] == [None] * (len(parts) - 1) + [transaction]
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert limit is not None or len(parts) == 1
    assert len({*parts, *parts}) == len(parts)  # they can be hashed, and no two are equal


@given(st.lists(rows | messages | truncates, max_size=6), st.booleans())
def test_topic_of_a_transaction_is_the_only_table_that_it_changes(payloads: list[bytes], announced: bool) -> None:
    transaction = decoded(*payloads, announced=announced)
    concerned = {COMMON if isinstance(each, Message) else each.relation.oid for each in transaction.changes}
    assert topics_of("pgoutput", transaction).own == (concerned.pop() if len(concerned) == 1 else COMMON)


def test_a_message_outside_of_a_transaction_travels() -> None:
    decoder = PgOutputDecoder()
    for prefix in (b"realtime.x", b"foreign"):
        transaction = decoder.feed(message(prefix, b"content", transactional=False))
        assert transaction is not None
        (frames,) = frames_of(transaction)
        assert (frames.xid, frames.position, frames.end) == (0, 1999, 2000)
        assert FramesDecoder().feed(frames) == transaction


def test_frames_of_another_format_are_refused_and_added_fields_are_ignored() -> None:
    (frames,) = frames_of(decoded(insert(8, [b"1", b"2"])))
    fields = msgspec.msgpack.decode(pack(frames))
    assert fields[0] == 1
    assert unpack(msgspec.msgpack.encode([*fields, "added by a later minor version"])) == frames
    with pytest.raises(FramesError, match=r"not frames of format 1.*2"):
        unpack(msgspec.msgpack.encode([2, *fields[1:]]))
    with pytest.raises(FramesError, match="not frames of format 1"):
        unpack(pack(frames)[:-1])


def test_a_part_that_does_not_follow_is_refused_and_the_next_transaction_is_decoded() -> None:
    transaction = decoded(*[insert(8, [b"1", b"2"])] * 5)
    first, second, third, *_ = frames_of(transaction, 1)
    decoder = FramesDecoder()
    with pytest.raises(FramesError, match="part 1 of the transaction at 0/3E8 came, expected was part 0"):
        decoder.feed(second)
    assert decoder.feed(first) is None
    with pytest.raises(FramesError, match="part 2 of the transaction at 0/3E8 came, expected was part 1"):
        decoder.feed(third)
    (whole,) = frames_of(transaction)
    assert decoder.feed(first) is None
    assert decoder.feed(whole) == transaction  # a sender that began again


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (COMMIT, "start or end of a transaction"),
        (BEGIN, "start or end of a transaction"),
        (message(b"realtime.x", b"", transactional=False), "belongs to none"),
        (insert(8, [b"1"]), "unexpected message"),  # its definition is not among these frames
        (b"", "unexpected message"),
    ],
)
def test_payloads_that_cannot_be_of_one_transaction_are_refused(payload: bytes, reason: str) -> None:
    decoder = FramesDecoder()
    (before,) = frames_of(decoded(insert(8, [b"1", b"2"])))
    assert decoder.feed(before) is not None
    with pytest.raises(MalformedStreamError, match=reason):
        decoder.feed(WalFrames(1000, 1048, 77, 0, 0, False, (), (payload,)))


def test_a_transaction_that_no_stream_sent_has_no_frames() -> None:
    with pytest.raises(FramesError, match="was not decoded from a stream"):
        list(frames_of(Transaction(1, 2, 3, 4, ())))
