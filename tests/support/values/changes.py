"""Row changes as plain values, for tests of what consumes the stream without a decoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.catalog.model import Table
from engine.transaction import Change, Kind, Message, Relation, RelationColumn, Transaction, Value

__all__ = ["RowChanged", "deleted", "inserted", "relation_of", "transaction_of", "truncated", "updated"]


@dataclass(frozen=True, slots=True)
class RowChanged:
    """A change as a decoder would give it."""

    kind: Kind
    relation: Relation
    old_row: tuple[Value, ...] | None = None
    new_row: tuple[Value, ...] | None = None

    def new(self) -> tuple[Value, ...] | None:
        return self.new_row

    def old(self) -> tuple[Value, ...] | None:
        return self.old_row


def inserted(relation: Relation, row: Sequence[Value]) -> RowChanged:
    return RowChanged(Kind.INSERT, relation, new_row=tuple(row))


def updated(relation: Relation, row: Sequence[Value], old: Sequence[Value] | None = None) -> RowChanged:
    return RowChanged(Kind.UPDATE, relation, None if old is None else tuple(old), tuple(row))


def deleted(relation: Relation, old: Sequence[Value] | None) -> RowChanged:
    return RowChanged(Kind.DELETE, relation, None if old is None else tuple(old))


def truncated(relation: Relation) -> RowChanged:
    return RowChanged(Kind.TRUNCATE, relation)


def relation_of(table: Table, names: Iterable[str] | None = None, *, identity: str | None = None) -> Relation:
    """``table`` as the stream describes it, with the columns ``names`` in that order (all, as in the table)."""
    types = dict(table.stream_columns)
    keys = {table.columns[index].name for index in table.identity}
    return Relation(
        table.oid,
        table.schema,
        table.name,
        identity or table.replica_identity,
        tuple(RelationColumn(name, types[name], -1, name in keys) for name in names or types),
    )


def transaction_of(number: int, *changes: Change | Message) -> Transaction:
    """Transaction ``number``: its id is 1000 more, it commits at LSN ``number * 256`` and that many seconds since 1970."""
    return Transaction(number * 256, number * 256 + 48, 1000 + number, number * 1_000_000, changes)
