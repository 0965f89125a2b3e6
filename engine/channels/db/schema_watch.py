"""Looks now and then whether the schema ``realtime`` is whole, and whether the server's role may still use it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import psycopg
import structlog

from engine.channels.core.messages.model import UnavailableError
from engine.channels.db.store import Store
from engine.postgres.errors import reason
from engine.postgres.missing_tables import tables_missing
from engine.postgres.read_only import read_only_reason
from engine.postgres.statements.schema_objects import SCHEMA, lost_objects, lost_trigger, schema_checksum
from engine.postgres.statements.sql_interface import (
    incompatibilities,
    interface_of,
    present_interface,
    schema_version,
    too_old,
)

__all__ = ["EVERY", "THOROUGH_EVERY", "SchemaWatch"]

_log = structlog.get_logger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks at the tables."""

THOROUGH_EVERY: Final = 10.0
"""Seconds between two looks at everything else; while there is a problem, everything is looked at each time."""

_READ_ONLY: Final = "messages and presence are refused, live queries go on"
_SHOWN: Final = 3  # statements that are spelled out


class SchemaWatch:
    """``problem``: what is missing, and what to do, in words. ``realtime doctor`` looks at the same.

    A missing table stops the node, so that is seen within a second, with one cheap query. Privileges, functions, views,
    triggers and a read-only database need five more, two of them over the whole schema.
    """

    def __init__(self, store: Store) -> None:
        self.problem: str | None = None
        self._store = store
        self._looks_until_thorough = 0

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            await self.look()

    def look_at_all(self) -> None:
        """A statement was refused: look at everything the next time."""
        self._looks_until_thorough = 0

    async def look(self) -> None:
        """Look once: at the tables, and at everything when that is due."""
        try:
            problem = await self._tables()
            if problem is None:
                self._looks_until_thorough -= 1
                if self.problem is None and self._looks_until_thorough > 0:
                    return
                problem = await self._read_only() or await self._privileges() or await self._objects()
                self._looks_until_thorough = round(THOROUGH_EVERY / EVERY)
        except UnavailableError as error:
            _log.debug("schema_not_looked_at", error=str(error).strip())  # the feed reports that the database is away
            return
        except psycopg.Error as error:
            problem = f"the schema realtime cannot be looked at ({reason(error)}): `realtime doctor` has the remedy"
        if problem is not None and problem != self.problem:
            _log.error("schema_incomplete", reason=problem)
        self.problem = problem

    async def _tables(self) -> str | None:
        [row] = await self._store.rows("missing_tables")
        return tables_missing(row["names"])

    async def _read_only(self) -> str | None:
        [row] = await self._store.rows("read_only_source")
        found = read_only_reason(row)
        if found is None:
            return None
        self._store.renew()  # a session keeps the settings that it began with
        return f"{found.reason} ({_READ_ONLY}): {found.remedy}"

    async def _privileges(self) -> str | None:
        lacking = [str(row["statement"]) for row in await self._store.rows("doctor_privileges")]
        if not lacking:
            return None
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        return f"the server's role lacks privileges: {' '.join(lacking[:_SHOWN])}{more} (all: `realtime grant`)"

    async def _objects(self) -> str | None:
        applied = {row["name"]: row for row in await self._store.rows("migrations_done")}
        here = applied.get(SCHEMA)
        if here is None or here["checksum"] != schema_checksum():
            return await self._other_version(here)
        if lost := lost_objects(await self._store.rows("schema_objects")):
            return f"missing in the schema realtime: {', '.join(lost)}; run `realtime migrate`"
        triggers = [lost_trigger(row) for row in await self._store.rows("doctor_triggers")]
        return f"{'; '.join(triggers)}; run `realtime migrate`" if triggers else None

    async def _other_version(self, here: dict[str, Any] | None) -> str | None:
        """Another version's ``sql/schema`` is in the database: None if it serves this version's nodes."""
        if here is not None and (here["version"] or 0) > schema_version() and too_old(here["serves_from"]):
            newer = here["applied_by"] or "a newer version"
            return (
                f"the database was migrated by {newer} ({SCHEMA} version {here['version']}), "
                f"which does not serve this version ({SCHEMA} version {schema_version()}): upgrade this node"
            )
        present = present_interface(
            await self._store.rows("interface_relations"), await self._store.rows("interface_functions")
        )
        if missing := incompatibilities(interface_of(schema_version()), present):
            shown = "; ".join(missing[:_SHOWN]) + (
                f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            )
            return f"the {SCHEMA} of another version does not serve this one: {shown}; upgrade this node"
        return None
