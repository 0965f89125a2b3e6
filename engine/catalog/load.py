"""Reading the catalog: one statement that describes every exposed table, turned into plain data.

``Catalog`` and its parts live in ``engine.catalog.model`` and ``engine.values.pg_types`` and are exported here too. Nothing
is cached: the watcher of ``realtime.ddl`` messages loads a new catalog and compares ``Table.signature``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg

from engine.catalog.build import build_catalog
from engine.catalog.model import Catalog, Marks
from engine.catalog.policies import Policies, Policy, policies_of
from engine.catalog.role_settings import role_settings
from engine.catalog.times_read import Code, body_of
from engine.errors import CatalogError
from engine.postgres.oids import TIME_RELATED_OIDS
from engine.postgres.statements.named_queries import query

__all__ = ["CLAIMS_SETTING", "load_catalog", "load_marks", "load_shared_mark"]


CLAIMS_SETTING: Final = "request.jwt.claims"
"""Where policies find the claims of a token, as PostgREST sets it."""

_changing_of: Final[WeakKeyDictionary[psycopg.AsyncConnection[Any], frozenset[str]]] = WeakKeyDictionary()


async def load_catalog(
    connection: psycopg.AsyncConnection[Any], *, stream_generated: bool = True, claims_setting: str = CLAIMS_SETTING
) -> Catalog:
    """Describe all exposed tables as they are now.

    Args:
        connection: may see all of ``pg_catalog`` and the ``realtime`` schema.
        stream_generated: False if the output plugin sends no generated columns at all (wal2json), whatever the
            publication has.
        claims_setting: the setting in which policies find claims.

    Raises:
        CatalogError: the description cannot be read (not migrated, no privilege) or makes no sense.
    """
    try:
        async with connection.transaction():
            await connection.execute(query("catalog_settings").encode())
            marks = await _marks(connection)  # first: what changes in between is looked at once more
            cursor = await connection.execute(query("catalog").encode())
            row = await cursor.fetchone()
            schemas = await _schemas(connection)
            served = row is not None and bool(row[0]["roles"])
            policies = await _policies(connection, claims_setting) if served else None
            settings = await role_settings(connection) if served else {}
    except psycopg.Error as error:
        raise CatalogError(f"the catalog cannot be read: {error.diag.message_primary or error}") from error
    if row is None:
        raise CatalogError("the catalog cannot be read: the current database is not in pg_database")
    document = row[0] | {"published_schemas": schemas}
    catalog = build_catalog(document, stream_generated=stream_generated, policies=policies)
    marks = replace(marks, policies={oid: each.mark for oid, each in (policies or {}).items()})
    return replace(catalog, marks=marks, claims_setting=claims_setting, settings=settings)


async def load_marks(connection: psycopg.AsyncConnection[Any], policies: Mapping[int, Policies] | None = None) -> Marks:
    """The marks of the definitions as they are now, to be compared with those of a catalog, which has ``policies``.

    Raises ``CatalogError`` if they cannot be read.
    """
    try:
        async with connection.transaction():
            await connection.execute(query("catalog_settings").encode())
            marks = await _marks(connection)
            found: dict[int, str] = {}
            for oid, each in (policies or {}).items():
                values = {
                    "tables": list(each.tables),
                    "code": list(each.functions | each.views),
                    "names": list(each.names),
                }
                cursor = await connection.execute(query("policies_mark").encode(), values)
                found[oid] = (await cursor.fetchone() or ("",))[0]
            return replace(marks, policies=found)
    except psycopg.Error as error:
        raise CatalogError(f"the catalog cannot be read: {error.diag.message_primary or error}") from error


async def load_shared_mark(connection: psycopg.AsyncConnection[Any], policies: Iterable[Policies] = ()) -> str:
    """A text that changes with memberships of roles, their attributes and settings, and with the owners of what ``policies``
    read. Raises ``psycopg.Error``.
    """
    read = list(policies)
    values = {
        "relations": list({oid for each in read for oid in each.tables | each.views}),
        "functions": list({oid for each in read for oid in each.functions}),
    }
    cursor = await connection.execute(query("catalog_shared_mark").encode(), values)
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM returns one row"
    return str(row[0])


async def _marks(connection: psycopg.AsyncConnection[Any]) -> Marks:
    cursor = await connection.execute(query("catalog_marks").encode())
    found: dict[int | None, str] = dict(await cursor.fetchall())
    types, publication, settings = found.pop(None, ""), found.pop(0, ""), found.pop(-1, "")
    schemas = await _schemas(connection)
    tables = {oid: mark for oid, mark in found.items() if oid}
    return Marks(" ".join([publication, *sorted(schemas)]), types, settings, tables)


async def _policies(connection: psycopg.AsyncConnection[Any], setting: str) -> dict[int, Policies]:
    """What the policies of the exposed tables read, by table."""
    cursor = await connection.execute(query("catalog_policies").encode())
    read = await cursor.fetchall()
    if not read:
        return {}
    changing = await _changing_functions(connection)
    by_time, hidden = await _by_time(connection, {(row["kind"], row["oid"]) for _, _, rows, *_ in read for row in rows})
    found = {
        oid: replace(policies_of(name, rows, mark, setting, changing, by_time), names=tuple(names))
        for oid, name, rows, mark, names in read
    }
    if hidden:
        found = {oid: replace(each, claims=None) for oid, each in found.items()}
    cursor = await connection.execute(query("catalog_policies_for").encode())  # later than the marks
    applied: dict[int, dict[str, tuple[Policy, ...]]] = {}
    own_rows: dict[int, bool] = {}
    for oid, role, reads_own, rows in await cursor.fetchall():
        own_rows[oid] = reads_own
        if rows is not None:
            policies = tuple(Policy(row["oid"], row["permissive"], row["condition"]) for row in rows)
            applied.setdefault(oid, {})[role] = policies
    return {
        oid: replace(each, applied=applied.get(oid, {}), own_rows=own_rows.get(oid, True))
        for oid, each in found.items()
    }


async def _by_time(
    connection: psycopg.AsyncConnection[Any], sources: Collection[tuple[str, int]]
) -> tuple[set[tuple[str, int]], bool]:
    """Those of ``sources`` (kind and oid) that read text as a time; one that is gone since counts as such. And whether
    claims may be read by what is no source: the check of a domain.
    """
    kinds = {"policies": "policy", "views": "view", "functions": "function"}
    wanted = {name: [oid for kind, oid in sources if kind == each] for name, each in kinds.items()}
    cursor = await connection.execute(query("catalog_policy_code").encode(), wanted)
    found = await cursor.fetchall()
    cast = {oid for kind, oid, _, _ in found if kind == "cast"}
    code = [Code(kind, oid, tree, body and body_of(body)) for kind, oid, tree, body in found if oid and kind != "cast"]
    types = cast.union(*(each.types() for each in code))
    values = {"types": list(types), "times": list(TIME_RELATED_OIDS)}
    cursor = await connection.execute(query("catalog_timed_types").encode(), values)
    timed = {oid for (oid,) in await cursor.fetchall()}
    zoned = any(kind == "zoned" for kind, *_ in found)
    steady = {(each.kind, each.oid) for each in code if not each.reads_times(timed, bool(cast & timed), zoned)}
    hidden = any(kind == "claims" for kind, *_ in found)
    return {each for each in sources if each[0] in kinds.values()} - steady, hidden


async def _changing_functions(connection: psycopg.AsyncConnection[Any]) -> frozenset[str]:
    """The names of the built-in functions that may return something else for the same arguments, read once for each
    connection: a server has the same ones until it is stopped and replaced by another one.
    """
    if (known := _changing_of.get(connection)) is None:
        cursor = await connection.execute(query("changing_functions").encode())
        known = _changing_of[connection] = frozenset([name for (name,) in await cursor.fetchall()])
    return known


async def _schemas(connection: psycopg.AsyncConnection[Any]) -> list[str]:
    """The schemas that are published as a whole, which PostgreSQL 14 does not know."""
    if connection.info.server_version < 150000:
        return []
    cursor = await connection.execute(query("catalog_schemas").encode())
    return [name for (name,) in await cursor.fetchall()]
