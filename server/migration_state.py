"""What a database says about itself: whose the schema ``realtime`` is, and which version migrated it.

``sql/schema`` carries a number in ``sql/schema/VERSION`` beside its checksum: a checksum tells that the functions are
others, the number which of the two are later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from engine.errors import RealtimeError
from engine.sql import folder, query

__all__ = [
    "DatabaseState",
    "MigrationError",
    "migration_files",
    "package_name",
    "read_state",
    "schema_checksum",
    "schema_files",
    "schema_version",
]

SCHEMA = "sql/schema"
"""The name under which ``sql/schema`` as a whole stands in ``realtime.migrations``."""


class MigrationError(RealtimeError):
    """The database cannot be migrated or used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of ``realtime.migrations``."""

    checksum: str
    version: int | None
    applied_by: str | None


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """``readable``: the role may read ``applied``; ``objects``: the first few things in the schema, None if it is empty."""

    exists: bool
    ours: bool
    readable: bool
    owner: str
    objects: str | None
    database: str
    role: str
    applied: dict[str, Applied] = field(default_factory=dict)

    @property
    def pending(self) -> list[str]:
        """What ``migrate`` would apply, ``sql/schema`` being the part that is replaced whole; empty: up to date."""
        names = [path.stem for path in migration_files() if path.stem not in self.applied]
        schema = self.applied.get(SCHEMA)
        return names if schema is not None and schema.checksum == schema_checksum() else [*names, SCHEMA]

    def refuse_foreign(self) -> None:
        """Raise ``MigrationError`` if the schema ``realtime`` is that of another product."""
        if self.exists and not self.ours and self.objects is not None:
            raise MigrationError(
                f"the schema realtime in database {self.database} is not ours (it belongs to {self.owner} and holds "
                f"{self.objects}): another product uses the name. Use another database, or rename that schema"
            )

    def refuse_unreadable(self) -> None:
        """Raise ``MigrationError`` if the role may not see what was migrated."""
        if self.ours and not self.readable:
            raise MigrationError(
                f"role {self.role} has no privileges in the schema realtime: run `realtime grant {self.role}` "
                f"as {self.owner} or a superuser"
            )

    def refuse_newer(self) -> None:
        """Raise ``MigrationError`` if a newer version has migrated the database: its functions must not be replaced."""
        if newer := self.newer:
            raise MigrationError(newer)

    @property
    def newer(self) -> str | None:
        """What a newer version did to this database, and which version is needed; None if none did."""
        known = {path.stem for path in migration_files()} | {SCHEMA}
        what = {f"migration {name}": row for name, row in self.applied.items() if name not in known}
        schema = self.applied.get(SCHEMA)
        if schema is not None and (schema.version or 0) > schema_version():
            what[f"{SCHEMA} version {schema.version}"] = schema
        if not what:
            return None
        needed = [row.applied_by for row in what.values() if row.applied_by is not None]
        install = f"{needed[-1]} or later" if needed else f"the version that has {' and '.join(what)}"
        return (
            f"the database was migrated by a newer version ({', '.join(what)}); this is {package_name()} with "
            f"{SCHEMA} version {schema_version()}: install {install}"
        )


def read_state(connection: psycopg.Connection[Any]) -> DatabaseState:
    """Read it. Raises ``psycopg.Error``."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query("migration_state")).fetchone()
        assert row is not None
        applied = {}
        if row["ours"] and row["readable"]:
            for done in cursor.execute(query("migrations_done")).fetchall():
                applied[str(done["name"])] = Applied(done["checksum"], done["version"], done["applied_by"])
    return DatabaseState(**row, applied=applied)


@cache
def schema_version() -> int:
    """The number of this version's ``sql/schema``."""
    return int((folder("sql") / "schema" / "VERSION").read_text())


@cache
def schema_checksum() -> str:
    """One checksum over all of ``sql/schema``: an upgrade that only changes functions must be noticed too."""
    checksum = hashlib.sha256()
    for path in schema_files():
        checksum.update(path.read_bytes())
    return checksum.hexdigest()


def schema_files() -> Iterator[Path]:
    """The files of ``sql/schema`` in the order in which they are run."""
    yield from sorted((folder("sql") / "schema").glob("*.sql"))


def migration_files() -> list[Path]:
    """The numbered migrations, in order."""
    return sorted(folder("migrations").glob("*.sql"))


def package_name() -> str:
    """This installation's name and version."""
    try:
        return f"bunbase-realtime {version('bunbase-realtime')}"
    except PackageNotFoundError:
        return "bunbase-realtime (a checkout)"
