"""The statement that answers a client's SQL again and again: its rows as JSON documents with stable ids.

Ids, in this order of preference: the primary key of the one table that is read; the GROUP BY keys in the output; ``"0"``
for an aggregate over everything; an output column named ``id``; the one column of a SELECT DISTINCT; a hash of the row.
Several values make a compact JSON array of texts, as a composite primary key does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b

from sqlglot import exp

from engine.catalog.model import Table
from engine.postgres.identifiers import quoted_name
from engine.postgres.statements.statement import Statement
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.sql.parsing.lexer import normalise
from engine.query.sql.parsing.rewrite import add_key, single_source
from engine.query.sql.parsing.syntax import name_of
from engine.query.sql.safety.binding import Bound
from engine.query.sql.safety.checked_sql import CheckedSql
from engine.values.pg_types import Column

__all__ = ["reread_sql"]


def reread_sql(checked: CheckedSql, bound: Bound, reason: str) -> ReReadPlan:
    """The plan that answers ``checked`` by running it again. ``reason`` is for the user."""
    sql, source = _statement(checked)
    key = ["sql", normalise(checked.sql, list(checked.tokens)), bound.params, [kind.name for kind in checked.types]]
    return ReReadPlan(
        key="sql:" + blake2b(json.dumps(key).encode(), digest_size=16).hexdigest(),
        statement=Statement(sql, bound.params, as_reader=True, names=checked.names, source=source),
        dependencies=checked.dependencies,
        reason=reason,
        time_dependent=checked.reads_clock or bound.special_times,
        columns=checked.columns,
        calls_own=any(not each.built_in or each.name == "current_setting" for each in checked.functions),
    )


def _statement(checked: CheckedSql) -> tuple[str, str]:
    """The statement, and the sub-select in it that has the client's rows."""
    alias = _free_name("q", checked.columns)
    found = _with_key(checked)
    if found is not None:
        sql, names = found
        fields = ", ".join(f"{alias}.{quoted_name(name)}" for name in checked.columns)
        row = _free_name("d", checked.columns)
        document = f"(select row_to_json({row}) from (select {fields}) as {row})::text"
        return f"select {_id_of(alias, names)} as id, {document} as doc from (\n{sql}\n) as {alias}", sql
    outputs = _key_outputs(checked)
    document = f"row_to_json({alias})::text"
    identity = f"md5({document})" if outputs is None else _id_of(alias, outputs)
    # Without an ORDER BY of its own the order is ours to choose: one that does not change by itself.
    rows = f"select {identity} as id, {document} as doc from (\n{checked.sql}\n) as {alias}"
    if _is_ordered(checked.select):
        return rows, checked.sql
    return f'select id, doc from (\n{rows}\n) as r order by id collate "C", doc collate "C"', checked.sql


def _free_name(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _id_of(alias: str, names: Sequence[str]) -> str:
    """The id made of output columns. format('%s') gives a value's output text, as the stream has it."""
    columns = [f"{alias}.{quoted_name(name)}" for name in names]
    texts = [f"case when {column} is not null then format('%s', {column}) end" for column in columns]
    if len(texts) == 1:
        return f"coalesce({texts[0]}, 'null')"
    return f"array_to_json(array[{', '.join(texts)}]::text[])::text" if texts else "'0'"


def _is_ordered(tree: exp.Query | None) -> bool:
    # What we could not read may be ordered; an aggregate of everything is one row.
    return tree is None or tree.args.get("order") is not None or isinstance(tree, exp.Subquery)


def _with_key(checked: CheckedSql) -> tuple[str, list[str]] | None:
    """The SQL with the table's primary key added, if each of its rows is a row of one table."""
    source = single_source(checked.select, checked.tables)
    select = checked.select
    if source is None or select is None or checked.tree.aggregates or checked.tree.returns_sets:
        return None
    if any(select.args.get(part) for part in ("group", "having", "distinct")):
        return None
    alias, table = source
    key = _visible_key(table)
    names = [_free_name(f"key {number}", checked.columns) for number in range(1, len(key) + 1)]
    sql = add_key(checked.sql, checked.tokens, alias, key, names) if key else None
    return None if sql is None else (sql, names)


def _visible_key(table: Table) -> list[Column]:
    """The primary key, if clients may see all of it; the statement runs with their rights."""
    key = [table.columns[index] for index in table.primary_key]
    return key if all(column.exposed for column in key) else []


def _key_outputs(checked: CheckedSql) -> list[str] | None:
    """Output columns that identify the rows; [] for a single row; None if there are none."""
    select = checked.select
    if isinstance(select, exp.Select) and not any(item.is_star for item in select.expressions):
        group = select.args.get("group")
        if group is not None:
            found = _grouped(select, group, checked)
            if found:
                return found
        elif checked.tree.aggregates and not checked.tree.returns_sets:
            return []
        elif select.args.get("distinct") and len(checked.columns) == 1:
            return list(checked.columns)
    return ["id"] if "id" in checked.columns else None


def _grouped(select: exp.Select, group: exp.Expr, checked: CheckedSql) -> list[str] | None:
    """The outputs that are the GROUP BY keys; None unless all keys are in the output."""
    if any(value for name, value in group.args.items() if name != "expressions"):
        return None
    names: list[str] = []
    for key in group.expressions:
        index = _output(select, key, checked)
        if index is None or index >= len(checked.columns):
            return None
        names.append(checked.columns[index])
    return names


def _output(select: exp.Select, key: exp.Expr, checked: CheckedSql) -> int | None:
    """Which output a GROUP BY key is. A bare name is an input column first, then an output's alias."""
    if isinstance(key, exp.Literal) and not key.is_string and str(key.this).isdigit() and len(key.this) < 10:
        return int(key.this) - 1
    for index, item in enumerate(select.expressions):
        if _same(item.this if isinstance(item, exp.Alias) else item, key):
            return index
    if isinstance(key, exp.Column) and not key.table:
        name = name_of(key.this)
        if not any(name in table.by_name for table in checked.tables.values()) and name in checked.columns:
            return checked.columns.index(name)
    return None


def _same(output: exp.Expr, key: exp.Expr) -> bool:
    if isinstance(output, exp.Column) and isinstance(key, exp.Column) and not (output.table and key.table):
        return name_of(output.this) == name_of(key.this)
    return output == key
