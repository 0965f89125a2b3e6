"""Asking Postgres about a client's SQL without running it.

Everything happens in one transaction that is always rolled back, as the role ``realtime_reader``, with short timeouts. The
client's text is only ever sent through the extended protocol, which takes exactly one statement.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.pq.abc import PGresult

from engine.errors import CatalogError, PrivilegeLostError
from engine.postgres.connections.session_settings import OWN_NAMES
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.one_statement import Setting, describe
from engine.query.compile.where_to_sql import quote
from engine.query.sql.parsing.off_loop import aside
from engine.query.sql.parsing.parameters import ParameterType
from engine.query.sql.safety.calls import CallTree, CatalogQuery
from engine.query.sql.safety.functions import Function
from engine.query.sql.safety.references import Tree, read_tree
from engine.query.sql.safety.refusals import is_servers, writes

__all__ = ["Described", "SqlSession", "sql_session"]

STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 1_000
_NO_TEMPORARY = "InitTempTableNamespace"  # in PostgreSQL's namespace.c
_WORDY = 50  # characters of a node tree that are read in the time of one of SQL

_ENTER: Setting = query("plan_enter").encode(), [str(STATEMENT_TIMEOUT_MS), str(LOCK_TIMEOUT_MS)]
FIRST_OWN = 16_384  # the lowest oid of what did not come with PostgreSQL (access/transam.h, FirstNormalObjectId)

_Key = TypeVar("_Key")
Name = tuple[str | None, str]
"""Schema, if given, and name."""


@dataclass(frozen=True, slots=True)
class Described:
    """What Postgres describes of a prepared statement: output ``columns`` and the types of ``$1``, ``$2`` and so on."""

    columns: tuple[str, ...]
    parameter_oids: tuple[int, ...]


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
    """

    def __init__(self, hidden: dict[int, str], calls: CallTree, found: Sequence[list[Any]]) -> None:
        self.hidden = hidden
        self.parts = frozenset(oid for oid, _ in found[0]) if found else frozenset[int]()
        self._calls = calls
        self._found = found

    async def functions(self) -> list[Function]:
        """As :meth:`SqlSession.functions` of the tree."""
        return await self._calls.collect(self._found)


