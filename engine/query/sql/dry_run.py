"""Asking Postgres about a client's SQL without running it.

Everything happens in one transaction that is always rolled back, as the role ``realtime_reader``, with short timeouts. The
client's text is only ever sent through the extended protocol, which takes exactly one statement.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.pq.abc import PGresult

from engine.errors import CatalogError, PrivilegeLostError
from engine.postgres.named_queries import query
from engine.postgres.one_statement import describe, run
from engine.postgres.session_settings import OWN_NAMES
from engine.query.compile.where_to_sql import quote
from engine.query.off_loop import aside
from engine.query.refusals import is_servers, writes
from engine.query.sql.calls import CallTree
from engine.query.sql.functions import Function
from engine.query.sql.parameters import ParameterType
from engine.query.sql.references import Tree, read_tree

__all__ = ["Described", "SqlSession", "sql_session"]

STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 1_000
_NO_TEMPORARY = "InitTempTableNamespace"  # in PostgreSQL's namespace.c
_WORDY = 50  # characters of a node tree that are read in the time of one of SQL

_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Described:
    """What Postgres says of a prepared statement: output ``columns`` and the types of ``$1``, ``$2`` and so on."""

    columns: tuple[str, ...]
    parameter_oids: tuple[int, ...]


class SqlSession:
    """The open transaction. Errors of Postgres come out as ``psycopg.Error`` (see ``engine.query.refusals``)."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._owner = ""
        self._schemas: list[str] = []  # in which the reader finds names without schema
        self._path = OWN_NAMES  # that is set; of a client's text only while Postgres reads or plans that

    async def begin(self) -> None:
        """Become the reader, and see where it finds names."""
        await self.enter()
        await self._connection.execute(query("path_of_role_here"))
        [(self._schemas,)] = await self._fetched("plan_schemas", {})
        self._path = self._client_path

    async def enter(self) -> None:
        """Become the reader."""
        timeouts = {"statement_timeout": str(STATEMENT_TIMEOUT_MS), "lock_timeout": str(LOCK_TIMEOUT_MS)}
        [(role, *_)] = await self._rows("plan_enter", timeouts)
        self._owner = self._owner or role

    @property
    def _client_path(self) -> str:
        return ", ".join(map(quote, self._schemas))

    async def _find_names(self, search_path: str) -> None:
        """Names without schema are found there from now on."""
        if search_path != self._path:
            await self._fetched("plan_path", {"search_path": search_path})
            self._path = search_path

    async def resolve(self, names: Sequence[tuple[str | None, str]]) -> list[int | None]:
        """The oids that (schema, name) pairs mean to the reader; None for those that mean nothing."""
        if not names:
            return []
        return [oid for (oid,) in await self._rows("plan_relations", self._named(names))]

    def _named(self, names: Sequence[tuple[str | None, str]]) -> dict[str, object]:
        """(schema, name) pairs and the reader's path, for a query that says what they mean to the reader."""
        schemas, found = [schema for schema, _ in names], [name for _, name in names]
        return {"schemas": schemas, "names": found, "path": self._schemas}

    async def describe(self, sql: str) -> Described:
        """Prepare ``sql``: Postgres's verdict on syntax, names and types."""
        await self._find_names(self._client_path)
        result = await describe(self._connection, sql)
        return Described(
            tuple((result.fname(i) or b"").decode() for i in range(result.nfields)),
            tuple(result.param_type(i) for i in range(result.nparams)),
        )

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        """A savepoint: what is done in it, and what fails in it, leaves the transaction as it was."""
        path = self._path
        try:
            async with self._connection.transaction(force_rollback=True):
                yield
        finally:
            self._path = path

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

    async def hidden_type_names(
        self, names: Sequence[tuple[str | None, str]], exposed: Collection[int]
    ) -> list[tuple[str | None, str, str | None, bool, bool]]:
        """Those of the (schema, name) pairs that mean a type which is not for clients, as the reader finds types.

        With the category of keyword that the name is, if any; whether there is a function of that name which does not make
        such values; and whether the type is the row type of a relation.
        """
        values = {"exposed": list(exposed), "types": [], **self._named(names)}
        rows = await self._rows("plan_hidden_types", values)
        return [(schema, name, *rest) for schema, name, _, _, *rest in rows]

    async def hidden_types(self, types: Collection[int], exposed: Collection[int]) -> dict[int, str]:
        """Those among ``types`` that are not for clients, and their names."""
        if not types:
            return {}
        values = {"exposed": list(exposed), "types": list(types), **self._named(())}
        return {oid: name for _, _, oid, name, *_ in await self._rows("plan_hidden_types", values)}

    async def hidden_functions(
        self, names: Sequence[tuple[str | None, str]], exposed: Collection[int]
    ) -> list[tuple[str | None, str]]:
        """Those of the (schema, name) pairs that mean functions only which take or give types that are not for clients."""
        rows = await self._rows("plan_named_functions", self._named(names)) if names else []
        return await self._only_hidden([((schema, name), types) for schema, name, types in rows], exposed)

    async def hidden_operators(self, names: Collection[str], exposed: Collection[int]) -> list[str]:
        """Those of the names that mean operators only which take or give types that are not for clients."""
        rows = await self._rows("plan_named_operators", {"names": list(names)}) if names else []
        return await self._only_hidden(rows, exposed)

    async def _only_hidden(self, found: Sequence[tuple[_Key, list[int]]], exposed: Collection[int]) -> list[_Key]:
        hidden = await self.hidden_types({oid for _, types in found for oid in types}, exposed)
        usable = {key for key, types in found if hidden.keys().isdisjoint(types)}
        return list({key for key, _ in found} - usable)

    async def hidden_in_functions(self, functions: Collection[int], exposed: Collection[int]) -> dict[int, str]:
        """The types that are not for clients among those which these functions take and give, and their names."""
        rows = await self._rows("plan_function_types", {"functions": list(functions)}) if functions else []
        return await self.hidden_types({oid for (oid,) in rows}, exposed)

    async def parts(self, types: Collection[int]) -> frozenset[int]:
        """``types`` and all that values of them consist of."""
        return (
            frozenset(oid for oid, _ in await self._rows("plan_parts", {"types": list(types)}))
            if types
            else frozenset()
        )

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
        await self._rows("plan_leave", {"owner": self._owner})
        try:
            await self._run(
                f"create temporary view pg_temp.realtime_plan as select 1 as one from (\n{sql}\n) as query", ()
            )
        except psycopg.errors.InsufficientPrivilege as error:
            if error.diag.source_function != _NO_TEMPORARY:
                raise PrivilegeLostError from error
            message = error.diag.message_primary or str(error)
            raise CatalogError(f"SQL cannot be checked: {message}; grant TEMPORARY on the database") from error
        [(text, view)] = await self._rows("plan_tree", {})
        return await aside(lambda: read_tree(text, int(view)), len(text) // _WORDY)

    async def functions(self, tree: Tree) -> list[Function]:
        """Everything that ``tree`` can call, by whatever way. After :meth:`analyse`: the owner's role is needed."""
        return await CallTree(self._rows, self._body).collect(tree)

    async def reading(
        self, sql: str, names: Collection[str], relations: Collection[int], *, hidden_rows: bool
    ) -> list[Function]:
        """What can be called while names are resolved: composite and array literals check their domains at once.

        ``names`` and ``relations`` are those in ``sql``; with ``hidden_rows`` the names can be those of row types with
        hidden columns. To be judged before :meth:`describe`.
        """
        values = {"sql": sql, "names": list(names), "relations": list(relations), "hidden_rows": hidden_rows}
        types = [oid for (oid,) in await self._rows("plan_read_types", values)]
        await self._rows("plan_leave", {"owner": self._owner})
        found = await CallTree(self._rows, self._body).collect_checks(types)
        await self.enter()
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
        await self.enter()
        await self._as_reader("plan_explain", sql, params)

    async def _as_reader(self, name: str, sql: str, params: Sequence[str | None]) -> list[Any]:
        """The rows of a query of ours that has Postgres read ``sql``, a client's, in ``realtime.read_as_reader()``."""
        await self._find_names(self._client_path)
        try:
            return await self._fetched(name, {"sql": sql, "params": list(params)})
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise writes(error) from error

    async def _rows(self, name: str, values: Mapping[str, object]) -> list[Any]:
        """The rows of a query of ours, which finds nothing by name that others could have made."""
        await self._find_names(OWN_NAMES)
        return await self._fetched(name, values)

    async def _fetched(self, name: str, values: Mapping[str, object]) -> list[Any]:
        cursor = await self._connection.execute(query(name).encode(), values)
        return await cursor.fetchall()

    async def _run(self, sql: str, params: Sequence[str | None]) -> PGresult:
        """Run a text of a client's, which finds names as the reader does."""
        await self._find_names(self._client_path)
        return await run(self._connection, sql, params)


@asynccontextmanager
async def sql_session(connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[SqlSession]:
    """A transaction (or savepoint) as ``realtime_reader``; nothing of it remains afterwards."""
    async with connection.transaction(force_rollback=True):
        session = SqlSession(connection)
        await session.begin()
        yield session
