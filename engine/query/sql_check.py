"""May this SQL be a live query, and what does it depend on? Postgres decides.

In order: what it is (one SELECT), which relations it names, its syntax, names and types, what it really refers to, and the
privileges of the reader. A refusal never tells whether a table that is not exposed exists: relations are checked by name
before anything else is said about them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import psycopg
from sqlglot import exp

from engine.catalog import Catalog, Table
from engine.errors import InvalidQuery, PermissionDenied
from engine.fair_cache import FairCache
from engine.query.aside import aside
from engine.query.sql_ast import Reference, Syntax, detach, parse, references
from engine.query.sql_edit import expand_stars
from engine.query.sql_functions import Function, reads_clock, refuse_types, refuse_unsafe
from engine.query.sql_hidden import describe, find_hidden, hidden_type
from engine.query.sql_lex import Edit, Token, apply, place, statement, tokenize
from engine.query.sql_session import SqlSession, not_exposed, rejecting, sql_session
from engine.query.sql_tree import Tree
from engine.query.sql_values import ParameterType, check_length, check_params, names_a_moment, text_of

__all__ = ["Bound", "CheckedSql", "SqlCache", "bind", "check_sql", "placeholders"]

# date, time, timestamp, timestamptz, timetz; their arrays, ranges and multiranges
DATE_AND_TIME = frozenset(
    {1082, 1083, 1114, 1184, 1266, 1182, 1183, 1115, 1185, 1270, 3908, 3910, 3912, 4533, 4534, 4535}
)


_MOST_PLACEHOLDER_DIGITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class CheckedSql:
    """SQL that Postgres and we accept, whatever its parameters' values.

    Attributes:
        sql: the one statement, stars over exposed tables written out.
        tokens: its tokens.
        select: its syntax tree (of the text as it came), if sqlglot could read it.
        tables: what the relations in the tree are, by ``id()`` of their node.
        columns: output names.
        types: of the parameters.
        functions: everything it can call.
        tree: everything it refers to.
        dependencies: oids of the exposed tables it reads.
        reads_clock: its rows can change with the clock alone.
    """

    sql: str
    tokens: tuple[Token, ...]
    select: exp.Query | None
    tables: dict[int, Table]
    columns: tuple[str, ...]
    types: tuple[ParameterType, ...]
    functions: tuple[Function, ...]
    tree: Tree
    dependencies: frozenset[int]
    reads_clock: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """The values of a query's parameters: as JSON, and as canonical text. ``moments``: one says ``now`` or the like."""

    values: tuple[object, ...]
    params: tuple[str | None, ...]
    moments: bool


class SqlCache:
    """The latest accepted SQL texts, so that a thousand subscribers with one text cost one check.

    Valid for one catalog and one way of connecting (role, search path): make a new one when the catalog is loaded again.
    ``room``: bytes at most, as estimated from the texts; see :class:`FairCache`.
    """

    def __init__(self, room: int = 32 << 20) -> None:
        self._checked: FairCache[bytes, CheckedSql] = FairCache(room)

    @property
    def weight(self) -> int:
        """Bytes that are kept, as estimated."""
        return self._checked.weight

    def get(self, sql: str) -> CheckedSql | None:
        """What the check of ``sql`` gave."""
        return self._checked.get(_digest(sql))

    def put(self, sql: str, checked: CheckedSql) -> None:
        """Keep a check's result, if it is not too large."""
        # measured: a token is 150 bytes and about 500 more in sqlglot's tree
        self._checked.put(_digest(sql), checked, 8_192 + 700 * len(checked.tokens) + 8 * len(sql))


def _digest(sql: str) -> bytes:
    return blake2b(sql.encode(errors="surrogatepass"), digest_size=16).digest()


