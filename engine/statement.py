"""A statement ready to be run, and what its rows must have been read from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Origin", "Statement"]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a statement is meant to read, which names columns and runs as the server's role: names can mean others by now.

    ``table`` is its oid. ``attnums`` are those of the statement's last output columns. ``exposed`` are the attnums that
    must be granted to ``realtime_reader``. ``width``: how many output columns come before those that only show an origin.
    """

    table: int
    attnums: tuple[int, ...]
    exposed: tuple[int, ...]
    width: int


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with ``$1``-style parameters, bound as text of unknown type unless the SQL casts them.

    ``as_reader``: must run as role ``realtime_reader`` (clients' own SQL), so that Postgres itself checks privileges.
    ``origin``: what it must have read for its rows to be used.
    """

    sql: str
    params: tuple[str | None, ...] = ()
    as_reader: bool = False
    origin: Origin | None = None
