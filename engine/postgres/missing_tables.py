"""Tables of ours that were dropped: nothing can go on without them, and no restart brings them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["REMEDY", "tables_in_words", "tables_missing"]

REMEDY: Final = (
    "stop the server and restore the schema realtime from a backup; or, if channels, messages and the list of exposed "
    "tables may go, `drop schema realtime cascade; drop publication if exists bunbase_realtime;`, then `realtime migrate` "
    "and `realtime expose` (with `realtime dev` or `make demo`: delete its data folder, `make clean`)"
)
"""What to do about a table that is missing."""


def tables_in_words(names: Sequence[str]) -> str:
    """Which tables are missing; ``names`` are not empty."""
    if len(names) == 1:
        return f"table realtime.{names[0]} is missing"
    return f"tables realtime.{', realtime.'.join(names)} are missing"


def tables_missing(names: Sequence[str]) -> str | None:
    """What to do if ``names`` (rows of the query ``missing_tables``) is not empty, in words."""
    return f"{tables_in_words(names)}: {REMEDY}" if names else None
