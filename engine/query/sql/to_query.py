"""From a simple SELECT over one table to a :class:`Query`, so that it can be kept up to date incrementally.

Conservative by rule: a node may hold nothing but what is understood here, and a comparison must certainly be
``column's type operator column's type`` as Postgres resolves it (docs: "Type Conversion / Operators"). Everything else is
:class:`NotIncrementalError`, and the SQL is re-read.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from engine.catalog.model import Table
from engine.query.ir.comparison import NotIncrementalError
from engine.query.ir.model import OrderBy, Predicate, Query
from engine.query.sql.parsing.parameters import ParameterType
from engine.query.sql.parsing.rewrite import single_source
from engine.query.sql.parsing.syntax import name_of, only_args
from engine.query.sql.to_predicate import Columns, where_of
from engine.values.pg_types import Column

__all__ = ["query_of"]

_PARTS = {
    "with_": "WITH",
    "joins": "a join",
    "laterals": "LATERAL",
    "distinct": "DISTINCT",
    "group": "GROUP BY",
    "having": "HAVING",
    "windows": "WINDOW",
    "offset": "OFFSET",
    "qualify": "QUALIFY",
}


def query_of(
    select: exp.Query | None,
    tables: dict[int, Table],
    types: Sequence[ParameterType],
    values: Sequence[object],
    params: Sequence[str | None],
) -> Query:
    """The query that ``select`` is. ``values`` are the parameters as JSON, ``params`` their canonical texts.

    Raises ``NotIncrementalError`` with the reason, if it is more than filter, order and limit over one table.
    """
    if not isinstance(select, exp.Select):
        raise NotIncrementalError("the query is not a plain SELECT")
    for name, part in _PARTS.items():
        if select.args.get(name):
            raise NotIncrementalError(f"the query has {part}")
    if not only_args(select, "expressions", "from_", "where", "order", "limit"):
        raise NotIncrementalError("the query has a clause that only Postgres understands")
    source = single_source(select, tables)
    if source is None or not only_args(select.args["from_"].this, "this", "db", "alias"):
        raise NotIncrementalError("the query does not read exactly one table")
    alias, table = source
    columns = Columns(alias, table, types, values, params)
    projection = _projection(select, columns)
    where = select.args.get("where")
    predicate: Predicate | None = where_of(where.this, columns) if where is not None else None
    return Query(
        collection=table.collection,
        where=predicate,
        order_by=_order_by(select, columns, projection),
        limit=_limit(select.args.get("limit"), columns),
        projection=tuple((column.name, output) for column, output in projection),
        asked=("*",) if any(_is_star(item, alias) for item in select.expressions) else (),
    )


def _projection(select: exp.Select, columns: Columns) -> list[tuple[Column, str]]:
    found: list[tuple[Column, str]] = []
    for item in select.expressions:
        node, output = item, ""
        if isinstance(item, exp.Alias):
            node, output = item.this, name_of(item.args.get("alias"))
        if _is_star(node, columns.alias):
            found += [(column, column.name) for column in columns.table.exposed_columns]
        else:
            column = columns.find(node)
            found.append((column, output or column.name))
    return found


def _is_star(node: exp.Expr, alias: str) -> bool:
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Star) and only_args(node, "this", "table"):
        return name_of(node.args.get("table")) == alias and only_args(node.this)
    return isinstance(node, exp.Star) and only_args(node)


def _order_by(select: exp.Select, columns: Columns, projection: Sequence[tuple[Column, str]]) -> tuple[OrderBy, ...]:
    order = select.args.get("order")
    keys: dict[str, OrderBy] = {}
    if order is not None and not only_args(order, "expressions"):
        raise NotIncrementalError("ORDER BY is not over plain columns")
    for item in order.expressions if order is not None else ():
        if not isinstance(item, exp.Ordered) or not only_args(item, "this", "desc", "nulls_first"):
            raise NotIncrementalError("ORDER BY is not over plain columns")
        column = _sort_column(item.this, columns, projection)
        key = OrderBy(column.name, bool(item.args.get("desc")), bool(item.args.get("nulls_first")))
        keys.setdefault(column.name, key)  # sorted by it already: a second time changes nothing
    return tuple(keys.values())


def _sort_column(node: exp.Expr, columns: Columns, projection: Sequence[tuple[Column, str]]) -> Column:
    """SQL-92's rule, which Postgres keeps: a bare name is an output column first; a bare integer is the output's number."""
    if isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit() and len(node.this) < 10:
        number = int(node.this)
        if 1 <= number <= len(projection):
            return projection[number - 1][0]
    if isinstance(node, exp.Column) and only_args(node, "this"):
        named = {column.name: column for column, output in projection if output == name_of(node.this)}
        if len(named) == 1:
            return next(iter(named.values()))
    return columns.find(node)


def _limit(node: exp.Expr | None, columns: Columns) -> int | None:
    if node is None:
        return None
    if not isinstance(node, exp.Limit) or not only_args(node, "expression"):
        raise NotIncrementalError("LIMIT is not a plain number")
    count = node.args["expression"]
    if isinstance(count, exp.Null) or (isinstance(count, exp.Var) and str(count.this).upper() == "ALL"):
        return None
    text: str | None = str(count.this)
    if isinstance(count, exp.Parameter):
        text = columns.parameter(count)[2]
        if text is None:
            return None
    elif not isinstance(count, exp.Literal) or count.is_string:
        raise NotIncrementalError("LIMIT is not a plain number")
    if text is None or not text.isdigit() or len(text) > 10 or not 0 < int(text) < 2**31:
        raise NotIncrementalError("LIMIT is not a positive number")
    return int(text)