async def check_sql(session: SqlSession, sql: str, catalog: Catalog) -> CheckedSql:
    """Check ``sql`` as a live query.

    Raises ``InvalidQuery`` or ``PermissionDenied``; ``psycopg.Error`` if Postgres fails for reasons of its own.
    """
    text, tokens, syntax, found = await aside(lambda: _read(sql), len(sql))
    wanted = placeholders(tokens)
    tables = await _tables(session, found, catalog)
    edited = await aside(lambda: expand_stars(text, tokens, syntax.tree, tables), len(text))
    if edited != text:
        tokens = await aside(lambda: tokenize(edited), len(edited))
    hidden = await find_hidden(session, tokens, syntax, found, tables, catalog.by_oid)
    if any(token.kind == "string" for token in tokens):
        names = {
            token.name
            for index, token in enumerate(tokens)
            if token.kind in ("word", "quoted") and index not in hidden.occurrences
        }
        with rejecting():
            refuse_unsafe(await session.reading(edited, names, {table.oid for table in tables.values()}))
    described = await describe(session, edited, tokens, syntax, hidden)
    _refuse_columns(described.columns)
    if len(described.parameter_oids) != wanted:
        raise InvalidQuery("the parameters must be numbered $1, $2 and so on without gaps")
    with rejecting():
        types = await session.parameter_types(described.parameter_oids)
        without = _with_nulls(edited, tokens, types)
        tree = await session.analyse(without)
        dependencies = await _dependencies(session, tree, catalog)
        await _refuse_hidden_types(session, tree, catalog, edited, tokens)
        functions = await session.functions(tree)
        _refuse_content(tree, functions)
        await session.explain(without)
    return CheckedSql(
        sql=edited,
        tokens=tuple(tokens),
        select=syntax.tree,
        tables=tables,
        columns=described.columns,
        types=tuple(types),
        functions=tuple(functions),
        tree=tree,
        dependencies=dependencies,
        reads_clock=_reads_clock(tree, functions, tokens),
    )


def _read(sql: str) -> tuple[str, list[Token], Syntax, list[Reference]]:
    """The one statement, its tokens, its syntax, and the relations it names. Raises ``InvalidQuery``."""
    text, tokens = statement(sql, tokenize(sql))
    syntax = parse(text, tokens)
    if syntax.tree is None:
        return text, tokens, syntax, []
    found = references(syntax.tree)
    detach(syntax.tree)
    return text, tokens, syntax, found


async def bind(connection: psycopg.AsyncConnection[Any], checked: CheckedSql, params: object) -> Bound:
    """The parameters' values, each read as the type that Postgres inferred. Raises ``InvalidQuery`` for a wrong one."""
    values = check_params(params, len(checked.types))
    if not values:
        return Bound((), (), False)
    pairs = list(zip(values, checked.types, strict=True))
    texts = [text_of(value, kind, number) for number, (value, kind) in enumerate(pairs, 1)]
    check_length(texts)
    canonical = await _canonical(connection, texts, checked.types)
    check_length(canonical)
    bound, moments = [], False
    for text, same, (_, kind) in zip(texts, canonical, pairs, strict=True):
        moment = text is not None and kind.oid in DATE_AND_TIME and names_a_moment(text)
        bound.append(text if moment else same)  # what 'now' is now must not be kept
        moments = moments or moment
    return Bound(tuple(values), tuple(bound), moments)


async def _canonical(
    connection: psycopg.AsyncConnection[Any], texts: Sequence[str | None], types: Sequence[ParameterType]
) -> list[str | None]:
    """The values as Postgres prints them. Raises ``InvalidQuery`` naming the parameter whose value it refuses."""
    try:
        with rejecting():
            async with sql_session(connection) as session:
                return await session.canonical(texts, types)
    except InvalidQuery:
        for number, (text, kind) in enumerate(zip(texts, types, strict=True), 1):
            try:
                with rejecting():
                    async with sql_session(connection) as session:
                        await session.canonical([text], [kind])
            except InvalidQuery as refused:
                raise InvalidQuery(f"the value of ${number} ({kind.name}): {refused}") from refused
        raise


