"""Keeps the catalog in step with the stream.

A definition change arrives in the stream as a message inside its transaction, and that can be before new snapshots show the
transaction. So a load only counts if a snapshot taken before it shows every transaction that announced a change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import psycopg
import structlog
from tenacity import RetryCallState, wait_random_exponential

from engine.catalog.load import CLAIMS_SETTING, load_catalog, load_marks, load_shared_mark
from engine.catalog.model import Catalog, Marks
from engine.catalog.policies import Policies
from engine.errors import BunbaseError, SubscriptionFailedError
from engine.postgres.errors import UNREADABLE
from engine.postgres.retry import Pause, error_of, until_done
from engine.postgres.snapshot import Snapshot
from engine.postgres.snapshot_reader import Reader

__all__ = ["CatalogWatcher"]

_log = structlog.get_logger(__name__)

_PASSING = 2.0  # seconds of failures that may pass by themselves: a table that is being dropped, a restart
_PAUSE: Final[Pause] = wait_random_exponential(multiplier=0.02, max=2)  # seconds: most changes are visible at once


class _NotVisibleError(BunbaseError):
    """No snapshot shows an announced change yet."""


class CatalogWatcher:
    """Loads the catalog, and knows whether it has to be loaded again.

    Args:
        reader: where to load it from.
        stream_generated: whether the decoder sends generated columns.
        claims_setting: the setting in which policies find claims.

    ``snapshot`` (a whole one) was taken before the last load, and so before any read that waited for it. ``obstacle``: why
    the last attempt to read definitions failed, ``failing_since``: when the first of those attempts did (monotonic seconds).
    ``looks``: how many comparisons by :meth:`unannounced` have begun, ``looked``: which of these was done last.
    """

    def __init__(self, reader: Reader, stream_generated: bool, claims_setting: str = CLAIMS_SETTING) -> None:
        self._reader = reader
        self._stream_generated = stream_generated
        self._claims_setting = claims_setting
        self._ready = asyncio.Event()
        self._invalid = asyncio.Event()
        self._unseen: set[int] = set()
        self._marks: Marks | None = None  # of the catalog in use
        self._shared_mark: str | None = None
        self._policies: dict[int, Policies] = {}
        self.snapshot: Snapshot | None = None
        self.obstacle: str | None = None
        self.failing_since: float | None = None
        self.version = 0
        self.looks = self.looked = 0

    @property
    def is_current(self) -> bool:
        """True unless a change was announced that the catalog does not have yet."""
        return self._ready.is_set()

    @property
    def problem(self) -> str | None:
        """Why definitions cannot be read, and what to do, in words; None if they can, or could two seconds ago."""
        if self.failing_since is None or time.monotonic() - self.failing_since < _PASSING:
            return None
        return (
            f"definitions cannot be read, lists may be out of date: {self.obstacle}; `realtime doctor` names what is "
            "missing, `realtime migrate` makes it again and `realtime grant` gives the server's role its privileges"
        )

    async def current(self, timeout: float | None = None) -> None:
        """Wait until the catalog is current. Raises ``SubscriptionFailedError`` after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not self._ready.is_set():  # it may be cleared again before a waiter gets to run
                    await self._ready.wait()
        except TimeoutError:
            reason = self.obstacle or "a change of definition is not visible yet"
            raise SubscriptionFailedError(
                f"the definitions of the tables cannot be read now ({reason}); try again"
            ) from None

    async def load(self) -> Catalog:
        """Load it for the first time. Raises ``CatalogError``, ``psycopg.Error``."""
        self.snapshot = await self._reader.snapshot(whole=True)
        catalog = await self._load()
        self._use(catalog)
        self._ready.set()
        return catalog

    def _use(self, catalog: Catalog) -> None:
        self._marks = catalog.marks
        self._shared_mark = None  # rights may have been others while it was loaded, between two looks
        tables = catalog.by_collection.values()
        self._policies = {table.oid: table.policies for table in tables if table.policies is not None}

    async def unannounced(self) -> set[int] | None:
        """The tables (oids) whose definitions, by their marks, are not those of the catalog in use; None: perhaps all.
        Empty if the catalog is invalidated meanwhile.

        Raises ``CatalogError``, ``psycopg.Error``, or what a database that is away makes.
        """
        version = self.version
        self.looks = look = self.looks + 1
        marks = await self._current_marks()
        self.looked = look
        if version != self.version or not self.is_current or self._marks is None:
            return set()
        return marks.changed(self._marks)

    async def roles_changed(self) -> bool:
        """Whether memberships or attributes of roles, settings of sessions, or owners of what policies read may have changed
        since the last call; true for the first one with a catalog. A cheap look at what no event trigger announces, to be
        followed by :meth:`unannounced`.

        Raises ``psycopg.Error``, or what a database that is away makes.
        """
        async with self._reader.connection() as connection:
            mark = await load_shared_mark(connection, self._policies.values())
        before, self._shared_mark = self._shared_mark, mark
        return mark != before

    async def _current_marks(self) -> Marks:
        try:
            async with self._reader.connection() as connection:
                marks = await load_marks(connection, self._policies)
        except (*UNREADABLE, psycopg.Error) as error:
            self._failed(error)
            raise
        self._succeeded()
        return marks

    def invalidate(self, xid: int = 0) -> None:
        """A definition changed, in transaction ``xid`` (0: unknown)."""
        self.version += 1
        if xid:
            self._unseen.add(xid)
        self._ready.clear()
        self._invalid.set()

    async def invalidated(self) -> None:
        """Wait until :meth:`reload` has something to do."""
        await self._invalid.wait()

    def forget(self) -> None:
        """What was announced may never have been: no snapshot will show it."""
        self._unseen.clear()

    async def reload(self) -> AsyncIterator[Catalog]:
        """Load until nothing newer was announced. The catalog is current when the last one that this yields is in use."""
        while not self._ready.is_set():
            version, catalog, snapshot = await until_done(
                self._load_visible, on=(_NotVisibleError, *UNREADABLE, psycopg.Error), failed=self._note, pause=_PAUSE
            )
            yield catalog
            self.snapshot = snapshot
            self._use(catalog)
            if version == self.version:
                self._unseen.clear()
                self._invalid.clear()
                self._ready.set()

    async def _load_visible(self) -> tuple[int, Catalog, Snapshot]:
        """Load it if a snapshot shows every announced change. Returns it with its version and that snapshot.

        Raises ``_NotVisibleError``; ``CatalogError`` and ``psycopg.Error`` also for a table that is being dropped.
        """
        version = self.version
        snapshot = await self._reader.snapshot(whole=True)
        if not all(snapshot.shows(xid) for xid in self._unseen):
            raise _NotVisibleError
        catalog = await self._load()
        if self._marks and catalog.marks and catalog.marks.settings != self._marks.settings:
            await self._reader.replace()  # an open session keeps what the database and its role gave it
            catalog = await self._load()
        self._succeeded()
        return version, catalog, snapshot

    def _note(self, attempt: RetryCallState) -> None:
        error = error_of(attempt)
        if error is not None and not isinstance(error, _NotVisibleError):
            self._failed(error)
            _log.warning("catalog_not_loaded", error=str(error).strip())

    def _failed(self, error: BaseException) -> None:
        self.obstacle = str(error).strip().split("\n", 1)[0]
        if self.failing_since is None:
            self.failing_since = time.monotonic()

    def _succeeded(self) -> None:
        self.obstacle = self.failing_since = None

    async def _load(self) -> Catalog:
        async with self._reader.connection() as connection:
            catalog = await load_catalog(
                connection, stream_generated=self._stream_generated, claims_setting=self._claims_setting
            )
        await self._reader.snapshot()  # later than what was loaded: it shows up to where that can be
        return catalog
