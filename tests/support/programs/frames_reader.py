"""Decodes frames that another process took from its stream: lengths and frames on standard input, events on standard output.

It never connects to a database. ``described`` is the form in which both processes compare their events; what is written last
reports whether a database driver was imported.
"""

from __future__ import annotations

import struct
import sys
from typing import BinaryIO, Final

import msgspec

from engine.feed.decoders.frames import FramesDecoder, unpack
from engine.transaction import UNCHANGED, UNKNOWN, Message, Transaction, Value

__all__ = ["MEMORY_LIMIT", "described", "read_block", "write_block"]

MEMORY_LIMIT: Final = 64 << 10  # bytes after which a transaction goes to a spill file

_LENGTH: Final = struct.Struct("!I")


def write_block(pipe: BinaryIO, data: bytes) -> None:
    """Write one length and so many bytes."""
    pipe.write(_LENGTH.pack(len(data)) + data)


def read_block(pipe: BinaryIO) -> bytes | None:
    """Read what :func:`write_block` wrote; None at the end."""
    head = pipe.read(_LENGTH.size)
    return pipe.read(_LENGTH.unpack(head)[0]) if head else None


def described(transaction: Transaction) -> bytes:
    """Everything that a consumer can see of a transaction."""
    changes: list[object] = []
    for change in transaction.changes:
        if isinstance(change, Message):
            changes.append([change.prefix, change.content, change.transactional])
        else:
            relation = msgspec.to_builtins(change.relation)
            changes.append([change.kind.name, relation, _values(change.old()), _values(change.new())])
    head = [transaction.position, transaction.end, transaction.xid, transaction.commit_time]
    return msgspec.msgpack.encode([*head, changes])


def _values(row: tuple[Value, ...] | None) -> list[object] | None:
    if row is None:
        return None
    return ["unchanged" if value is UNCHANGED else "unknown" if value is UNKNOWN else value for value in row]


def main() -> None:
    """Decode until the input ends."""
    decoder = FramesDecoder(MEMORY_LIMIT)
    while (data := read_block(sys.stdin.buffer)) is not None:
        transaction = decoder.feed(unpack(data))
        if transaction is not None:
            write_block(sys.stdout.buffer, described(transaction))
    write_block(sys.stdout.buffer, b"driver imported" if "psycopg" in sys.modules else b"no driver")


if __name__ == "__main__":
    main()
