"""A query compiled for being kept up to date row by row, without asking the database again.

Contract: over rows in the table's layout, ``matches``, ``sort_key`` and ``encode`` agree exactly with what PostgreSQL does
for the statement of ``read()``. What cannot agree exactly is :class:`NotIncremental`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any

from engine.catalog.model import Table
from engine.identity.visibility import ANONYMOUS, Visibility
from engine.postgres.statements.statement import Statement
from engine.query.compile.cursors import bound_range, inside_bounds
from engine.query.compile.documents import document_encoder, document_id
from engine.query.compile.index_terms import IndexTerms, RangeTerm, index_terms
from engine.query.compile.predicate import Test, compile_predicate, predicate_columns
from engine.query.compile.rule import LookedFor, Rule
from engine.query.compile.to_sql import render_rows
from engine.query.compile.where_to_sql import ParametersOfSets
from engine.query.ir.comparison import NotIncrementalError, describe
from engine.query.ir.model import And, Query, compares
from engine.query.ir.normalise import normalise
from engine.query.ir.sort_order import KeyPart, SortKey, key_parts, row_key, sort_keys
from engine.transaction import UNKNOWN, Row, Value

__all__ = ["IncrementalPlan", "IndexTerms", "NotIncremental", "RangeTerm", "compile_incremental"]


@dataclass(frozen=True, slots=True)
class NotIncremental:
    """The query has to be re-read; ``reason``: why, in words for the user."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class IncrementalPlan:
    """Everything a window needs to know about its query. Rows are in the layout of ``table``.

    ``key``: equal for queries with equal results over an unchanged table, for equal ``visibility``. ``matches``: the
    predicate is true and the row lies inside the cursors; it reads only the columns in ``needs``, as does ``sort_key``.
    ``sort_key``: unique, ending in the primary key; plain tuple order is the query's order. ``identity``: by which UPDATE
    and DELETE name the old row (bytes if it is one column, else a tuple). ``encode``: the document. ``index_terms``: for
    the matcher; a row that matches satisfies at least one. ``rule``: the policies that rows are under, where ``table`` is as
    a role sees it; a window has the plan that :meth:`given` returns. ``shown_key``: of such a plan, equal for windows with
    equal rows over the same table; empty: not known. ``looked_for``: of such a plan, see
    :class:`engine.query.compile.rule.Shown`.

    The functions raise ``LookupError`` or ``ValueError`` for text that the catalog's types do not have (as an enum label
    newer than the catalog), and ``TypeError`` for NULL in a column the catalog calls NOT NULL.
    """

    query: Query
    table: Table
    key: str
    limit: int | None
    needs: frozenset[int]
    matches: Callable[[Row], bool]
    sort_key: Callable[[Row], tuple[Any, ...]]
    identity: Callable[[Row], Any]
    doc_id: Callable[[Row], str]
    encode: Callable[[Row], bytes]
    index_terms: tuple[IndexTerms, ...]
    visibility: Visibility = ANONYMOUS
    rule: Rule | None = None
    shown_key: str = ""
    looked_for: LookedFor | None = None

    @property
    def dependencies(self) -> frozenset[int]:
        """The oids of the tables on which the rows depend."""
        return frozenset((self.table.oid,)) if self.rule is None else self.rule.otherwise.dependencies

    def read(self, limit: int | None) -> Statement:
        """The statement that reads the first ``limit`` rows (None: all), columns in layout order."""
        statement = render_rows(self.query, self.table, limit)
        return statement if self.rule is None else replace(statement, role=self.rule.role)

    def read_in_set(self, limit: int) -> Statement | None:
        """As :meth:`read`, to be a part of a statement that reads for many sets of values (:class:`ParametersOfSets`); two
        plans that differ in values alone have the same SQL. None: the plan is not read so, since it has no values, it is
        read as a role, or has a pattern, which PostgreSQL has to know to find rows by an index (docs: "Index Types").
        """
        compared = () if self.query.where is None else compares(self.query.where)
        if self.rule is not None or any(each.operator in ("like", "ilike") for each in compared):
            return None
        statement = render_rows(self.query, self.table, limit, ParametersOfSets)
        origin = statement.origin
        plain = origin is not None and not origin.view and not statement.by_path
        return statement if plain and statement.params else None

    def given(self, facts: str | None) -> IncrementalPlan:
        """The plan for a window whose rows were read together with ``facts``, which its rule needs.

        Raises ``NotIncrementalError`` if the condition, now that its values are known, cannot be decided exactly.
        """
        if self.rule is None:
            return self
        where, looked_for = self.rule.shows(facts or "")
        query = replace(self.query, where=where if self.query.where is None else And((self.query.where, where)))
        made = compile_incremental(query, self.table)
        if isinstance(made, NotIncremental):
            raise NotIncrementalError(made.reason)
        given = replace(made, shown_key=made.key, looked_for=looked_for)
        return replace(given, key=self.key, visibility=self.visibility, rule=self.rule)

    def rows(self, found: Sequence[tuple[Value, ...]]) -> Sequence[tuple[Value, ...]]:
        """The rows that :meth:`read` returned, in which columns that the role may not read are not known."""
        readable = self.table.readable
        hidden = self.rule is not None and [column.attnum not in readable for column in self.table.columns]
        if not hidden or not any(hidden):
            return found
        return [
            tuple([UNKNOWN if masked else value for value, masked in zip(row, hidden, strict=True)]) for row in found
        ]


