"""The order of the WAL from a source that shares no code with the engine: a slot of PostgreSQL's own ``test_decoding``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.support.postgres.sql import read, run

__all__ = ["Streamed", "begin_control", "control"]

_ROW = re.compile(r"table realtime\.\"?messages\w*\"?: INSERT: ")
_TEXT = r"{}\[{}\]:'((?:[^']|'')*)'"
_NOTE = re.compile(r"message: transactional: 1 prefix: realtime\.message, sz: \d+ content:(.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Streamed:
    """A message as the WAL has it; ``stored``: a row, else one without history."""

    xid: int
    channel: str
    payload: Any
    stored: bool


def begin_control(dsn: str, slot: str = "control") -> None:
    """From now on the slot keeps what is committed."""
    run(dsn, "select pg_create_logical_replication_slot(%s, 'test_decoding')", slot)


def control(dsn: str, slot: str = "control") -> list[Streamed]:
    """The messages committed since the last call, in the order of the WAL."""
    sql = "select data from pg_logical_slot_get_changes(%s, null, null, 'skip-empty-xacts', '1')"
    found: list[Streamed] = []
    xid = 0
    for (line,) in read(dsn, sql, slot):
        if line.startswith("BEGIN"):
            xid = int(line.split()[1])
        elif _ROW.match(line):
            found.append(
                Streamed(xid, _column(line, "channel", "text"), json.loads(_column(line, "payload", "jsonb")), True)
            )
        elif note := _NOTE.match(line):
            content = json.loads(note[1])
            found.append(Streamed(xid, content["channel"], content["payload"], False))
    return found


def _column(line: str, name: str, kind: str) -> str:
    value = re.search(_TEXT.format(name, kind), line)
    assert value is not None, line
    return value[1].replace("''", "'")
