"""The wal2json decoder: payloads, one a line. Each table it asks about is ``public.t``, or is not exposed."""

from __future__ import annotations

from typing import Final

from engine.feed.decoders.base import MalformedStreamError, RelationNeededError, TableDescription
from engine.feed.decoders.wal2json import Wal2JsonDecoder
from engine.transaction import Relation, RelationColumn
from tests.fuzz.targets.pgoutput import read_changes

__all__ = ["TOKENS", "target"]

TOKENS: Final = (
    b'{"action":"I"', b'{"action":"U"', b'{"action":"D"', b'{"action":"T"', b'{"action":"B"}', b'{"action":"C"',
    b'{"action":"M"', b',"schema":"public","table":"t"', b',"columns":[', b',"identity":[',
    b'{"name":"a","typeoid":23,"value":1}', b'{"name":"b","typeoid":25,"value":"x"}',
    b'{"name":"c","typeoid":17,"value":"00ff"}', b'{"name":"d","typeoid":1700,"value":null}', b'"typeoid":-1',
    b',"lsn":"0/3E8"', b',"nextlsn":"0/418"', b',"xid":77', b',"timestamp":"2026-01-02 03:04:05.678+00"',
    b',"prefix":"realtime.x","transactional":true', b',"content":"\\u00ff"', b"\\ud800", b"null", b"true", b"]", b"}",
    b"\n",
)  # fmt: skip

_RELATION: Final = Relation(
    9,
    "public",
    "t",
    "d",
    tuple(RelationColumn(name, oid, -1, name == "a") for name, oid in (("a", 23), ("b", 25), ("c", 17), ("d", 1700))),
)


def target(data: bytes) -> None:
    """A stream is read in full, or refused with ``MalformedStreamError``; a table is asked about once for each payload."""
    decoder = Wal2JsonDecoder(memory_limit=4096)
    decoder.use(len(data) % 2)
    for payload in data.split(b"\n"):
        try:
            try:
                transaction = decoder.feed(payload)
            except RelationNeededError as need:
                exposed = (need.schema, need.table) == ("public", "t")
                decoder.provide(need, TableDescription(_RELATION, False, len(data) % 3 == 0) if exposed else None)
                transaction = decoder.feed(payload)
            if transaction is not None:
                read_changes(transaction)
        except MalformedStreamError:
            return
