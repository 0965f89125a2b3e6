"""Who holds a lock that something waits for: the parameters and rows of the query ``lock_holders``, and its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["BLOCKS_INSERTS", "BLOCKS_READS", "holder_in_words", "session_in_words"]

BLOCKS_READS: Final = ["AccessExclusiveLock"]
"""ALTER TABLE, TRUNCATE, VACUUM FULL, LOCK TABLE (docs: "Table-Level Locks")."""

BLOCKS_INSERTS: Final = ["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"]
"""All modes that conflict with ROW EXCLUSIVE."""


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