def placeholders(tokens: Sequence[Token]) -> int:
    """How many parameters there are. Raises ``InvalidQuery`` if their numbers have gaps."""
    texts = {token.text[1:] for token in tokens if token.kind == "param"}
    if (longest := max(map(len, texts), default=0)) > _MOST_PLACEHOLDER_DIGITS:
        raise InvalidQuery(f"the parameters must be numbered $1, $2 and so on without gaps, not by {longest} digits")
    numbers = set(map(int, texts))
    if numbers != set(range(1, len(numbers) + 1)):
        raise InvalidQuery(f"the parameters must be numbered $1 to ${len(numbers)} without gaps")
    return len(numbers)


async def _tables(session: SqlSession, found: list[Reference], catalog: Catalog) -> dict[int, Table]:
    """The exposed tables behind the names in FROM. Raises ``PermissionDenied`` for any other."""
    oids = await session.resolve([(reference.schema, reference.name) for reference in found])
    tables = {}
    for reference, oid in zip(found, oids, strict=True):
        if oid is None or oid not in catalog.by_oid:
            raise not_exposed(reference.name)
        if catalog.by_oid[oid].oid == oid:  # a partition is not its root
            tables[id(reference.node)] = catalog.by_oid[oid]
    return tables


def _refuse_columns(columns: Sequence[str]) -> None:
    if not columns:
        raise InvalidQuery("the query returns no columns")
    twice, times = Counter(columns).most_common(1)[0]
    if times > 1:
        raise InvalidQuery(f'two output columns are named "{twice}"; give each its own name with AS')


def _with_nulls(sql: str, tokens: Sequence[Token], types: Sequence[ParameterType]) -> str:
    """``sql`` with a null of its type for each parameter; it refers to the same things."""
    edits = [
        Edit(token.start, token.end, f" cast(null as {types[int(token.text[1:]) - 1].name}) ")
        for token in tokens
        if token.kind == "param"
    ]
    return apply(sql, edits)


async def _dependencies(session: SqlSession, tree: Tree, catalog: Catalog) -> frozenset[int]:
    hidden = sorted(tree.relations - catalog.by_oid.keys())
    if hidden:
        names = await session.relation_names(hidden)
        raise not_exposed(names[0] if names else str(hidden[0]))
    tables = [catalog.by_oid[oid] for oid in tree.relations]
    for table in tables:
        if table.problem:
            raise PermissionDenied(f'"{table.collection}" cannot be subscribed to: {table.problem}')
    return frozenset(table.oid for table in tables)


async def _refuse_hidden_types(
    session: SqlSession, tree: Tree, catalog: Catalog, sql: str, tokens: Sequence[Token]
) -> None:
    refuse_types(tree.types)  # first: '...'::regclass must not tell whether there is such a name
    for name in await session.hidden_types(tree.types, catalog.by_oid):
        token = next((token for token in tokens if token.kind in ("word", "quoted") and token.name == name), None)
        raise hidden_type(name, f" ({place(sql, token.start)})" if token is not None else "")


def _refuse_content(tree: Tree, functions: list[Function]) -> None:
    if tree.locks:
        raise InvalidQuery("only a pure SELECT can be subscribed to, and the SQL has FOR UPDATE or FOR SHARE")
    if tree.samples:
        raise InvalidQuery("TABLESAMPLE gives other rows each time")
    if tree.system_columns:
        raise PermissionDenied("system columns (ctid, xmin, tableoid and the like) are not exposed")
    if tree.reads_session:
        raise InvalidQuery("the query reads the session (current_user, current_schema and the like)")
    refuse_unsafe(functions)


def _reads_clock(tree: Tree, functions: list[Function], tokens: Sequence[Token]) -> bool:
    if tree.reads_clock or any(reads_clock(function) for function in functions) or tree.casts & DATE_AND_TIME:
        return True
    # 'today' as a literal is a constant in the tree, but another one tomorrow.
    return bool(tree.types & DATE_AND_TIME) and any(
        token.kind == "string" and names_a_moment(token.text) for token in tokens
    )
