"""Plans a client's query: the single entry point for the builder's JSON and for SQL.

A query is kept up to date incrementally if the result is exact, else it is re-read. The plan has the strategy and its
reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import psycopg

from engine.catalog.model import Catalog, Table
from engine.errors import (
    InvalidQueryError,
    PermissionDeniedError,
    PrivilegeLostError,
    QueryRejectedError,
)
from engine.identity.visibility import Viewer
from engine.postgres.errors import is_raised
from engine.postgres.reading import explain_as_server
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.statement import RoleReading, Statement
from engine.query.asked import asked
from engine.query.builder.parse import parse_query
from engine.query.compile.documents import projection
from engine.query.compile.plan import IncrementalPlan, NotIncremental, compile_incremental
from engine.query.compile.predicate import predicate_columns
from engine.query.compile.to_sql import render_reread
from engine.query.ir.comparison import NotIncrementalError
from engine.query.ir.model import Query
from engine.query.ir.normalise import normalise
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.literals import canonicalise, is_canonical, literals
from engine.query.lost_privileges import grants_lacking, lacking
from engine.query.policies.table_rule import under_policies
from engine.query.sql.parsing.lexer import tokenize
from engine.query.sql.parsing.off_loop import aside
from engine.query.sql.reread import reread_sql
from engine.query.sql.safety.binding import Bound, bind
from engine.query.sql.safety.check import check_sql
from engine.query.sql.safety.checked_sql import CheckedSql, SqlCache
from engine.query.sql.safety.dry_run import SqlSession, sql_session, total_cost
from engine.query.sql.safety.refusals import changes_session, refuse_problem, rejecting
from engine.query.sql.to_predicate import is_number
from engine.query.sql.to_query import query_of
from engine.query.subscribers_role import read_as

__all__ = ["SqlCache", "plan_at_once", "plan_query", "reread_instead", "with_cost"]

ANYONE = Viewer()

# Implicit casts that a literal number brings along: LIMIT 5 is int8(5).
_LITERAL_CASTS = frozenset({"int8", "int4", "float8", "numeric"})


# Categories of types (docs: pg_type) whose values are read in one way, whatever TimeZone, DateStyle and IntervalStyle are.
_READ_ALIKE = frozenset("BNSEU")
_MONEY = 790

# As many as the builder allows.
_MAX_VALUES = 1_000


async def plan_query(
    collection: str,
    spec: Mapping[str, object],
    catalog: Catalog,
    connection: psycopg.AsyncConnection[Any],
    cache: SqlCache | None = None,
    viewer: Viewer = ANYONE,
) -> IncrementalPlan | ReReadPlan:
    """Plan a subscription's query.

    Args:
        collection: the channel's collection.
        spec: the builder's JSON, or ``{"sql": text, "params": [values]}``.
        catalog: what is exposed.
        connection: under ``SESSION_SETTINGS``, as a role that may become ``realtime_reader``. Nothing stays behind in it.
        cache: of SQL checked against this catalog.
        viewer: the subscriber. The plan is for those who share its ``visibility``.

    Raises:
        UnknownCollection: no such collection.
        PermissionDenied: the query reads something that is not exposed, or the table cannot be followed.
        PrivilegeLost: the server lacks a privilege without which the query cannot be answered.
        SubscriptionFailed: the stream lacks changes of the table until the operator repairs the publication or the replica
            identity.
        InvalidQuery: anything else that is wrong with it.
        CatalogError: the connection's role lacks a privilege that checking SQL needs.
        psycopg.Error: Postgres failed for reasons of its own.
    """
    viewer, seen, table = asked(collection, spec, catalog, viewer)
    try:
        return await _plan_for(viewer, table, spec, seen, connection, cache)
    except (PermissionDeniedError, PrivilegeLostError) as refused:
        lost = await _lost(refused, table, spec, seen, connection)
        if lost is not None:
            raise lost from refused
        if not isinstance(refused.__cause__, psycopg.errors.InsufficientPrivilege):
            raise
    # The missing privilege may have been restored meanwhile.
    return await _plan_for(viewer, table, spec, seen, connection, cache)


def plan_at_once(
    collection: str, spec: Mapping[str, object], catalog: Catalog, viewer: Viewer = ANYONE
) -> IncrementalPlan | None:
    """What :func:`plan_query` returns, where PostgreSQL need not be asked; None: it has to be asked, or has to be before the
    query is refused.
    """
    try:
        viewer, seen, table = asked(collection, spec, catalog, viewer)
        refuse_problem(table)
        if "sql" in spec:
            return None
        parsed = parse_query(spec, table)
        if not is_canonical(parsed, table):
            return None
        plan = compile_incremental(parsed, table)
        made = None if isinstance(plan, NotIncremental) else _kept_for(viewer, plan, seen)
    except QueryRejectedError:
        return None
    return made if isinstance(made, IncrementalPlan) else None


async def _plan_for(
    viewer: Viewer,
    table: Table,
    spec: Mapping[str, object],
    seen: Catalog,
    connection: psycopg.AsyncConnection[Any],
    cache: SqlCache | None,
) -> IncrementalPlan | ReReadPlan:
    async with _claims_set(viewer, seen, connection):
        plan = _kept_for(viewer, await _plan(table, spec, seen, connection, cache), seen)
    if isinstance(plan, ReReadPlan) and plan.statement.as_reader and plan.statement.role is not None:
        return await with_cost(plan, connection)  # the role may lack a privilege that the reader has
    return plan


def _kept_for(viewer: Viewer, plan: IncrementalPlan | ReReadPlan, seen: Catalog) -> IncrementalPlan | ReReadPlan:
    """``plan`` with the visibility of the viewer, under the policies for its role."""
    if isinstance(plan, ReReadPlan) or plan.table.policed is None:
        return read_as(viewer, plan, seen)
    otherwise = read_as(viewer, _reread_query(plan.query, plan.table, plan.table.policed), seen)
    assert isinstance(otherwise, ReReadPlan)
    return under_policies(plan, otherwise)


async def with_cost(plan: ReReadPlan, connection: psycopg.AsyncConnection[Any]) -> ReReadPlan:
    """``plan`` with the cost that Postgres estimates for its statement as it will be run. Raises as :func:`plan_query`."""
    statement = plan.statement
    if statement.origin is not None and statement.origin.view:  # which exists in the transaction of a read only
        return replace(plan, cost=0.0)
    with rejecting():
        if statement.as_server:
            return replace(plan, cost=total_cost(await explain_as_server(statement, connection)))
        async with sql_session(connection) as session:
            if statement.role is not None:
                return replace(plan, cost=await _cost_as(statement.role, statement, session))
            return replace(plan, cost=total_cost(await session.explain(statement.sql, statement.params)))


async def _cost_as(role: RoleReading, statement: Statement, session: SqlSession) -> float:
    try:
        return total_cost(await session.explain_as(role, statement.sql, statement.params))
    except psycopg.errors.InsufficientPrivilege as error:
        if is_raised(error) or changes_session(error):
            raise
        raise lacking(role) from error


@asynccontextmanager
async def _claims_set(viewer: Viewer, seen: Catalog, connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """Inside, the viewer's claims are set: PostgreSQL calls STABLE functions of policies for ``public`` to plan a query.

    So are settings of applications that its role has. Those of PostgreSQL itself, which decide how values are read and
    written, stay ours: the check compares values in the form in which our sessions write them.
    """
    if viewer.role not in seen.roles:
        yield
        return
    claims = viewer.reads(None, "").claims.decode()
    own = [(name, value) for name, value in seen.settings.get(viewer.role, ()) if "." in name]
    names, values = zip(*own, (seen.claims_setting, claims), strict=True)
    async with connection.transaction(force_rollback=True):
        await connection.execute(query("set_each"), {"names": list(names), "values": list(values)})
        yield


async def _plan(
    table: Table,
    spec: Mapping[str, object],
    catalog: Catalog,
    connection: psycopg.AsyncConnection[Any],
    cache: SqlCache | None,
) -> IncrementalPlan | ReReadPlan:
    refuse_problem(table)
    if "sql" in spec:
        return await _plan_sql(table, spec, catalog, connection, cache)
    return _plan_query(await canonicalise(parse_query(spec, table), table, connection), table)


async def _lost(
    refused: QueryRejectedError,
    table: Table,
    spec: Mapping[str, object],
    catalog: Catalog,
    connection: psycopg.AsyncConnection[Any],
) -> PrivilegeLostError | None:
    """The error for ``refused`` if the server has lost a privilege on a table that the query may name."""
    tables = {table.oid}
    sql = spec.get("sql")
    if isinstance(sql, str):
        words = {token.name for token in await aside(lambda: tokenize(sql), len(sql))}
        tables |= {other.oid for other in catalog.by_collection.values() if other.name in words}
    grants = await grants_lacking(connection, tables)
    if grants or isinstance(refused, PrivilegeLostError):
        return PrivilegeLostError(grants, outdated=table.withheld and not grants)
    return None


def reread_instead(plan: IncrementalPlan, reason: str, detail: str | None = None) -> ReReadPlan:
    """The same query, read again: PostgreSQL makes the documents. ``reason``, ``detail``: as of :class:`ReReadPlan`."""
    if plan.rule is not None:
        return replace(plan.rule.otherwise, reason=reason, detail=detail)
    return replace(_reread_query(plan.query, plan.table, reason), visibility=plan.visibility, detail=detail)


def _plan_query(query: Query, table: Table) -> IncrementalPlan | ReReadPlan:
    plan = compile_incremental(query, table)
    return _reread_query(query, table, plan.reason) if isinstance(plan, NotIncremental) else plan


def _reread_query(query: Query, table: Table, reason: str) -> ReReadPlan:
    """A re-read plan for a query over one table, with the SQL that its incremental plan stands for."""
    digest = blake2b(repr(normalise(query)).encode(), digest_size=16, key=table.signature.encode()).hexdigest()
    return ReReadPlan(
        key=f"re-read:{table.oid}:{digest}",
        statement=render_reread(query, table),
        dependencies=frozenset({table.oid}),
        reason=reason,
        time_dependent=table.timed,
        columns=("count",) if query.count else tuple(output for _, output in projection(query, table)),
    )


async def _plan_sql(
    table: Table,
    spec: Mapping[str, object],
    catalog: Catalog,
    connection: psycopg.AsyncConnection[Any],
    cache: SqlCache | None,
) -> IncrementalPlan | ReReadPlan:
    unknown = sorted(str(key) for key in spec if key not in ("sql", "params"))
    if unknown:
        raise InvalidQueryError(f'an SQL query has only "sql" and "params", not {unknown[0]!r}; write it in the SQL')
    sql = spec["sql"]
    if not isinstance(sql, str):
        raise InvalidQueryError(f'"sql" must be a string, not {type(sql).__name__}')
    async with sql_session(connection, catalog.readers) as session:
        checked = await _checked(session, sql, catalog, cache)
        if table.oid not in checked.dependencies:
            raise InvalidQueryError(f'the query does not read the collection of its channel, "{table.collection}"')
        bound = await bind(session, checked, spec.get("params", []))
    try:
        query = await aside(lambda: _as_query(checked, bound, table), len(checked.sql))
    except NotIncrementalError as error:
        reason = str(error)
        plan = await aside(lambda: reread_sql(checked, bound, reason), len(checked.sql))
        if any(catalog.by_oid[oid].policies is not None for oid in plan.dependencies):
            return plan  # it is planned as the subscriber's role
        return await with_cost(plan, connection)  # Postgres plans the statement with its values as it will be run
    return _plan_query(await canonicalise(query, table, connection), table)


async def _checked(session: SqlSession, sql: str, catalog: Catalog, cache: SqlCache | None) -> CheckedSql:
    """The check of ``sql``: one from ``cache`` if nothing that it can call has changed since.

    The stream announces such changes too, but only once it has reached them.
    """
    checked = cache.get(sql) if cache is not None else None
    if checked is None or checked.callables != await session.callables():
        checked = await check_sql(session, sql, catalog)
        if cache is not None:
            cache.put(sql, checked)
    return checked


def _check_settings(query: Query, table: Table) -> None:
    """Raise ``NotIncrementalError`` if the SQL runs as a role with other settings than ours, and compares what is read by
    them.
    """
    if table.settings and query.where is not None:
        for name in predicate_columns(query.where):
            type = table.by_name[name].type.underlying
            if type.category not in _READ_ALIKE or type.oid == _MONEY:
                raise NotIncrementalError(
                    f"values of {name} are read by settings of the role ({', '.join(name for name, _ in table.settings)})"
                )


def _as_query(checked: CheckedSql, bound: Bound, table: Table) -> Query:
    """The SQL as a :class:`Query`. Raises ``NotIncrementalError`` if it is more, or if its operators are not the built-in
    ones.
    """
    if checked.reads_clock or bound.special_times:
        raise NotIncrementalError("the query depends on the clock")
    unusual = next((token for token in checked.tokens if token.kind == "number" and not is_number(token.text)), None)
    if unusual is not None:  # 0x1F and 1_000 are read as something else by sqlglot
        raise NotIncrementalError(f"the query has the number {unusual.text}")
    query = query_of(checked.select, checked.tables, checked.types, bound.values, bound.params)
    _check_settings(query, table)
    if checked.dependencies != {table.oid}:
        raise NotIncrementalError("the query does not read exactly one table")
    for function in checked.functions:
        if not function.built_in:
            raise NotIncrementalError(f"the query calls {function.name}()")
        if function.oid in checked.tree.calls and function.name not in _LITERAL_CASTS:
            raise NotIncrementalError(f"the query calls {function.name}()")
    if len(literals(query, table)) > _MAX_VALUES:
        raise NotIncrementalError(f"the query has more than {_MAX_VALUES} values")
    return query
