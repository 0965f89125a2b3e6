"""The exposed tables as the database describes them, as plain data: tables and their row layouts.

A table's *layout* is the fixed order in which rows are handled everywhere: in windows, predicates, order keys and
reads. ``layout()`` gives where a streamed row carries each layout column, or that the table has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from engine.catalog.policies import Policies
from engine.transaction import Relation
from engine.values import Codec, column_codec
from engine.values.pg_types import Column

__all__ = ["Catalog", "Marks", "Table", "layout"]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """An exposed table (for a partitioned one: the root).

    ``columns`` is the row layout: the streamed columns that are exposed, or in the primary key, or in ``identity``, by
    attnum. ``primary_key`` and ``identity`` are indexes into it, ``codecs`` lies beside it. ``identity`` names the columns
    by which UPDATE and DELETE find the old row; empty: rows cannot be followed and only re-reading is possible.
    ``unstreamed`` are exposed columns which the stream lacks. ``stream_columns`` are (name, type oid) of everything
    streamed, by attnum; ``generated`` the names of all generated columns, hidden ones too. ``members``: its own oid and
    those of all partitions. ``problem``: why it cannot be subscribed to, in plain words; ``refusal``: the same for clients,
    which names no table; ``remediable``: because the stream does not bring all of its changes until the publication is
    corrected or the replica identity, so it passes.
    ``withheld``: because ``realtime_reader`` has lost its privilege on all that was exposed. ``access``: the attnums of the
    columns that each served role may read. ``policies``: what its policies read; None without row-level security.
    ``policed``: why rows have to be read as the subscriber's role, in plain words, and ``readable``: what it may read, where
    the table is as one role sees it (:mod:`engine.catalog.rights`); ``role`` is that role then, and ``base`` the table as it
    is for all, with the same layout. ``settings``: those of the role's sessions that differ from ours. ``built_in``: a table
    of the service itself, for administrators; it is read as the server's role. ``timed``: its rows are not in the stream, so
    queries on it are read again by the clock.
    """

    oid: int
    schema: str
    name: str
    collection: str
    columns: tuple[Column, ...]
    primary_key: tuple[int, ...]
    identity: tuple[int, ...]
    replica_identity: str = "d"
    stream_columns: tuple[tuple[str, int], ...] = ()
    members: frozenset[int] = frozenset()
    camel_case: bool = False
    unstreamed: tuple[Column, ...] = ()
    generated: frozenset[str] = frozenset()
    problem: str | None = None
    refusal: str | None = None
    remediable: bool = False
    withheld: bool = False
    access: Mapping[str, frozenset[int]] = field(default_factory=dict)
    policies: Policies | None = None
    policed: str | None = None
    readable: frozenset[int] = frozenset()
    role: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    base: Table | None = None
    built_in: bool = False
    timed: bool = False
    index: Mapping[str, int] = field(init=False, repr=False)
    by_field: Mapping[str, Column] = field(init=False, repr=False)
    by_name: Mapping[str, Column] = field(init=False, repr=False)
    codecs: tuple[Codec, ...] = field(init=False, repr=False)
    signature: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        every = (*self.columns, *self.unstreamed)
        _set = object.__setattr__  # the dataclass is frozen; these are derived once
        _set(self, "index", {column.name: index for index, column in enumerate(self.columns)})
        _set(self, "by_field", {column.field: column for column in every if column.exposed})
        _set(self, "by_name", {column.name: column for column in every})
        _set(self, "codecs", tuple(column_codec(column) for column in self.columns))
        parts = (self.oid, self.schema, self.name, every, self.primary_key, self.identity, self.stream_columns)
        _set(self, "signature", blake2b(repr(parts).encode(), digest_size=12).hexdigest())

    def equal_value(self, index: int, value: bytes) -> Hashable:
        """What decides SQL's ``=`` for the layout column ``index``.

        Raises ``ValueError`` if the type has no equality that can be reproduced; no incremental plan asks then.
        """
        equal = self.codecs[index].equal
        if equal is None:
            raise ValueError(f"equality of {self.columns[index].type.name} cannot be reproduced")
        return equal(value)

    def sort_value(self, index: int, value: bytes) -> Any:
        """A key in the (ascending) SQL order of the layout column ``index``. Raises as :meth:`equal_value`."""
        sort = self.codecs[index].sort
        if sort is None:
            raise ValueError(f"the order of {self.columns[index].type.name} cannot be reproduced")
        return sort(value)

    @property
    def exposed_columns(self) -> tuple[Column, ...]:
        """What clients see, streamed or not, in the table's own column order."""
        found = [column for column in (*self.columns, *self.unstreamed) if column.exposed]
        return tuple(sorted(found, key=lambda column: column.attnum))


