"""Changes of definitions: the catalog is loaded again, and the queries over changed tables are planned and read again.

Most changes are announced in the stream (``sql/schema/1_collections/70_definitions.sql``). Some are not: event triggers
need a superuser, and can be disabled. So the definitions are periodically compared with those of the catalog in use, by
their marks.

Changes that the publication did not include are missing from the stream. A transaction that wrote while a table was not
published, or only in part, can commit after the publication is complete again, with only some of its changes in the stream.
So after a change of the publication its tables are read again when the transactions that ran at that time end, as after a
lost slot (:mod:`engine.stream.in_flight`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Set

import psycopg
import structlog

from engine.background import Background
from engine.catalog.model import Catalog
from engine.catalog.watcher import CatalogWatcher
from engine.live.core.dispatcher import Dispatcher
from engine.live.core.outcome import DdlNote
from engine.live.plan_cache import Planner
from engine.live.refresher import Refresher
from engine.live.settings import LiveSettings
from engine.postgres.errors import UNREADABLE
from engine.postgres.retry import growing_pause
from engine.postgres.snapshot_reader import Reader
from engine.query.compile.plan import IncrementalPlan
from engine.query.lost_privileges import grants_lacking
from engine.stream.in_flight import ends_of

__all__ = ["Definitions"]

_log = structlog.get_logger(__name__)

_RETRY_DELAY = 1.0
_MAX_RETRY_DELAY = 5.0
"""Seconds between two comparisons while they fail; never more than the interval."""
_ROLES_INTERVAL = 1.0
"""Seconds between two looks at memberships and settings of roles alone, a fraction of the cost of a comparison."""


class Definitions:
    """See the module."""

    def __init__(  # noqa: PLR0913
        self,
        *,
        settings: LiveSettings,
        catalog: CatalogWatcher,
        dispatcher: Dispatcher,
        planner: Planner,
        refresher: Refresher,
        reader: Reader,
        apply_lock: asyncio.Lock,
        background: Background,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._planner = planner
        self._refresher = refresher
        self._reader = reader
        self._apply_lock = apply_lock
        self._background = background
        self._missed_tables: set[int] | None = (
            set()
        )  # tables whose changes the stream may lack since the last load; None: all
        self._unfollowed: str | None = None
        self._withheld: tuple[str, ...] = ()  # the grants that realtime_reader lacked at the last check

    @property
    def problem(self) -> str | None:
        """Why the stream lacks changes of tables, or rows cannot be read, in plain words; None while neither is known."""
        if self._unfollowed is None and self._withheld:
            return f"realtime_reader lacks privileges that serving needs: {' '.join(self._withheld)}"
        return self._unfollowed

    # -- what is announced -----------------------------------------------------------------------------------------

    def note(self, note: DdlNote, xid: int) -> None:
        """Process ``note`` of transaction ``xid``; a note about tables that are not exposed has no effect."""
        concerned = self._dispatcher.concerned(note)
        known = self._catalog.is_current
        if known and concerned == set() and not note.routines and not note.tag.endswith("COLLECTION"):
            return
        if concerned is not None:
            concerned |= set(note.oids)  # also tables that the catalog in use does not have yet
        if note.published:
            self._missed(concerned)
        self._catalog.invalidate(xid)
        self.replan(concerned)
        if note.routines:
            self._replan_calls()

    def interrupt(self, *, missing: bool, other_history: bool) -> None:
        """Read every query again.

        ``missing``: transactions may be missing from the stream; ``other_history``: the database may lack transactions that
        the stream delivered.
        """
        if missing:
            self._missed(None)
        if other_history:
            self._catalog.forget()
        self._catalog.invalidate()
        self.replan(None)

    def replan(self, oids: set[int] | None) -> None:
        """Plan and read again the queries over the tables ``oids``; None: all queries."""
        for query in self._refresher:
            if oids is None or not query.tables.isdisjoint(oids):
                self._refresher.refresh(query, replan=True)

    def _replan_calls(self) -> None:
        """Plan and read again the queries whose SQL may now call another function; of incremental ones only policies call
        some.
        """
        for query in self._refresher:
            plan = query.plan
            if not isinstance(plan, IncrementalPlan) or (plan.rule is not None and plan.rule.calls):
                self._refresher.refresh(query, replan=True)

    def _missed(self, oids: set[int] | None) -> None:
        self._missed_tables = None if oids is None or self._missed_tables is None else self._missed_tables | oids

    # -- the catalog -----------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Load the catalog for the first time. Raises ``CatalogError``, ``psycopg.Error``."""
        await self._use(await self._catalog.load())

    async def keep_current(self) -> None:
        """Load the catalog again after each invalidation, forever."""
        while True:
            await self._catalog.invalidated()
            async for catalog in self._catalog.reload():
                await self._use(catalog)
            # Nothing is awaited in between: what is announced from here on is closed by the snapshot of the next load,
            # which names the transactions that this one's is too early for.
            missed, self._missed_tables = self._missed_tables, set()
            if missed != set():
                self.reconcile(missed)
            self._background.spawn(self._look_after_reload())
            self._background.changed()

    async def _look_after_reload(self) -> None:
        with contextlib.suppress(*UNREADABLE, psycopg.Error):  # checked again by ``watch``
            await self._look_at_privileges()

    def reconcile(self, oids: set[int] | None = None) -> None:
        """Read the queries over the tables ``oids`` (None: all) again as the transactions end that ran at the last load."""
        assert self._catalog.snapshot is not None
        self._background.spawn(self._reconcile(self._catalog.snapshot.in_progress, oids))

    async def _reconcile(self, running: Set[int], oids: set[int] | None) -> None:
        async for _ in ends_of(self._reader, running):
            for query in self._refresher:
                if oids is None or not query.tables.isdisjoint(oids):
                    self._refresher.refresh(query)

    async def _use(self, catalog: Catalog) -> None:
        async with self._apply_lock:
            changed = self._dispatcher.use(catalog)
            self._planner.use(self._dispatcher.catalog)
            self.replan(changed)
        self._log_unfollowed(catalog)

    def _log_unfollowed(self, catalog: Catalog) -> None:
        tables = catalog.by_collection.values()
        lacking = [table.problem for table in tables if table.remediable and table.problem]
        lacking += [table.policies.problem for table in tables if table.policies and table.policies.problem]
        problem = catalog.problem or (lacking[0] if lacking else None)
        if len(lacking) > 1 and catalog.problem is None:
            problem = f"{problem} (and {len(lacking) - 1} more)"
        if problem != self._unfollowed:
            self._unfollowed = problem
            if problem is None:
                _log.info("tables_followed_again")
            else:
                _log.error("tables_not_followed", problem=problem)

    async def _look_at_privileges(self) -> None:
        async with self._reader.connection() as connection:
            grants = await grants_lacking(connection, None)
        if grants != self._withheld:
            self._withheld = grants
            _log.error("privileges_lost", grants=grants) if grants else _log.info("privileges_restored")

    # -- what is not announced -------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Detect changes that were not announced, forever."""
        failures = 0
        while True:
            wait = self._settings.watch_interval
            if failures:
                wait = min(wait, growing_pause(failures - 1, _RETRY_DELAY, _MAX_RETRY_DELAY))
            try:
                await self._until_look(wait)
                await self._catalog.current()  # a look that is not taken now would be late by an interval
                self._redefined(await self._catalog.unannounced())
                await self._look_at_privileges()
                failures = 0
            except (*UNREADABLE, psycopg.Error) as error:
                failures += 1
                _log.info("definitions_unreadable", error=str(error))

    async def _until_look(self, wait: float) -> None:
        """Wait until the next look at all definitions is due: after ``wait`` seconds, or roles have changed."""
        while wait > _ROLES_INTERVAL:
            await asyncio.sleep(_ROLES_INTERVAL)
            wait -= _ROLES_INTERVAL
            if await self._catalog.roles_changed():
                return
        await asyncio.sleep(wait)

    def _redefined(self, concerned: set[int] | None) -> None:
        if concerned == set():
            return
        _log.info("unannounced_definition_change", tables=sorted(concerned) if concerned else "all")
        self._missed(concerned)
        self._dispatcher.distrust(concerned)
        self._catalog.invalidate()
        self.replan(concerned)
