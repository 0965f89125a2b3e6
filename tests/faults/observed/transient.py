"""What is delivered once or never: messages of channels without history, messages to all clients, changes of a room.

Nothing of it comes twice, and all clients get what they get in one order. What a client lacks must have been committed when
it could not be delivered: around a new connection of the client, or when its node had lost a part of the stream, at whose
recovery it informs clients (*gap*). A message to a channel without history that was sent again over a new connection, since
its answer did not come, is published again: clients that know its id drop it, others get it then, so the order is that of
the others.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

import psycopg

from tests.faults.observed.observer import Seen

__all__ = ["CHANNELS", "EVENT", "NOTICES", "ROOM", "SETUP", "STREAMS", "SqlWriter", "disorder", "doubled", "lost"]

CHANNELS = ("passing:0", "passing:1")
ROOM = "passing:room"
STREAMS = (*CHANNELS, ROOM, "*")
"""What is numbered by itself; ``*``: messages to all."""

EVENT = "passing"
SETUP = (
    *(f"select realtime.create_channel('{name}', history => false)" for name in CHANNELS),
    f"select realtime.create_channel('{ROOM}')",
    "create table passed (stream text not null, n int not null, primary key (stream, n))",
)
"""What the database needs."""

NOTICES = 5.0
"""Seconds before a node notices that it has lost something."""

_RECOVERS = 30.0
"""Seconds after that until it has read again what it can read. It shows a room as it is by then, not what was between."""

_MARKS = {"connected", "subscribed", "gap"}

Entry = tuple[str, int]
"""Who sent it, and its number."""


class SqlWriter:
    """One writer, so its numbers are in the order of its commits; those that committed are in the table ``passed``."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._n = 0

    async def write(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """One transaction over some of :data:`STREAMS`."""
        async with connection.transaction(force_rollback=self._chance.random() < 0.1):
            self._n += 1
            for stream in self._chance.sample(STREAMS, self._chance.choice((1, 1, 2, 4))):
                data = json.dumps({"from": "sql", "n": self._n})
                if stream == "*":
                    await connection.execute("select realtime.broadcast_all(%s, %s::jsonb)", [EVENT, data])
                elif stream == ROOM:
                    await connection.execute(
                        "select realtime.update_channel(%s, jsonb_build_object('metadata', %s::jsonb))", [ROOM, data]
                    )
                else:
                    await connection.execute("select realtime.broadcast(%s, %s, %s::jsonb)", [stream, EVENT, data])
                await connection.execute("insert into passed values (%s, %s)", [stream, self._n])


def _entries(seen: Sequence[Seen], stream: str) -> list[Entry]:
    return [each.value for each in seen if each.kind == "message" and each.of == stream]


def doubled(seen: Sequence[Seen], stream: str) -> list[Entry]:
    """What came more than once."""
    return [each for each, count in Counter(_entries(seen, stream)).items() if count > 1]


def disorder(histories: Mapping[str, Sequence[Seen]], stream: str, again: Collection[Entry] = frozenset()) -> str:
    """Why there is no one order in which all clients got theirs; "" if there is. Each sender's numbers must rise.

    ``again``: what may have been sent twice.
    """
    graph: dict[Entry, set[Entry]] = {}
    for name, seen in histories.items():
        last: dict[str, int] = {}
        entries = [each for each in _entries(seen, stream) if each not in again]
        for sender, n in entries:
            if n < last.get(sender, n):
                return f"{name}: {n} of {sender} came after {last[sender]}"
            last[sender] = n
        for before, after in pairwise(entries):
            graph.setdefault(after, set()).add(before)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        return f"no order: {cycle.args[1][:6]}"
    return ""


def lost(
    seen: Sequence[Seen], stream: str, sender: str, numbers: Sequence[int], breaks: Sequence[float]
) -> tuple[list[int], int]:
    """The numbers of a sender that a client lacks without a reason, and how many it lacks with one.

    ``numbers``: all that were committed, in order; ``breaks``: when its node had lost a part of the stream.
    """
    places = {
        each.value[1]: at
        for at, each in enumerate(seen)
        if (each.kind, each.of) == ("message", stream) and each.value[0] == sender
    }
    unexplained, excused, before = [], 0, -1
    coming = [n for n in numbers if n in places]
    for n in numbers:
        if n in places:
            before = places[n]
            coming.pop(0)
            continue
        after = places[coming[0]] if coming else len(seen)
        begin = seen[before].at - _RECOVERS if before >= 0 else 0.0
        end = seen[after].at + NOTICES if after < len(seen) else float("inf")
        marked = any(each.kind in _MARKS and each.at <= end for each in seen[before + 1 :])
        if marked or any(begin <= at <= end for at in breaks):
            excused += 1
        else:
            unexplained.append(n)
    return unexplained, excused
