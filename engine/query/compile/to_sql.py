"""A query as SQL: the rows a window holds, or the documents of a query that is re-read.

Every literal is a parameter with an explicit cast to the type the query read it as, every name is quoted, nulls are placed
explicitly, and the order ends with the primary key: the statement means what the compiled predicate and key mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import compress

from engine.catalog.model import Table
from engine.errors import InvalidQueryError, PermissionDeniedError
from engine.postgres.identifiers import quoted_name
from engine.postgres.statements.statement import Origin, Statement
from engine.query.compile.documents import projection
from engine.query.compile.predicate import predicate_columns
from engine.query.compile.where_to_sql import Nulls, Parameters, column_sql, cursor_sql, key_sql, predicate_sql
from engine.query.ir.model import Query
from engine.query.ir.sort_order import sort_keys
from engine.values.pg_types import Column

__all__ = ["calls_own", "render_documents", "render_reread", "render_rows", "used_columns"]

_FIRST_OWN = 16384  # oids of what was made after initdb begin here (docs: "System Catalog Initial Data")

# d.* and not d: a bare name is a column before it is a row (docs: "Using Composite Types in Queries"), and the table, or the
# document, may have a column of that name, also a hidden one.
_DOCUMENT = "row_to_json(d.*)::text"


def render_rows(
    query: Query, table: Table, limit: int | None, parameters_type: type[Parameters] = Parameters
) -> Statement:
    """The columns of the table's layout, in that order, of the first ``limit`` rows (None: all). There is a null in place of
    those that the role may not read, for the table as a role sees it. ``parameters_type``: how the SQL names its values.
    """
    parameters = parameters_type()
    columns, origin, types = _layout(table)
    rest = _rest(query, table, limit, parameters, view=origin is not None and bool(origin.view))
    by_path = calls_own(query, table)
    return Statement(f"select {columns} {rest}", parameters.values, by_path=by_path, origin=origin, types=types)


@lru_cache(maxsize=256)
def _layout(table: Table) -> tuple[str, Origin | None, tuple[str, ...]]:
    """What all statements that read rows of the table have alike: the columns, what they must mean, and their types."""
    readable = [table.policed is None or column.attnum in table.readable for column in table.columns]
    columns = [
        column_sql(column) if read else f"null::{column.type.name}"
        for column, read in zip(table.columns, readable, strict=True)
    ]
    origin = _origin(table, list(compress(table.columns, readable)))
    return ", ".join(columns), origin, tuple(column.type.name for column in table.columns)


def render_reread(query: Query, table: Table) -> Statement:
    """The statement of :func:`render_documents`, with what its names must mean. A count is one such document, ``0``."""
    used = used_columns(query, table)
    origin = _origin(table, used)
    view = origin is not None and bool(origin.view)
    if query.count:
        statement = _counted(query, table, view=view)
    else:
        statement = _documents(query, table, view=view, apart=used if table.settings else ())
    return replace(statement, by_path=calls_own(query, table), origin=origin)


def calls_own(query: Query, table: Table) -> bool:
    """Whether values of the columns that a query uses can call functions that did not come with PostgreSQL."""
    return _any_calls_own(table) and any(_calls_own(column) for column in used_columns(query, table))


@lru_cache(maxsize=256)
def _any_calls_own(table: Table) -> bool:
    return any(_calls_own(column) for column in table.by_name.values())


def _calls_own(column: Column) -> bool:
    """Operators of base types, checks of domains, casts to json. (Enums, and what is made of built-in types, are compared
    and shown by built-in functions.)
    """
    return any(
        part.json_cast or (part.oid >= _FIRST_OWN and part.kind in ("base", "domain", "range"))
        for part in column.type.parts()
    )


def used_columns(query: Query, table: Table) -> list[Column]:
    """The columns that a query shows, filters by or sorts by, and those of the id; of a count only those that it depends on,
    one at least.
    """
    keys = sort_keys(query, table)
    if query.count:
        compared = max((len(bound.values) for bound in (query.start, query.end) if bound), default=0)
        names = {key.column.name for key in keys[:compared]}
    else:
        names = {name for name, _ in projection(query, table)} | {key.column.name for key in keys}
        names |= {table.columns[index].name for index in table.primary_key}
    if query.where is not None:
        names |= predicate_columns(query.where)
    if not names:
        names = {next(c.name for c in table.exposed_columns if table.policed is None or c.attnum in table.readable)}
    return sorted((table.by_name[name] for name in names if name in table.by_name), key=lambda column: column.attnum)


def _origin(table: Table, columns: Sequence[Column]) -> Origin | None:
    """None: the statement is run as the server itself, over a table that nothing but a migration changes."""
    if table.built_in:
        return None
    exposed = tuple(column.attnum for column in columns if column.exposed)
    view = ""
    if table.policed is not None:  # the role itself reads hidden columns: a view would read rows as its owner
        if any(column.attnum not in table.readable for column in columns):  # of the key: no field of theirs is known
            raise PermissionDeniedError(f'"{table.collection}": the role {table.role} may not read all of its key')
    elif len(exposed) < len(columns):
        names = ", ".join(quoted_name(column.name) for column in columns)
        view = f"create temporary view {_VIEW} as select {names} from {_name(table)}"
    return Origin(
        table.oid,
        (table.schema, table.name),
        tuple(column.name for column in columns),
        tuple(column.attnum for column in columns),
        exposed,
        view,
    )


_VIEW = "pg_temp.realtime_rows"


def _name(table: Table) -> str:
    return f"{quoted_name(table.schema)}.{quoted_name(table.name)}"


def render_documents(query: Query, table: Table, *, nulls: bool = False) -> Statement:
    """Two text columns, the id and the JSON document of each row, for any query whether incremental or not.

    The id is the primary key's text, of a composite key a compact JSON array of texts, without one a hash of the document
    (equal rows then have equal ids). With ``nulls`` there is a null of its type in place of each value.
    """
    return _documents(query, table, parameters=Nulls() if nulls else None)


def _documents(
    query: Query,
    table: Table,
    *,
    view: bool = False,
    parameters: Parameters | None = None,
    apart: Sequence[Column] = (),
) -> Statement:
    """``apart``: the columns that are read in a sub-select, out of which the documents are made."""
    parameters = parameters or Parameters()
    outputs = ", ".join(f"t.{quoted_name(name)} as {quoted_name(output)}" for name, output in projection(query, table))
    texts, join = f"select {_id_sql(table)} as id, {_DOCUMENT} as doc", f" cross join lateral (select {outputs}) as d"
    if apart:
        rest = _rest(query, table, query.limit, parameters, view=view)
        source = f"select {', '.join(map(column_sql, apart))} {rest}"
        return Statement(f"{texts} from (\n{source}\n) as t{join}", parameters.values, source=source)
    rest = _rest(query, table, query.limit, parameters, join, view=view)
    return Statement(f"{texts} {rest}", parameters.values)


def _counted(query: Query, table: Table, *, view: bool) -> Statement:
    """The order does not matter to the number of rows, not with a limit either."""
    parameters = Parameters()
    rest = _rest(query, table, query.limit, parameters, view=view)
    if query.limit is not None:
        rest = f"from (select {rest}) as t"
    source = f"select count(*) as count {rest}"
    document = "json_build_object('count', t.count)::text"
    return Statement(f"select '0' as id, {document} as doc from (\n{source}\n) as t", parameters.values, source=source)


def _id_sql(table: Table) -> str:
    # format('%s') gives the type's output text; a cast to text would turn 't' into 'true' and cut the blanks of char(n)
    texts = [f"format('%s', {column_sql(table.columns[index])})" for index in table.primary_key]
    if not texts:
        return f"md5({_DOCUMENT})"
    if len(texts) == 1:
        return texts[0]
    return "'[' || " + " || ',' || ".join(f"to_json({text})" for text in texts) + " || ']'"


def _rest(
    query: Query, table: Table, limit: int | None, parameters: Parameters, join: str = "", *, view: bool = False
) -> str:
    keys = sort_keys(query, table)
    conditions = [] if query.where is None else [predicate_sql(query.where, table, parameters)]
    for bound, at_start in ((query.start, True), (query.end, False)):
        if bound is not None:
            if not 0 < len(bound.values) <= len(keys):
                raise InvalidQueryError(
                    f"a cursor has {len(bound.values)} values, but the order has {len(keys)} sort keys"
                )
            conditions.append(cursor_sql(bound, keys, parameters, at_start=at_start))
    parts = [f"from {_VIEW if view else _name(table)} as t{join}"]
    if conditions:
        parts.append("where " + " and ".join(conditions))
    if keys and not query.count:
        parts.append("order by " + ", ".join(key_sql(key) for key in keys))
    if limit is not None:
        parts.append(f"limit {int(limit)}")
    return " ".join(parts)
