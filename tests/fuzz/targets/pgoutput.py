"""The pgoutput decoder: payloads, each behind its length in two bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from engine.feed.decoders.base import MalformedStreamError
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.transaction import Change, Message, Transaction

__all__ = ["TOKENS", "framed", "read_changes", "target"]

TOKENS: Final = (
    b"\x00\x15B", b"\x00\x1aC", b"R", b"I", b"U", b"D", b"T", b"M", b"Y", b"O", b"N", b"K", b"n", b"u",
    b"t\x00\x00\x00\x01", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x09", b"\x00\x01",
    b"public\x00t\x00d", b"realtime.\x00", b"realtime.ddl\x00", b"\xed\xa0\x80",
)  # fmt: skip


def framed(*payloads: bytes) -> bytes:
    """An input of these payloads."""
    return b"".join(struct.pack("!H", len(each)) + each for each in payloads)


def payloads_of(data: bytes) -> Iterator[bytes]:
    """The payloads of an input; the last one may be shorter than its length announces."""
    at = 0
    while at + 2 <= len(data):
        (length,) = struct.unpack_from("!H", data, at)
        yield data[at + 2 : at + 2 + length]
        at += 2 + length


def target(data: bytes) -> None:
    """A stream is read in full, with rows as long as their messages, or refused with ``MalformedStreamError``."""
    decoder = PgOutputDecoder(memory_limit=4096)
    decoder.expect_ddl_messages(len(data) % 2 == 0)
    for payload in payloads_of(data):
        try:
            transaction = decoder.feed(payload)
            if transaction is not None:
                read_changes(transaction)
        except MalformedStreamError:
            return


def read_changes(transaction: Transaction) -> None:
    """Decode all rows, twice: a log can be read any number of times, and gives the same."""
    assert [_rows(change) for change in transaction.changes] == [_rows(change) for change in transaction.changes]


def _rows(change: Change | Message) -> object:
    if isinstance(change, Message):
        return change
    for row in (rows := (change.new(), change.old())):
        sent = 0 if row is None else sum(len(value) for value in row if isinstance(value, bytes))
        assert sent <= 2 * len(getattr(change, "raw", b""))
    return rows
