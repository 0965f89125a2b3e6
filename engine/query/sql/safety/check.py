"""May this SQL be a live query, and what does it depend on? Postgres decides.

In order: what it is (one SELECT), which relations it names, its syntax, names and types, what it really refers to, and the
privileges of the reader. A refusal never reveals whether a table that is not exposed exists: relations are checked by name
before any other error about them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import psycopg

from engine.catalog.model import Catalog, Table
from engine.errors import InvalidQueryError, PermissionDeniedError, QueryRejectedError
from engine.postgres.node_tree import Tree
from engine.postgres.statements.statement import NamesGuard
from engine.query.sql.parsing.from_clause import named_in_from
from engine.query.sql.parsing.lexer import Token, place, statement, tokenize
from engine.query.sql.parsing.off_loop import aside
from engine.query.sql.parsing.rewrite import with_nulls
from engine.query.sql.parsing.syntax import Reference, Syntax, detach, parse, references
from engine.query.sql.safety.checked_sql import CheckedSql
from engine.query.sql.safety.dry_run import SqlSession, Uses
from engine.query.sql.safety.functions import Function, refuse_types, refuse_unsafe
from engine.query.sql.safety.hidden_columns import Read, concealed
from engine.query.sql.safety.hidden_names import Verdict, candidates, describe, find_hidden, hidden_type, unreadable
from engine.query.sql.safety.near_names import UnknownColumnError, near_column, near_table
from engine.query.sql.safety.refusals import not_exposed, refuse_problem, rejecting, system_columns

__all__ = ["check_sql", "placeholders"]

_MAX_PLACEHOLDER_DIGITS = 6


async def check_sql(session: SqlSession, sql: str, catalog: Catalog) -> CheckedSql:
    """Check ``sql`` as a live query.

    Raises ``InvalidQueryError`` or ``PermissionDeniedError``; ``psycopg.Error`` if Postgres fails for reasons of its own.
    """
    text, tokens, syntax, found, named = await aside(lambda: _read(sql), len(sql))
    wanted = placeholders(tokens)
    oids, callables, guard = await session.resolve([(reference.schema, reference.name) for reference in found])
    read = _tables(found, oids, catalog)
    try:
        return await _check(session, _Statement(text, tokens, syntax, read, named, wanted, callables, guard), catalog)
    except PermissionDeniedError as refused:
        if syntax.error:
            raise unreadable(syntax) from refused  # as for a name that does not exist
        if isinstance(refused, UnknownColumnError):
            meant = near_column(refused.name, [table for _, table in read])
            raise PermissionDeniedError(f"{refused}{meant}") from refused.__cause__
        raise


@dataclass(frozen=True, slots=True)
class _Statement:
    """What is known of a statement before Postgres has seen it.

    ``named``: the tokens that can name a type or function. ``wanted``: how many parameters it has. ``callables`` and
    ``names`` are those of :class:`CheckedSql`.
    """

    text: str
    tokens: list[Token]
    syntax: Syntax
    read: list[Read]
    named: list[int]
    wanted: int
    callables: str
    names: NamesGuard

    @property
    def tables(self) -> dict[int, Table]:
        """The tables by ``id()`` of their node in the tree."""
        return {id(reference.node): table for reference, table in self.read if reference.node is not None}


async def _check(session: SqlSession, given: _Statement, catalog: Catalog) -> CheckedSql:
    exposed = catalog.by_oid.keys()
    forms = await concealed(session, given.text, given.tokens, given.syntax.tree, given.read)
    shown = {column.name for _, table in given.read for column in table.exposed_columns}
    occurrences = await find_hidden(session, given.tokens, given.named, exposed, shown)
    await _refuse_reading(session, given, set(given.named) - set(occurrences))
    verdict = await describe(session, forms, given.tokens, given.syntax, occurrences)
    if verdict.doubt is not None:
        await _refuse_reading(session, given, given.named, verdict.doubt)
    sql, described = verdict.sql, verdict.described
    if len(described.parameter_oids) != given.wanted:
        raise InvalidQueryError("the parameters must be numbered $1, $2 and so on without gaps")
    tokens = given.tokens
    if sql.text != given.text:
        tokens = await aside(lambda: tokenize(sql.text, bounded=False), len(sql.text))
    with rejecting():
        types = await session.parameter_types(described.parameter_oids)
        without = with_nulls(sql.text, tokens, types)
        tree = await session.analyse(without)
        dependencies = await _dependencies(session, tree, catalog)
        uses = await session.uses(tree, catalog.by_oid.keys())
        _refuse_hidden(uses, tree, given, verdict.doubt)
        _refuse_columns(described.columns)
        functions = await uses.functions()
        _refuse_content(tree, functions)
        uses.clock.add_statement(tokens, tree)
        timed = await session.timed({*described.parameter_oids, *uses.clock.casts, *uses.clock.literals})
        if any(catalog.by_oid[oid].policies is not None for oid in dependencies):
            await _refuse_unreadable(session, tree, verdict)
        else:
            await _explain(session, without, verdict)
    return CheckedSql(
        sql=sql.text,
        tokens=tuple(tokens),
        select=given.syntax.tree,
        tables=given.tables,
        columns=described.columns,
        types=tuple(types),
        functions=tuple(functions),
        tree=tree,
        dependencies=dependencies,
        reads_clock=uses.clock.depend(functions, timed),
        timed=timed,
        callables=given.callables,
        names=given.names,
    )


async def _refuse_unreadable(session: SqlSession, tree: Tree, verdict: Verdict) -> None:
    """As :func:`_explain`, of tables with policies: those for ``PUBLIC`` would be planned for the reader as well, and what
    they look at is not for it.
    """
    if not await session.may_read(tree):
        raise verdict.otherwise or PermissionDeniedError(
            "permission denied: only exposed columns can be read (in a subquery, name them instead of *)"
        )


async def _explain(session: SqlSession, sql: str, verdict: Verdict) -> None:
    try:
        await session.explain(sql)
    except psycopg.errors.InsufficientPrivilege as error:
        if verdict.otherwise is None:
            raise
        raise verdict.otherwise from error  # the form that was refused first is the one without hidden columns


async def _refuse_reading(
    session: SqlSession, given: _Statement, named: Collection[int], doubt: QueryRejectedError | None = None
) -> None:
    """Refuse (with ``doubt``, if given) what calls unsafe functions already while Postgres reads the literals.

    ``named``: the tokens that can name a type or function.
    """
    if not any(token.kind == "string" for token in given.tokens):
        return
    names = {given.tokens[index].name for index in named}
    relations = {table.oid for _, table in given.read}
    with rejecting():
        found = await session.reading(given.text, names, relations, hidden_rows=doubt is not None)
    try:
        refuse_unsafe(found)
    except QueryRejectedError as refused:
        raise doubt or refused from refused


def _read(sql: str) -> tuple[str, list[Token], Syntax, list[Reference], list[int]]:
    """The one statement, its tokens, its syntax, the relations it names, and the tokens that can name types or functions.

    Raises ``InvalidQueryError``.
    """
    text, tokens = statement(sql, tokenize(sql))
    syntax = parse(text, tokens)
    named = candidates(tokens, syntax)
    if syntax.tree is None:
        return text, tokens, syntax, named_in_from(tokens), named
    found = references(syntax.tree)
    detach(syntax.tree)
    return text, tokens, syntax, found, named


def placeholders(tokens: Sequence[Token]) -> int:
    """How many parameters there are. Raises ``InvalidQueryError`` if their numbers have gaps."""
    texts = {token.text[1:] for token in tokens if token.kind == "param"}
    if (longest := max(map(len, texts), default=0)) > _MAX_PLACEHOLDER_DIGITS:
        raise InvalidQueryError(
            f"the parameters must be numbered $1, $2 and so on without gaps, not by {longest} digits"
        )
    numbers = set(map(int, texts))
    if numbers != set(range(1, len(numbers) + 1)):
        raise InvalidQueryError(f"the parameters must be numbered $1 to ${len(numbers)} without gaps")
    return len(numbers)


def _tables(found: Sequence[Reference], oids: Sequence[int | None], catalog: Catalog) -> list[Read]:
    """The exposed tables behind the names in FROM, given what they mean. Raises ``PermissionDeniedError`` for any other."""
    read = []
    for reference, oid in zip(found, oids, strict=True):
        if oid is None or oid not in catalog.by_oid or catalog.by_oid[oid].oid != oid:  # a partition is not its root
            raise PermissionDeniedError(f"{not_exposed(reference.name)}{near_table(reference, catalog)}")
        read.append((reference, catalog.by_oid[oid]))
    return read


def _refuse_columns(columns: Sequence[str]) -> None:
    if not columns:
        raise InvalidQueryError("the query returns no columns")
    twice, times = Counter(columns).most_common(1)[0]
    if times > 1:
        raise InvalidQueryError(f'two output columns are named "{twice}"; give each its own name with AS')


async def _dependencies(session: SqlSession, tree: Tree, catalog: Catalog) -> frozenset[int]:
    hidden = sorted(tree.relations - catalog.by_oid.keys())
    if hidden:
        names = await session.relation_names(hidden)
        raise not_exposed(names[0] if names else str(hidden[0]))
    tables = [catalog.by_oid[oid] for oid in tree.relations]
    for table in tables:
        refuse_problem(table)
    return frozenset(table.oid for table in tables)


def _refuse_hidden(uses: Uses, tree: Tree, given: _Statement, doubt: QueryRejectedError | None) -> None:
    """Refuse what uses types that are not for clients, in a way that does not depend on whether there are such types."""
    hidden = uses.hidden
    if hidden and doubt is not None:
        raise doubt
    for token in given.tokens if hidden else ():
        if token.kind in ("word", "quoted") and token.name in hidden.values():
            raise hidden_type(token.name, f" ({place(given.text, token.start)})")
    if hidden:  # the statement does not name it, so the refusal does not either
        raise PermissionDeniedError("a function or operator of the query takes or gives a type that is not exposed")
    refuse_types(uses.parts)
    if not tree.relations <= {table.oid for _, table in given.read}:
        raise unreadable(given.syntax)  # it names a table at a place that we do not know


def _refuse_content(tree: Tree, functions: list[Function]) -> None:
    if tree.locks:
        raise InvalidQueryError("only a pure SELECT can be subscribed to, and the SQL has FOR UPDATE or FOR SHARE")
    if tree.samples:
        raise InvalidQueryError("TABLESAMPLE gives other rows each time")
    if tree.system_columns:
        raise system_columns()
    if tree.reads_session:
        raise InvalidQueryError("the query reads the session (current_user, current_schema and the like)")
    refuse_unsafe(functions)
