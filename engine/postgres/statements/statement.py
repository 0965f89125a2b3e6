"""A statement ready to be run, and what its rows must have been read from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Guard", "NamesGuard", "Origin", "RoleReading", "Statement"]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a statement is meant to read, which names tables and columns: names can mean others by now.

    ``table`` is its oid, ``name`` its schema and name. ``columns`` are the columns that the statement names, and ``attnums``
    their numbers. ``exposed`` are the attnums that must be granted to ``realtime_reader``.
    ``view``: SQL that makes a temporary view ``realtime_rows`` of the table, whose columns are these, where there are others
    than exposed ones among them: a view is read with the rights of its owner, the server's role, while functions run as
    the role that is set (docs: "Rules and Privileges"). Empty: the statement reads the table itself.
    """

    table: int
    name: tuple[str, str]
    columns: tuple[str, ...]
    attnums: tuple[int, ...]
    exposed: tuple[int, ...]
    view: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """Policies of ``table`` under which a statement must have been run: their mark (query ``policies_mark``), of
    these tables, functions and names in texts of functions.
    """

    table: int
    tables: tuple[int, ...]
    functions: tuple[int, ...]
    mark: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NamesGuard:
    """What the relations that a client's SQL names must have been: ``mark`` is that of all relations with these ``names``,
    their columns and privileges (query ``names_mark``).
    """

    names: tuple[str, ...]
    mark: str


@dataclass(frozen=True, slots=True)
class RoleReading:
    """As which served role a statement runs, with the claims, a JSON object, in ``setting``.

    ``settings``: those of its sessions that differ from ours, under which policies are evaluated; what is read is still
    written with ours. ``facts``: SQL that returns one text, and runs after it, as the role as well.
    """

    role: str
    setting: str
    claims: str
    guards: tuple[Guard, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    facts: str = ""

    @property
    def function(self) -> str:
        """The function that reads as the role; see ``sql/schema/4_access/15_served_roles.sql``."""
        name = f"read_as:{self.role}".replace('"', '""')
        return f'realtime."{name}"'


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with ``$1``-style parameters, bound as text of unknown type unless the SQL casts them.

    ``as_reader``: must run as role ``realtime_reader`` (clients' own SQL), so that Postgres itself checks privileges.
    ``by_path``: names are resolved by the operator's search path, also by functions of types that are not built in;
    otherwise in ``pg_catalog`` only. Clients' own SQL always is.
    ``origin``: what it must have read for its rows to be used.
    ``types``: of its columns, as SQL names them; used of what runs as ``realtime_reader`` only.
    ``role``: runs as this role instead. With ``as_reader``, ``realtime_reader`` must be allowed to run it, too: the plan has
    made sure of it, and ``names`` that its names still mean the same.
    ``source``: the sub-select in ``sql``, between ``(\\n`` and ``\\n)``, whose rows it makes texts of; empty: it returns
    values, which become text when they are sent.
    ``tables``: oids of all that its rows depend on, which must not be truncated or rewritten while it is run.
    """

    sql: str
    params: tuple[str | None, ...] = ()
    as_reader: bool = False
    by_path: bool = False
    origin: Origin | None = None
    types: tuple[str, ...] = ("text", "text")
    role: RoleReading | None = None
    source: str = ""
    tables: tuple[int, ...] = ()
    names: NamesGuard | None = None

    @property
    def as_server(self) -> bool:
        """Whether it runs with the rights of the server itself: the engine wrote it, over the service's own tables."""
        return self.role is None and not self.as_reader and self.origin is None