class SqlSession:
    """The open transaction. Errors of Postgres come out as ``psycopg.Error`` (see ``engine.query.sql.safety.refusals``)."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._owner = ""
        self._schemas: list[str] = []  # in which the reader finds names without schema
        self._path = OWN_NAMES  # of a client's text only while Postgres reads or plans that
        self._settings: list[Setting] = []  # that are sent with the next statement, before it

    async def begin(self) -> None:
        """Become the reader, and see where it finds names."""
        entered = psycopg.AsyncRawCursor(self._connection)
        async with self._connection.pipeline():
            await entered.execute(*_ENTER, prepare=False)
            await self._connection.execute(query("path_of_role_here"))
            schemas = await self._connection.execute(query("plan_schemas"))
        [(self._owner, *_)] = await entered.fetchall()
        [(self._schemas,)] = await schemas.fetchall()
        self._path = self._client_path

    @property
    def _client_path(self) -> str:
        return ", ".join(map(quote, self._schemas))

    def _enter(self) -> None:
        """Become the reader, with the next statement."""
        self._settings.append(_ENTER)

    def _leave(self) -> None:
        """Become the connection's own role, with the next statement."""
        self._settings.append((query("plan_leave").encode(), [self._owner]))

    def _find_names(self, search_path: str) -> None:
        """Names without schema are found there from the next statement on."""
        if search_path != self._path:
            self._settings.append((query("plan_path").encode(), [search_path]))
            self._path = search_path

    async def resolve(self, names: Sequence[tuple[str | None, str]]) -> tuple[list[int | None], str]:
        """The oids that (schema, name) pairs mean to the reader; None for those that mean nothing. And :meth:`callables`."""
        [(digest,)], found = await self._run_queries(("plan_callables", {}), ("plan_relations", self._named(names)))
        return [oid for (oid,) in found], str(digest)

    def _named(self, names: Sequence[tuple[str | None, str]]) -> dict[str, object]:
        """(schema, name) pairs and the reader's path, for a query that resolves names as the reader does."""
        schemas, found = [schema for schema, _ in names], [name for _, name in names]
        return {"schemas": schemas, "names": found, "path": self._schemas}

    async def describe(self, sql: str) -> Described:
        """Prepare ``sql``: Postgres's verdict on syntax, names and types."""
        self._find_names(self._client_path)
        settings, self._settings = self._settings, []
        result = await describe(self._connection, sql, settings)
        return Described(
            tuple((result.fname(i) or b"").decode() for i in range(result.nfields)),
            tuple(result.param_type(i) for i in range(result.nparams)),
        )

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        """A savepoint: what is done in it, and what fails in it, leaves the transaction as it was."""
        path, settings = self._path, list(self._settings)
        try:
            async with self._connection.transaction(force_rollback=True):
                yield
        finally:
            self._path, self._settings = path, settings

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
            ("plan_hidden_types", {"exposed": list(exposed), "types": [], **self._named(names)}),
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

    def _hidden_types(self, types: Collection[int], exposed: Collection[int]) -> CatalogQuery:
        return "plan_hidden_types", {"exposed": list(exposed), "types": list(types), **self._named(())}

    async def uses(self, tree: Tree, exposed: Collection[int]) -> Uses:
        """What ``tree`` makes use of. After :meth:`analyse`: the owner's role is needed."""
        types = set(tree.types)
        own = [oid for oid in tree.functions if oid >= FIRST_OWN]
        if own:
            types |= {oid for (oid,) in await self._rows("plan_function_types", {"functions": own})}
        calls = CallTree(self._run_queries, self._body)
        hidden, *found = await self._run_queries(self._hidden_types(types, exposed), *calls.queries([tree]))
        return Uses({oid: name for _, _, oid, name, *_ in hidden}, calls, found)

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
                await self._settle()
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

    async def explain(self, sql: str, params: Sequence[str | None] = ()) -> None:
        """Plan ``sql`` as the reader: Postgres checks the privileges on every table and column, and runs nothing.

        Except calls of IMMUTABLE functions with constants, also in indexes, statistics and checks of its tables: they cannot
        leave the role of the reader. Raises ``InvalidQueryError`` if one of them writes. After :meth:`describe`.
        """
        self._enter()
        await self._as_reader("plan_explain", sql, params)

    async def _as_reader(self, name: str, sql: str, params: Sequence[str | None]) -> list[Any]:
        """The rows of a query of ours that has Postgres read ``sql``, a client's, in ``realtime.read_as_reader()``."""
        self._find_names(self._client_path)
        try:
            async with self._pipeline():
                cursor = await self._connection.execute(query(name).encode(), {"sql": sql, "params": list(params)})
            return await cursor.fetchall()
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise writes(error) from error

    async def _rows(self, name: str, values: Mapping[str, object]) -> list[Any]:
        """The rows of a query of ours, which finds nothing by name that others could have made."""
        [rows] = await self._run_queries((name, values))
        return rows

    async def _run_queries(self, *queries: CatalogQuery) -> list[list[Any]]:
        """As :meth:`_rows`, of several queries in one round trip: none of them needs the answer of another."""
        if not queries:
            return []
        self._find_names(OWN_NAMES)
        async with self._pipeline():
            cursors = [await self._connection.execute(query(name).encode(), values) for name, values in queries]
        return [await cursor.fetchall() for cursor in cursors]

    async def _run(self, sql: str, params: Sequence[str | None]) -> PGresult:
        """Run a text of a client's, which finds names as the reader does."""
        self._find_names(self._client_path)
        cursor = psycopg.AsyncRawCursor(self._connection)
        async with self._pipeline():  # takes the extended protocol, also without values
            await cursor.execute(sql.encode(), list(params) or None, prepare=False)
        assert cursor.pgresult is not None
        return cursor.pgresult

    @asynccontextmanager
    async def _pipeline(self) -> AsyncIterator[None]:
        """One round trip for the settings that wait and what is executed inside."""
        async with self._connection.pipeline():
            await self._settle()
            yield

    async def _settle(self) -> None:
        """Send the settings that wait, in a pipeline."""
        settings, self._settings = self._settings, []
        for sql, values in settings:
            await psycopg.AsyncRawCursor(self._connection).execute(sql, list(values) or None, prepare=False)


def _only_hidden(found: Sequence[tuple[_Key, list[int]]], hidden: Set[int]) -> list[_Key]:
    """The keys all of whose types have a hidden one among them."""
    usable = {key for key, types in found if hidden.isdisjoint(types)}
    return list({key for key, _ in found} - usable)


@asynccontextmanager
async def sql_session(connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[SqlSession]:
    """A transaction (or savepoint) as ``realtime_reader``; nothing of it remains afterwards."""
    async with connection.transaction(force_rollback=True):
        session = SqlSession(connection)
        await session.begin()
        yield session
