"""Who holds a lock that something waits for: the parameters and rows of the query ``lock_holders``, and its words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from engine.postgres.statements.named_queries import query

__all__ = ["BLOCKS_INSERTS", "BLOCKS_READS", "holder_in_words", "holders_of", "session_in_words"]

BLOCKS_READS: Final = ["AccessExclusiveLock"]
"""ALTER TABLE, TRUNCATE, VACUUM FULL, LOCK TABLE (docs: "Table-Level Locks")."""

BLOCKS_INSERTS: Final = ["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"]
"""All modes that conflict with ROW EXCLUSIVE."""


async def holders_of(
    connection: psycopg.AsyncConnection[Any], tables: Iterable[int] | None, modes: list[str]
) -> list[dict[str, Any]]:
    """The rows of ``lock_holders`` for ``tables`` (oids; None: all of the schema ``realtime``). Raises ``psycopg.Error``."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        oids = None if tables is None else list(tables)
        await cursor.execute(query("lock_holders").encode(), {"tables": oids, "modes": modes})
        return await cursor.fetchall()


def holder_in_words(row: Mapping[str, Any]) -> str:
    """A row of ``lock_holders``: which table is locked, and by whom."""
    return f"{row['name']} is locked by {session_in_words(row)}"


def session_in_words(row: Mapping[str, Any]) -> str:
    """A session with ``pid`` (None or 0: a prepared transaction), ``role``, ``application``, ``state`` and ``seconds``, the
    age of its transaction; what is empty is not known.
    """
    if not row["pid"]:
        return "a prepared transaction (see pg_prepared_xacts)"
    age = "" if row["seconds"] is None else f"in a transaction for {row['seconds']:.0f} s"
    who = ", ".join(part for part in (row["role"], row["application"], row["state"], age) if part)
    return f"process {row['pid']} ({who})"
