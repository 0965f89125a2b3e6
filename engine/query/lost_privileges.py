"""Privileges that reading needs: those which ``realtime_reader`` has lost, and those which a served role lacks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg

from engine.errors import PermissionDeniedError
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.statement import RoleReading

__all__ = ["grants_lacking", "lacking"]


async def grants_lacking(connection: psycopg.AsyncConnection[Any], tables: Collection[int] | None) -> tuple[str, ...]:
    """The GRANTs that restore the privileges missing for reading these exposed tables (oids; None: all of them).

    ``connection`` is in no transaction, or in one that has not failed. Raises ``psycopg.Error``.
    """
    values = {"tables": None if tables is None else list(tables)}
    cursor = await connection.execute(query("reader_lacks").encode(), values)
    return tuple([statement for (statement,) in await cursor.fetchall()])


def lacking(reading: RoleReading) -> PermissionDeniedError:
    """The refusal of what PostgreSQL does not let a served role read. It names no table: policies look at hidden ones."""
    return PermissionDeniedError(
        f"the role {reading.role} lacks a privilege that the query, or a policy of its tables, needs"
    )
