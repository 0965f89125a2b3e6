"""Reading the catalog: one statement that describes every exposed table, turned into plain data.

``Catalog`` and its parts live in ``engine.catalog_model`` and ``engine.catalog_types`` and are exported here too. Nothing
is cached: whoever sees a ``realtime.ddl`` message loads a new catalog and compares ``Table.signature``.
"""

from __future__ import annotations

from typing import Any

import psycopg

from engine.catalog_build import build_catalog
from engine.catalog_model import Catalog, Table, layout
from engine.catalog_types import Collation, Column, TypeInfo
from engine.errors import CatalogError
from engine.sql import query

__all__ = ["Catalog", "Collation", "Column", "Table", "TypeInfo", "layout", "load_catalog"]


async def load_catalog(connection: psycopg.AsyncConnection[Any], *, stream_generated: bool = True) -> Catalog:
    """Describe all exposed tables as they are now.

    Args:
        connection: may see all of ``pg_catalog`` and the ``realtime`` schema.
        stream_generated: False if the output plugin sends no generated columns at all (wal2json), whatever the
            publication says.

    Raises:
        CatalogError: the description cannot be read (not migrated, no privilege) or makes no sense.
    """
    try:
        async with connection.transaction():
            await connection.execute(query("catalog_settings").encode())
            cursor = await connection.execute(query("catalog").encode())
            row = await cursor.fetchone()
    except psycopg.Error as error:
        raise CatalogError(f"the catalog cannot be read: {error.diag.message_primary or error}") from error
    if row is None:
        raise CatalogError("the catalog cannot be read: the current database is not in pg_database")
    return build_catalog(row[0], stream_generated=stream_generated)
