"""Live queries over tables whose contents at every commit are known.

A transaction takes its number last, from a row that it locks until its end: so numbers are in the order of the commits,
while what transactions write before that is mixed in the WAL. It logs what it has changed under its number, so the result of
each query at each commit can be computed. A client's states must be results at commits that do not go back.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from tests.faults.observed.observer import State

__all__ = ["LOG", "SETUP", "WINDOWS", "Tables", "Window", "results", "unexplained", "write_rows"]

SETUP = (
    "create table counters (id int primary key, kind int not null, score int not null)",
    "create table kinds (kind int primary key, open boolean not null)",
    "select realtime.expose('counters'), realtime.expose('kinds')",
    "create table turns (n int not null)",
    "insert into turns values (0)",
    "create table turn_log (n int primary key, changes jsonb not null)",
)
"""What the database needs."""

LOG = "select n, changes from turn_log order by n"

_IDS, _KINDS = 20, 4
_UPSERT = """
insert into counters (id, kind, score) values (%s, %s, %s)
on conflict (id) do update set kind = excluded.kind, score = excluded.score
"""
_OPEN = "insert into kinds (kind, open) values (%s, %s) on conflict (kind) do update set open = excluded.open"
_TURN = "with turn as (update turns set n = n + 1 returning n) insert into turn_log select n, %s::jsonb from turn"


class Tables:
    """Their contents at a commit. ``counters``: kind and score by id; ``kinds``: whether they are open."""

    def __init__(self) -> None:
        self.counters: dict[int, tuple[int, int]] = {}
        self.kinds: dict[int, bool] = {}

    def apply(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """What a transaction has logged."""
        for id, value in changes.get("counters", {}).items():
            if value is None:
                self.counters.pop(int(id), None)
            else:
                self.counters[int(id)] = (value[0], value[1])
        for kind, value in changes.get("kinds", {}).items():
            self.kinds[int(kind)] = value


def _top(tables: Tables) -> State:
    ordered = sorted(tables.counters.items(), key=lambda each: (-each[1][1], each[0]))
    return tuple((id, kind, score) for id, (kind, score) in ordered[:5])


def _kind(tables: Tables) -> State:
    return tuple((id, score) for id, (kind, score) in sorted(tables.counters.items()) if kind == 1)


def _sums(tables: Tables) -> State:
    kinds = sorted({kind for kind, _ in tables.counters.values()})
    scores = {kind: [score for one, score in tables.counters.values() if one == kind] for kind in kinds}
    return tuple((kind, len(scores[kind]), max(scores[kind])) for kind in kinds)


def _open(tables: Tables) -> State:
    return tuple(
        (id, kind, score) for id, (kind, score) in sorted(tables.counters.items()) if tables.kinds.get(kind, False)
    )


class Window(NamedTuple):
    """A live query, the fields of its rows, and its result. ``joins``: it depends on several tables."""

    sql: str
    fields: tuple[str, ...]
    result: Callable[[Tables], State]
    joins: bool = False


WINDOWS = {
    "top": Window(
        "select id, kind, score from counters order by score desc, id limit 5", ("id", "kind", "score"), _top
    ),
    "kind": Window("select id, score from counters where kind = 1 order by id", ("id", "score"), _kind),
    "sums": Window(
        "select kind, count(*) as count, max(score) as highest from counters group by kind order by kind",
        ("kind", "count", "highest"),
        _sums,
    ),
    "open": Window(
        "select c.id, c.kind, c.score from counters c join kinds k on k.kind = c.kind where k.open order by c.id",
        ("id", "kind", "score"),
        _open,
        joins=True,
    ),
}
"""By name: the first rows, those of a condition, an aggregate, a join."""


async def write_rows(chance: random.Random, connection: psycopg.AsyncConnection[Any]) -> None:
    """One transaction; some are rolled back."""
    changes: dict[str, dict[int, Any]] = {"counters": {}, "kinds": {}}
    async with connection.transaction(force_rollback=chance.random() < 0.15):
        for id in sorted(chance.sample(range(_IDS), chance.choice((1, 1, 2, 4)))):
            if chance.random() < 0.25:
                cursor = await connection.execute("delete from counters where id = %s", [id])
                if cursor.rowcount:  # else another transaction may write it before this one ends
                    changes["counters"][id] = None
            else:
                row = changes["counters"][id] = [chance.randrange(_KINDS), chance.randrange(1000)]
                await connection.execute(_UPSERT, [id, *row])
        if chance.random() < 0.25:
            kind, value = chance.randrange(_KINDS), chance.random() < 0.5
            await connection.execute(_OPEN, [kind, value])
            changes["kinds"][kind] = value
        await connection.execute(_TURN, [json.dumps(changes)])


def results(log: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[str, dict[State, list[int]]]:
    """Of each window: at which commits each of its results was that. Commit 0 is before all."""
    tables = Tables()
    found: dict[str, dict[State, list[int]]] = {name: {} for name in WINDOWS}
    for n, changes in ((0, {}), *log):
        tables.apply(changes)
        for name, window in WINDOWS.items():
            found[name].setdefault(window.result(tables), []).append(n)
    return found


def unexplained(states: Sequence[State], commits_of: Mapping[State, Sequence[int]]) -> tuple[int, str] | None:
    """The first of a client's states that is no result, or only one of earlier commits than a state before it: its place,
    and the reason in words.
    """
    reached = 0
    for at, state in enumerate(states):
        commits = commits_of.get(state, ())
        place = bisect_left(commits, reached)
        if place == len(commits):
            known = (
                f"the result until commit {commits[-1]}, shown after one of {reached}" if commits else "never a result"
            )
            return at, f"state {at} of {len(states)} is {known}: {state}"
        reached = commits[place]
    return None