def compile_incremental(query: Query, table: Table) -> IncrementalPlan | NotIncremental:
    """Compile a query whose values are canonical, or return the reason why it cannot be kept up to date incrementally.

    Raises ``InvalidQueryError`` for a column the table does not have, or a cursor with too many values.
    """
    query = normalise(query)
    if table.problem:
        return NotIncremental(table.refusal or table.problem)
    if query.count:
        return NotIncremental("it counts rows")
    if table.timed:
        return NotIncremental("its rows are not in the WAL: they are read by the clock")
    if not table.identity:
        return NotIncremental("its rows cannot be followed: no usable replica identity")
    try:
        return _compile(query, table)
    except NotIncrementalError as reason:
        return NotIncremental(str(reason))


def _compile(query: Query, table: Table) -> IncrementalPlan:
    doc_id = document_id(table)
    keys = sort_keys(query, table)
    parts = key_parts(query, table)
    if isinstance(parts, SortKey):
        raise NotIncrementalError(f"the order of {describe(parts.column)} cannot be reproduced")
    needs = {part.index for part in parts}
    if query.where is not None:
        needs |= {table.index[name] for name in predicate_columns(query.where) if name in table.index}
    return IncrementalPlan(
        query=query,
        table=table,
        key=_key(query, table),
        limit=query.limit,
        needs=frozenset(needs),
        matches=_matches(query, table, keys, parts),
        sort_key=row_key(parts),
        identity=_identity(table.identity),
        doc_id=doc_id,
        encode=document_encoder(query, table),
        index_terms=index_terms(query.where, table, bound_range(query, keys, parts)),
    )


@lru_cache(maxsize=256)
def _identity(columns: tuple[int, ...]) -> Callable[[Row], Any]:
    return itemgetter(*columns)


def _matches(query: Query, table: Table, keys: tuple[SortKey, ...], parts: tuple[KeyPart, ...]) -> Test:
    inside = inside_bounds(query, keys, parts)
    if query.where is None:
        return inside or (lambda row: True)
    where = compile_predicate(query.where, table)
    if inside is None:
        return where
    within = inside
    return lambda row: where(row) and within(row)


def _key(query: Query, table: Table) -> str:
    digest = blake2b(repr(query).encode(), digest_size=16, key=table.signature.encode()).hexdigest()
    return f"incremental:{table.oid}:{digest}"
