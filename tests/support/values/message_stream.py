"""A table, and its changes as pgoutput sends them, without a server.

The bytes are made as PostgreSQL's "Logical Replication Message Formats" requires, so decoding is part of what is measured.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from engine.catalog.model import Table
from engine.identity.visibility import ANONYMOUS, Visibility
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.values.pg_types import Collation, Column, TypeInfo

__all__ = ["MESSAGES", "insert", "plan_for", "relation", "resident_kib", "row", "transaction"]

_INT8 = TypeInfo(20, "bigint", "base", category="N")
_TEXT = TypeInfo(25, "text", "base", category="S")
_BOOL = TypeInfo(16, "boolean", "base", category="B")
_STAMP = TypeInfo(1184, "timestamp with time zone", "base", category="D")
_C = Collation("C", deterministic=True, bytewise=True, ascii_case=True)

_COLUMNS = (
    ("id", _INT8, True),
    ("room_id", _TEXT, True),
    ("author", _TEXT, True),
    ("body", _TEXT, True),
    ("created_at", _STAMP, True),
    ("likes", _INT8, True),
    ("pinned", _BOOL, True),
    ("edited_at", _STAMP, False),
)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


MESSAGES = Table(
    oid=16384,
    schema="public",
    name="messages",
    collection="messages",
    columns=tuple(
        Column(name, number, type_, _C if type_ is _TEXT else None, not_null, field=_camel(name))
        for number, (name, type_, not_null) in enumerate(_COLUMNS, 1)
    ),
    primary_key=(0,),
    identity=(0,),
    stream_columns=tuple((name, type_.oid) for name, type_, _ in _COLUMNS),
    members=frozenset({16384}),
    camel_case=True,
)


def plan_for(room: str, visibility: Visibility = ANONYMOUS) -> IncrementalPlan:
    """The plan of the latest 50 messages of a room."""
    spec = {"where": [["roomId", "==", room]], "orderBy": [["createdAt", "desc"]], "limit": 50}
    plan = compile_incremental(parse_query(spec, MESSAGES), MESSAGES)
    assert isinstance(plan, IncrementalPlan)
    return replace(plan, visibility=visibility)


def relation() -> bytes:
    """The Relation message of the table."""
    columns = b"".join(
        struct.pack("!B", name == "id") + name.encode() + b"\0" + struct.pack("!Ii", type_.oid, -1)
        for name, type_, _ in _COLUMNS
    )
    return b"R" + struct.pack("!I", MESSAGES.oid) + b"public\0messages\0d" + struct.pack("!H", len(_COLUMNS)) + columns


def row(number: int, room: str) -> tuple[bytes | None, ...]:
    """A row of about 170 bytes."""
    second, micro = divmod(number, 1_000_000)
    minute, second = divmod(second, 60)
    stamp = b"2026-01-25 09:%02d:%02d.%06d+00" % (minute % 60, second, micro)
    body = b"message number %d, of about the length that people write in a chat" % number
    return (b"%d" % number, room.encode(), b"user-%d" % (number % 97), body, stamp, b"0", b"f", None)


def insert(number: int, room: str) -> bytes:
    """An Insert message."""
    values = b"".join(
        b"n" if value is None else b"t" + struct.pack("!I", len(value)) + value for value in row(number, room)
    )
    return b"I" + struct.pack("!I", MESSAGES.oid) + b"N" + struct.pack("!H", len(_COLUMNS)) + values


def transaction(number: int, changes: list[bytes]) -> Iterator[bytes]:
    """Begin, changes, Commit; transaction ``number`` commits at LSN ``number * 256``."""
    lsn = number * 256
    yield b"B" + struct.pack("!QqI", lsn, 0, 1000 + number)
    yield from changes
    yield b"C" + struct.pack("!BQQq", 0, lsn, lsn + 48, 0)


def resident_kib() -> int:
    """This process's resident memory."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
