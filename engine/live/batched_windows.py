"""Windows in the statements of batches (:mod:`engine.live.batched_reads`).

Windows of one shape, which differ in the values of their query alone, are read by one statement with the values of all: what
it reads for one of them is a lateral sub-select (docs: "LATERAL Subqueries"), with the number of the set before each row.

A batch for many sets of claims runs a statement of two text columns for many sets of claims. The statement of a
window has a column for each of the table, and facts are a statement of their own. In a batch both are one: a line with the
facts, one with the types of the columns if there are rows, and one for each row, as a JSON array of its values as PostgreSQL
prints them (docs: ``format()``; a cast to text is another spelling for some types).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from engine.postgres.apart import then_ours
from engine.postgres.snapshot import ReadResult
from engine.postgres.statements.arrays import text_array
from engine.postgres.statements.statement import Statement
from engine.query.compile.plan import IncrementalPlan
from engine.query.compile.where_to_sql import ParametersOfSets
from engine.transaction import Value

__all__ = ["as_lines", "for_sets", "from_lines", "of_sets"]

_VALUE: Final = (
    "case when pg_catalog.num_nonnulls(r.c{n}) operator(pg_catalog.=) 1 then pg_catalog.format('%s', r.c{n}) end"
)
# A null of a composite type is one whose fields are all null, too (docs: "Composite Type Comparison"): it is counted.
_LINES: Final = """\
with r ({columns}) as materialized (
{rows}
)
select 'facts'::pg_catalog.text, ({facts}) where (select pg_catalog.count(*) from r) is not null
union all
(select 'types', pg_catalog.array_to_json(array[{types}]::pg_catalog.text[])::pg_catalog.text from r limit 1)
union all
select 'row', pg_catalog.array_to_json(array[{values}]::pg_catalog.text[])::pg_catalog.text from r
where (select {ours})"""
"""In this order (see :mod:`engine.postgres.apart`): all rows and then the facts are read under the settings of the role, and
rows are written under ours, which facts bring back only where they have values to write.
"""


def as_lines(statement: Statement) -> Statement:
    """``statement``, of a window as a role sees its table, with the role's facts."""
    role, numbers = statement.role, range(len(statement.types))
    assert role is not None
    sql = _LINES.format(
        columns=", ".join(f"c{n}" for n in numbers),
        rows=statement.sql,
        facts=role.facts,
        ours=then_ours(role.settings),
        types=", ".join(f"pg_catalog.pg_typeof(r.c{n})::pg_catalog.oid::pg_catalog.text" for n in numbers),
        values=", ".join(_VALUE.format(n=n) for n in numbers),
    )
    return replace(statement, sql=sql, types=("text", "text"), role=replace(role, facts=""))


def from_lines(read: ReadResult, plan: IncrementalPlan) -> ReadResult:
    """What :func:`as_lines` returned, as the statement itself and the facts would have."""
    lines: list[tuple[bytes | None, Any]] = [(row[0], row[1]) for row in read.rows]
    columns = plan.table.columns
    types = tuple(column.type.oid for column in columns)
    rows: list[tuple[Value, ...]] = []
    facts: str | None = None
    for kind, line in lines:
        if kind == b"row":
            rows.append(tuple([None if value is None else value.encode() for value in orjson.loads(line)]))
        elif kind == b"types":
            types = tuple(map(int, orjson.loads(line)))
        else:
            facts = line.decode()
    if types == tuple(column.type.oid for column in columns):  # a domain keeps its base type for ever
        types = tuple(column.type.underlying.oid for column in columns)
    return replace(read, rows=rows, types=types, facts=facts)


def for_sets(part: Statement, sets: Sequence[tuple[str | None, ...]]) -> Statement:
    """The statement that reads ``part`` (see ``IncrementalPlan.read_in_set``) with each of ``sets`` of values. Its first
    column is the number of the set, from 1.
    """
    numbers = range(1, len(sets[0]) + 1)
    values = ", ".join(f"pg_catalog.unnest(${number}::pg_catalog.text[])" for number in numbers)
    names = ", ".join(f"p{number}" for number in numbers)
    alias = ParametersOfSets.alias
    sql = (
        f"select {alias}.n, r.* from rows from ({values}) with ordinality as {alias} ({names}, n)\n"
        f"cross join lateral (\n{part.sql}\n) as r"
    )
    params = tuple(text_array(values) for values in zip(*sets, strict=True))
    return replace(part, sql=sql, params=params, types=("bigint", *part.types))


def of_sets(read: ReadResult, number: int) -> list[ReadResult]:
    """What :func:`for_sets` returned for each of so many sets."""
    rows: list[list[tuple[Value, ...]]] = [[] for _ in range(number)]
    for row in read.rows:
        rows[int(row[0] or 0) - 1].append(row[1:])
    return [replace(read, rows=each, types=read.types[1:]) for each in rows]