@dataclass(frozen=True, slots=True)
class Marks:
    """Texts that change when definitions do: of the publication as a whole, of the types in use, of what new sessions are
    set to, of each exposed table, and of the policies of those with row-level security.
    """

    publication: str
    types: str
    settings: str
    tables: Mapping[int, str]
    policies: Mapping[int, str] = field(default_factory=dict)

    def changed(self, since: Marks) -> set[int] | None:
        """The tables (oids) that are not what they were at ``since``; None: perhaps all."""
        if (self.publication, self.types, self.settings) != (since.publication, since.types, since.settings):
            return None
        return _unequal(self.tables, since.tables) | _unequal(self.policies, since.policies)


def _unequal(new: Mapping[int, str], old: Mapping[int, str]) -> set[int]:
    return {oid for oid in new.keys() | old.keys() if new.get(oid) != old.get(oid)}


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """All exposed tables. ``by_oid`` also maps each partition to its root's table, and has those of ``built_in``: tables of
    the service, by collection, which no subscriber but administrators sees (:mod:`engine.catalog.rights`).

    ``by_type`` are the oids of the tables that have a column of a type, or of one made of it; ``by_relation`` the same by
    the ``pg_class`` entry of composite types. ``problem``: what is wrong with the publication as a whole, in plain words.
    ``marks`` were read just before the rest. ``roles``: that subscribers may read as; ``claims_setting``: where
    policies find claims; ``settings``: by role, those of its sessions that differ from ours.
    ``by_source`` are the oids of the tables whose policies read a table that need not be exposed. ``by_role``: made by
    :func:`engine.catalog.rights.seen_by`.
    ``readers``: the roles that must all have a privilege for a subscriber to have it.
    """

    by_collection: Mapping[str, Table]
    by_oid: Mapping[int, Table]
    by_type: Mapping[int, Set[int]] = field(default_factory=dict)
    by_relation: Mapping[int, Set[int]] = field(default_factory=dict)
    problem: str | None = None
    marks: Marks | None = None
    roles: frozenset[str] = frozenset()
    claims_setting: str = ""
    settings: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    by_source: Mapping[int, Set[int]] = field(default_factory=dict)
    readers: tuple[str, ...] = ("realtime_reader",)
    built_in: Mapping[str, Table] = field(default_factory=dict)
    by_role: dict[str, Catalog] = field(init=False, default_factory=dict, repr=False)

    def with_tables(self, of: Callable[[Table], Table]) -> Catalog:
        """This catalog with ``of(table)`` in place of each table."""
        exposed = {name: of(table) for name, table in self.by_collection.items()}
        built_in = {name: of(table) for name, table in self.built_in.items()}
        by_oid = {oid: (built_in if t.built_in else exposed)[t.collection] for oid, t in self.by_oid.items()}
        return replace(self, by_collection=exposed, by_oid=by_oid, built_in=built_in)

    def relations(self, tables: Set[int]) -> dict[int, int]:
        """The relations (oids) as which the stream may bring rows of ``tables``, with the table of each: the table itself,
        and its partitions while the publication does not bring their rows as the root's.
        """
        found = {oid: oid for oid in tables}
        if self.problem is not None:
            found |= {oid: table.oid for oid, table in self.by_oid.items() if table.oid in tables}
        return found

    def concerned(self, oids: Collection[int], types: Iterable[int] = (), *, policies: bool = False) -> set[int]:
        """The tables (their oids) that a change of these relations and types concerns; empty: none that is exposed.

        ``policies``: all with policies as well, which may use a type that none of the table's columns has.
        """
        found = {table.oid for oid in oids if (table := self.by_oid.get(oid))}
        for oid in oids:
            found |= self.by_relation.get(oid, frozenset())
            found |= self.by_source.get(oid, frozenset())
        for oid in types:
            found |= self.by_type.get(oid, frozenset())
        if policies:
            found |= {table.oid for table in self.by_collection.values() if table.policies is not None}
        return found


def layout(table: Table, relation: Relation) -> tuple[int, ...] | None:
    """Where ``relation``'s rows carry each column of the table's layout.

    None if the relation no longer has the streamed columns of ``table`` (by name, type and order, and by number if the
    stream has it): the catalog is older or newer than the stream there. Columns in another order have swapped their names,
    and one may be hidden. The output plugin may omit generated columns as long as the layout does not use them.
    """
    expected = dict(table.stream_columns)
    sent = {column.name: position for position, column in enumerate(relation.columns)}
    for column in relation.columns:
        known = expected.get(column.name)
        if known != column.type_oid and not (known is None and column.name in table.generated):
            return None
    if any(name not in sent and (name in table.index or name not in table.generated) for name in expected):
        return None
    if [name for name, _ in table.stream_columns if name in sent] != [name for name in sent if name in expected]:
        return None
    positions = tuple(sent[column.name] for column in table.columns)
    numbers = [
        (relation.columns[at].attnum, column.attnum) for at, column in zip(positions, table.columns, strict=True)
    ]
    return positions if all(number in (0, known) for number, known in numbers) else None
