"""Which queries a change of a looked-up table concerns: those whose policies look for the row that it had or has."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from engine.live.core.index.watchers import Watchers
from engine.transaction import UNCHANGED, UNKNOWN, Kind, Relation, RelationColumn, Value

Row = tuple[Value, ...]


class Changed(NamedTuple):
    kind: Kind
    relation: Relation
    before: Row | None = None
    after: Row | None = None

    def old(self) -> Row | None:
        return self.before

    def new(self) -> Row | None:
        return self.after


def relation(identity: str, *keys: str) -> Relation:
    columns = tuple(RelationColumn(name, 25, -1, name in keys) for name in ("team", "person"))
    return Relation(1, "public", "member", identity, columns)


BY_KEY, FULL, BY_TEAM = relation("d", "team", "person"), relation("f"), relation("d", "team")
ANN, BOB, EVERY = "of ann", "of bob", "of all"


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        (Changed(Kind.INSERT, BY_TEAM, None, (b"1", b"ann")), {ANN}),
        (Changed(Kind.INSERT, BY_KEY, None, (b"1", b"cid")), set()),
        (Changed(Kind.INSERT, BY_KEY, None, (b"1", None)), set()),
        (Changed(Kind.INSERT, BY_KEY, None, (b"1", UNKNOWN)), {ANN, BOB}),
        (Changed(Kind.DELETE, BY_KEY, (b"1", b"bob")), {BOB}),
        (Changed(Kind.DELETE, FULL, (b"1", b"bob")), {BOB}),
        (Changed(Kind.DELETE, BY_TEAM, (b"1", None)), {ANN, BOB}),
        (Changed(Kind.DELETE, BY_KEY), {ANN, BOB}),
        (Changed(Kind.UPDATE, BY_KEY, None, (b"1", b"ann")), {ANN}),
        (Changed(Kind.UPDATE, BY_KEY, (b"1", b"ann"), (b"1", b"bob")), {ANN, BOB}),
        (Changed(Kind.UPDATE, FULL, (b"1", b"bob"), (b"1", UNCHANGED)), {BOB}),
        (Changed(Kind.UPDATE, BY_KEY, None, (b"1", UNCHANGED)), {ANN, BOB}),
        (Changed(Kind.UPDATE, BY_TEAM, None, (b"1", b"ann")), {ANN, BOB}),
        (Changed(Kind.TRUNCATE, BY_KEY), {ANN, BOB}),
        (Changed(Kind.INSERT, Relation(1, "public", "member", "d", ()), None, ()), {ANN, BOB}),
    ],
    ids=lambda value: value.kind.name.lower() + f" {value.before} {value.after}" if isinstance(value, Changed) else "",
)
def test_a_change_concerns_the_queries_that_look_for_the_row_as_it_was_or_is(
    change: Changed, concerned: set[str]
) -> None:
    watchers = Watchers[str]()
    watchers.add(ANN, frozenset({("person", b"bob"), ("person", b"eve")}))
    watchers.add(ANN, frozenset({("person", b"ann")}))  # its facts were read again
    watchers.add(BOB, frozenset({("person", b"bob")}))
    watchers.add(EVERY, None)
    assert set(watchers.concerned(change)) == concerned | {EVERY}
    watchers.discard(EVERY)
    watchers.discard(ANN)
    assert set(watchers.concerned(change)) == concerned - {ANN}
    watchers.discard(BOB)
    assert not watchers
    assert watchers.concerned(change) == []
