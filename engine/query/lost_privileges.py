"""Which privileges ``realtime_reader`` has lost that ``realtime.expose()`` or ``realtime migrate`` gave it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg

from engine.postgres.statements.named_queries import query

__all__ = ["grants_lacking"]


async def grants_lacking(connection: psycopg.AsyncConnection[Any], tables: Collection[int] | None) -> tuple[str, ...]:
    """The GRANTs that restore the privileges missing for reading these exposed tables (oids; None: all of them).

    ``connection`` is in no transaction, or in one that has not failed. Raises ``psycopg.Error``.
    """
    values = {"tables": None if tables is None else list(tables)}
    cursor = await connection.execute(query("reader_lacks").encode(), values)
    return tuple([statement for (statement,) in await cursor.fetchall()])
