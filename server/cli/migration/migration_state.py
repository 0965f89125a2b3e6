"""The migration state of a database: the owner of the schema ``realtime``, and the version that migrated it.

``sql/schema`` carries a number in ``sql/schema/VERSION`` beside its checksum: the checksum shows that the functions
differ, the number which ones are later. A newer version's functions may serve this version too
(:mod:`engine.postgres.statements.sql_interface`): then this version runs on the database and changes nothing in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from engine.errors import RealtimeError
from engine.postgres.missing_tables import tables_missing
from engine.postgres.statements.named_queries import folder, query
from engine.postgres.statements.schema_objects import SCHEMA, lost_objects, schema_checksum
from engine.postgres.statements.sql_interface import schema_version, too_old

__all__ = [
    "DatabaseState",
    "MigrationError",
    "migration_checksums",
    "migration_files",
    "not_at_this_version",
    "package_name",
    "read_state",
]


class MigrationError(RealtimeError):
    """The database cannot be migrated or used; the message gives the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of ``realtime.migrations``."""

    checksum: str
    version: int | None
    applied_by: str | None
    serves_from: int | None


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """The result of :func:`read_state`.

    Attributes:
        readable: the role may read ``applied``.
        objects: the first few objects of the schema, None if it is empty.
        missing: tables that a migration created and that no longer exist.
        lost: functions, views and triggers of ``sql/schema`` that no longer exist, as texts; a migrate recreates them.
    """

    exists: bool
    ours: bool
    readable: bool
    owner: str
    objects: str | None
    database: str
    role: str
    applied: dict[str, Applied] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def numbered(self) -> list[str]:
        """The numbered migrations that ``migrate`` would apply."""
        return [path.stem for path in migration_files() if path.stem not in self.applied]

    @property
    def schema_current(self) -> bool:
        """Whether the functions are those of this version, as far as that was written down."""
        schema = self.applied.get(SCHEMA)
        return schema is not None and schema.checksum == schema_checksum()

    @property
    def pending(self) -> list[str]:
        """The parts that ``migrate`` would apply, with ``sql/schema`` if it is replaced; empty: up to date, or ahead."""
        if self.ahead:
            return []
        return [*self.numbered, *self.lost] if self.schema_current else [*self.numbered, SCHEMA]

    def refuse_foreign(self) -> None:
        """Raise ``MigrationError`` if the schema ``realtime`` is that of another product."""
        if self.exists and not self.ours and self.objects is not None:
            raise MigrationError(
                f"the schema realtime in database {self.database} is not ours (it belongs to {self.owner} and holds "
                f"{self.objects}): another product uses the name. Use another database, or rename that schema"
            )

    def refuse_incomplete(self) -> None:
        """Raise ``MigrationError`` if a table was dropped that a migration once made."""
        if problem := tables_missing(self.missing):
            raise MigrationError(problem)

    def refuse_unreadable(self) -> None:
        """Raise ``MigrationError`` if the role may not read the applied migrations."""
        if self.ours and not self.readable:
            raise MigrationError(
                f"role {self.role} has no privileges in the schema realtime: run `realtime grant {self.role}` "
                f"as {self.owner} or a superuser"
            )

    def refuse_other(self) -> None:
        """Raise ``MigrationError`` if another version has migrated the database: its tables or functions are not ours."""
        if problem := self.newer or self.changed:
            raise MigrationError(problem)

    @property
    def changed(self) -> str | None:
        """The numbered migrations that changed after they were applied, with the remedy; None if none did."""
        known = migration_checksums()
        names = [name for name, row in self.applied.items() if row.checksum != known.get(name, row.checksum)]
        if not names:
            return None
        by = self.applied[names[-1]].applied_by or "another version"
        return (
            f"migration {', '.join(names)} was changed after it was applied by {by}; this is {package_name()}: install "
            "a version that has those migrations as they were applied"
        )

    @property
    def newer(self) -> str | None:
        """What a newer version changed that this one cannot use, and the version that is needed; None if it can."""
        what = self._unknown
        if not what or self.ahead:
            return None
        needed = [row.applied_by for row in what.values() if row.applied_by is not None]
        install = f"{needed[-1]} or later" if needed else f"the version that has {' and '.join(what)}"
        return (
            f"the database was migrated by a newer version ({', '.join(what)}); this is {package_name()} with "
            f"{SCHEMA} version {schema_version()}: install {install}"
        )

    @property
    def ahead(self) -> str | None:
        """The changes of a newer version that serve this one too, as a text; None if there are none, or it is too old."""
        schema = self.applied.get(SCHEMA)
        if not self._unknown or schema is None or too_old(schema.serves_from):
            return None
        return (
            f"the database was migrated by {schema.applied_by or 'a newer version'} ({', '.join(self._unknown)}), which "
            f"serves {SCHEMA} version {schema_version()} too: {package_name()} runs on it and leaves it as it is"
        )

    @property
    def _unknown(self) -> dict[str, Applied]:
        """The rows of ``realtime.migrations`` that this version cannot have written, by what they stand for."""
        known = {*migration_checksums(), SCHEMA}
        what = {f"migration {name}": row for name, row in self.applied.items() if name not in known}
        schema = self.applied.get(SCHEMA)
        if schema is not None and (schema.version or 0) > schema_version():
            what[f"{SCHEMA} version {schema.version}"] = schema
        return what


def not_at_this_version(state: DatabaseState) -> str | None:
    """The parts that ``migrate`` would apply or recreate, as a text; None if there are none."""
    if not state.pending:
        return None
    if state.schema_current and not state.numbered:
        return f"missing in the schema realtime: {', '.join(state.lost)}"
    return f"the database is not at this version ({', '.join(state.pending)})"


def read_state(connection: psycopg.Connection[Any]) -> DatabaseState:
    """Read it. Raises ``psycopg.Error``."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query("migration_state")).fetchone()
        assert row is not None
        if not row["ours"]:
            return DatabaseState(**row)
        missing_row = cursor.execute(query("missing_tables")).fetchone()
        assert missing_row is not None
        missing = tuple(missing_row["names"])
        recorded = "migrations" not in missing
        applied = {}
        if row["readable"] and recorded:
            for done in cursor.execute(query("migrations_done")).fetchall():
                applied[str(done["name"])] = Applied(*(done[column] for column in Applied.__slots__))
        lost = lost_objects(cursor.execute(query("schema_objects")).fetchall())
        state = DatabaseState(**row, applied=applied, lost=lost)
    # Objects of a pending migration are not missing.
    return replace(state, missing=missing if not (recorded and state.numbered) else ())


@cache
def migration_checksums() -> dict[str, str]:
    """The numbered migrations by name, each with its file's checksum."""
    return {path.stem: hashlib.sha256(path.read_text().encode()).hexdigest() for path in migration_files()}


def migration_files() -> list[Path]:
    """The numbered migrations, in order."""
    return sorted(folder("migrations").glob("*.sql"))


def package_name() -> str:
    """This installation's name and version."""
    try:
        return f"bunbase-realtime {version('bunbase-realtime')}"
    except PackageNotFoundError:
        return "bunbase-realtime (a checkout)"
