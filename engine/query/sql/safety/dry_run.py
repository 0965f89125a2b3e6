"""Asking Postgres about a client's SQL without running it: what it refers to, calls and makes use of, and its plan.

Everything happens in one transaction, see ``engine.query.sql.safety.reader_transaction``.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from engine.errors import CatalogError, PrivilegeLostError
from engine.postgres.connections.session_settings import OWN_NAMES
from engine.postgres.node_tree import Tree, read_tree
from engine.postgres.oids import DATE_TIME_OIDS, TIME_RELATED_OIDS
from engine.postgres.statements.arrays import text_array
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.statement import NamesGuard, RoleReading
from engine.query.sql.parsing.off_loop import aside
from engine.query.sql.parsing.parameters import ParameterType
from engine.query.sql.safety.calls import CallTree, CatalogQuery
from engine.query.sql.safety.functions import Function
from engine.query.sql.safety.reader_transaction import ReaderTransaction
from engine.query.sql.safety.refusals import is_servers

__all__ = ["HiddenNames", "SqlSession", "Uses", "sql_session", "total_cost"]

_NO_TEMPORARY = "InitTempTableNamespace"  # in PostgreSQL's namespace.c
_COST = re.compile(r"\(cost=[0-9.]+\.\.([0-9.]+) rows=")
_WORDY = 50  # characters of a node tree that are read in the time of one of SQL

FIRST_OWN = 16_384  # the lowest oid of what did not come with PostgreSQL (access/transam.h, FirstNormalObjectId)
_FIRST_MADE = 10_000  # and of what is made in setting a server up, as information_schema (FirstGenbkiObjectId)

_Key = TypeVar("_Key")
Name = tuple[str | None, str]
"""Schema, if given, and name."""


@dataclass(frozen=True, slots=True)
class HiddenNames:
    """Names that mean things which are not for clients, as the reader finds them.

    Attributes:
        types: schema and name of types; the category of keyword that the name is, if any; whether there is a function of
            that name which does not make such values; and whether the type is the row type of a relation.
        functions: of functions all of which take or give types that are not for clients.
        operators: as ``functions``.
    """

    types: list[tuple[str | None, str, str | None, bool, bool]]
    functions: list[Name]
    operators: list[str]


class Uses:
    """What a tree makes use of.

    Attributes:
        hidden: the types that are not for clients among its own and those of its functions, and their names.
        parts: its types and all that values of them consist of.
        clock: what of it can depend on the clock; complete when :meth:`functions` are known.
    """

    def __init__(self, hidden: dict[int, str], calls: CallTree, found: Sequence[list[Any]]) -> None:
        self.hidden = hidden
        self.parts = frozenset(oid for oid, _ in found[0]) if found else frozenset[int]()
        self.clock = calls.clock
        self._calls = calls
        self._found = found

    async def functions(self) -> list[Function]:
        """As :meth:`SqlSession.functions` of the tree."""
        return await self._calls.collect(self._found)


class SqlSession(ReaderTransaction):
    """What is asked in the open transaction. Errors of Postgres come out as ``psycopg.Error`` (see
    ``engine.query.sql.safety.refusals``).

    ``readers``: the roles that must all be able to read a column for the client to see it.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any], readers: Sequence[str]) -> None:
        super().__init__(connection)
        self._readers = list(readers)

    async def resolve(self, names: Sequence[Name]) -> tuple[list[int | None], str, NamesGuard]:
        """The oids that (schema, name) pairs mean to the reader; None for those that mean nothing. And, as of no later,
        :meth:`callables` and the mark of the names.
        """
        bare = sorted({name for _, name in names})
        [(digest,)], [(mark,)], found = await self._run_queries(
            ("plan_callables", {}), ("names_mark", {"names": bare}), ("plan_relations", self._named(names))
        )
        return [oid for (oid,) in found], str(digest), NamesGuard(tuple(bare), str(mark))

    def _named(self, names: Sequence[tuple[str | None, str]]) -> dict[str, object]:
        """(schema, name) pairs and the reader's path, for a query that resolves names as the reader does."""
        schemas, found = [schema for schema, _ in names], [name for _, name in names]
        return {"schemas": schemas, "names": found, "path": self._schemas}

    async def may_read(self, tree: Tree) -> bool:
        """Whether the reader may read the columns of ``tree`` and call its functions, as PostgreSQL checks it when a query
        begins (``ExecCheckPermissions`` in executor/execMain.c). After :meth:`analyse`.
        """
        relations, columns = zip(*tree.columns, strict=True) if tree.columns else ((), ())
        if not tree.relations <= set(relations):
            raise CatalogError("the columns that a query reads cannot be found in its tree")
        values = {"relations": list(relations), "columns": list(columns), "functions": list(tree.functions)}
        [(unreadable,)] = await self._rows("plan_unreadable", values)
        return not unreadable

    async def describe_only(self, sql: str) -> None:
        """As :meth:`describe`, but a refusal leaves the transaction as it was."""
        async with self.undone():
            await self.describe(sql)

    async def columns(self, relations: Collection[int]) -> dict[int, list[tuple[str, bool]]]:
        """All columns of these relations in order, by relation: name, and whether the reader may read it."""
        found: dict[int, list[tuple[str, bool]]] = {oid: [] for oid in relations}
        for oid, name, visible in await self._rows("plan_columns", {"relations": list(relations)}) if found else ():
            found[oid].append((name, visible))
        return found

    async def hidden_names(
        self, names: Sequence[Name], called: Sequence[Name], operators: Collection[str], exposed: Collection[int]
    ) -> HiddenNames:
        """What is not for clients among the things that ``names`` of types, ``called`` ones and ``operators`` can mean."""
        types, named, of_operators = await self._run_queries(
            self._hidden_types((), exposed, names),
            ("plan_named_functions", self._named(called)),
            ("plan_named_operators", {"names": list(operators)}),
        )
        functions = [((schema, name), taken) for schema, name, taken in named]
        used = {oid for _, taken in [*functions, *of_operators] for oid in taken}
        hidden = await self._rows(*self._hidden_types(used, exposed)) if used else []
        oids = {row[2] for row in hidden}
        return HiddenNames(
            [(schema, name, *rest) for schema, name, _, _, *rest in types],
            _only_hidden(functions, oids),
            _only_hidden(of_operators, oids),
        )

    def _hidden_types(
        self, types: Collection[int], exposed: Collection[int], names: Sequence[Name] = ()
    ) -> CatalogQuery:
        values = {"exposed": list(exposed), "types": list(types), "readers": self._readers}
        return "plan_hidden_types", values | self._named(names)

    async def uses(self, tree: Tree, exposed: Collection[int]) -> Uses:
        """What ``tree`` makes use of. After :meth:`analyse`: the owner's role is needed."""
        types = set(tree.types)
        own = [oid for oid in tree.functions if oid >= FIRST_OWN]
        if own:
            types |= {oid for (oid,) in await self._rows("plan_function_types", {"functions": own})}
        calls = CallTree(self._run_queries, self._body)
        hidden, *found = await self._run_queries(self._hidden_types(types, exposed), *calls.queries([tree]))
        return Uses({oid: name for _, _, oid, name, *_ in hidden}, calls, found)

    async def timed(self, types: Collection[int]) -> frozenset[int]:
        """Those of ``types`` whose values consist of dates or times, among others. After :meth:`analyse`."""
        own = [oid for oid in types if oid >= _FIRST_MADE]
        values = {"types": own, "times": list(DATE_TIME_OIDS)}
        found = await self._rows("catalog_timed_types", values) if own else []
        return TIME_RELATED_OIDS.intersection(types).union(oid for (oid,) in found)

    async def parameter_types(self, oids: Sequence[int]) -> list[ParameterType]:
        """Names and kinds of inferred parameter types, in order."""
        return [ParameterType(*row) for row in await self._rows("plan_types", {"types": list(oids)})] if oids else []

    async def canonical(self, texts: Sequence[str | None], types: Sequence[ParameterType]) -> list[str | None]:
        """The parameters' values as Postgres prints them. An error is the fault of a value."""
        if not texts:
            return []
        return await self.values([f"cast(cast(${i} as {kind.name}) as text)" for i, kind in enumerate(types, 1)], texts)

    async def values(self, expressions: Sequence[str], params: Sequence[str | None]) -> list[str | None]:
        """The values of expressions of type text. What they call cannot leave the role of the reader.

        Raises ``InvalidQueryError`` if that writes. What is refused spoils nothing.
        """
        async with self.undone():
            sql = f"select array[{', '.join(expressions)}]"
            [(found,)] = await self._as_reader("plan_values", sql, params)
            return list(found)

    async def analyse(self, sql: str) -> Tree:
        """The references of ``sql`` (without placeholders), as Postgres resolves them for the reader.

        The reader may not create a view, so the connection's own role does, with the reader's search path. Raises
        ``CatalogError`` if that role may not either, ``PrivilegeLostError`` if it may not use what the reader may.
        """
        view = f"create temporary view pg_temp.realtime_plan as select 1 as one from (\n{sql}\n) as query"
        self._leave()
        self._find_names(self._client_path)
        try:
            async with self._pipeline():
                await self._connection.execute(view.encode(), prepare=False)
                self._find_names(OWN_NAMES)
                await self._send_settings()
                found = await self._connection.execute(query("plan_tree"))
        except psycopg.errors.InsufficientPrivilege as error:
            if error.diag.source_function != _NO_TEMPORARY:
                raise PrivilegeLostError from error
            message = error.diag.message_primary or str(error)
            raise CatalogError(f"SQL cannot be checked: {message}; grant TEMPORARY on the database") from error
        [(text, oid)] = await found.fetchall()
        return await aside(lambda: read_tree(text, int(oid)), len(text) // _WORDY)

    async def functions(self, tree: Tree) -> list[Function]:
        """Everything that ``tree`` can call, by whatever way. After :meth:`analyse`: the owner's role is needed."""
        calls = CallTree(self._run_queries, self._body)
        return await calls.collect(await self._run_queries(*calls.queries([tree])))

    async def reading(
        self, sql: str, names: Collection[str], relations: Collection[int], *, hidden_rows: bool
    ) -> list[Function]:
        """What can be called while names are resolved: composite and array literals check their domains at once.

        ``names`` and ``relations`` are those in ``sql``; with ``hidden_rows`` the names can be those of row types with
        hidden columns. To be judged before :meth:`describe`.
        """
        values = {"sql": sql, "names": list(names), "relations": list(relations), "hidden_rows": hidden_rows}
        values["readers"] = self._readers
        types = [oid for (oid,) in await self._rows("plan_read_types", values)]
        if not types:
            return []
        self._leave()
        found = await CallTree(self._run_queries, self._body).collect_checks(types)
        self._enter()
        return found

    async def _body(self, statement: str) -> str | None:
        try:
            async with self.undone():
                await self._rows("plan_unchecked", {})
                await self._run(statement, ())
                [(body,)] = await self._rows("plan_body", {})
                return str(body)
        except psycopg.Error as error:
            if is_servers(error):
                raise
            return None  # polymorphic arguments, a utility statement, a name that is not found

    async def callables(self) -> str:
        """A digest of all that can be called; another one after any change of a function, operator, cast or the like."""
        [(digest,)] = await self._rows("plan_callables", {})
        return str(digest)

    async def relation_names(self, relations: Sequence[int]) -> list[str]:
        """The names of relations, without schema."""
        return [name for (name,) in await self._rows("plan_relation_names", {"relations": list(relations)})]

    async def explain(self, sql: str, params: Sequence[str | None] = ()) -> list[str]:
        """Plan ``sql`` as the reader: Postgres checks the privileges on every table and column, and runs nothing.

        Returns the lines of the EXPLAIN.

        Except calls of IMMUTABLE functions with constants, also in indexes, statistics and checks of its tables: they cannot
        leave the role of the reader. Raises ``InvalidQueryError`` if one of them writes. After :meth:`describe`.
        """
        self._enter()
        return [line for (line,) in await self._as_reader("plan_explain", sql, params)]

    async def explain_as(self, role: RoleReading, sql: str, params: Sequence[str | None]) -> list[str]:
        """As :meth:`explain`, as a served role, whose settings and claims count until the end of the transaction.

        PostgreSQL calls STABLE functions of policies to estimate how many rows they show.
        """
        self._leave()
        set_one = b"select pg_catalog.set_config($1, $2, true)"
        self._settings += [(set_one, list(each)) for each in (*role.settings, (role.setting, role.claims))]
        statement = (
            f"select line from {role.function}($1, $2, false, null, null, null, null, true) as (line pg_catalog.text)"
        )
        lines = await self._run(statement, [sql, text_array(params)])
        return [(lines.get_value(row, 0) or b"").decode() for row in range(lines.ntuples)]


def total_cost(lines: Sequence[str]) -> float:
    """The total cost in the first line of an EXPLAIN: ``Seq Scan on t  (cost=0.00..35.50 rows=2550 width=4)``.

    It is the last such bracket of the line, as an index may have any name.
    """
    return float(_COST.findall(lines[0])[-1])


def _only_hidden(found: Sequence[tuple[_Key, list[int]]], hidden: Set[int]) -> list[_Key]:
    """The keys all of whose types have a hidden one among them."""
    usable = {key for key, types in found if hidden.isdisjoint(types)}
    return list({key for key, _ in found} - usable)


@asynccontextmanager
async def sql_session(
    connection: psycopg.AsyncConnection[Any], readers: Sequence[str] = ("realtime_reader",)
) -> AsyncIterator[SqlSession]:
    """A transaction (or savepoint) as ``realtime_reader``; nothing of it remains afterwards."""
    async with connection.transaction(force_rollback=True):
        session = SqlSession(connection, readers)
        await session.begin()
        yield session
