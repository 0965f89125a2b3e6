"""Plans queries under current definitions, while the database or the stream may be behind.

A query may be rejected because it names an object newer than the catalog, whose announcement is still in the stream. So a
rejection first waits for the stream, and is final if the catalog has not changed meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import psycopg

from engine.catalog.watcher import CatalogWatcher
from engine.errors import (
    DatabaseUnavailableError,
    InvalidQueryError,
    PermissionDeniedError,
    PrivilegeLostError,
    QueryRejectedError,
    RealtimeError,
    UnknownCollectionError,
)
from engine.identity.visibility import Viewer
from engine.live.catch_up import CATCH_UP, catch_up
from engine.live.core.shared_query import LiveQuery
from engine.live.plan_cache import Plan, Planner
from engine.postgres.errors import UNREADABLE, in_words, is_clients, is_statements
from engine.postgres.snapshot_reader import Reader
from engine.stream.driver import StreamDriver

__all__ = ["SubscriptionPlanner"]

_RETRY = 0.1  # seconds between two attempts to reach the database
_DATABASE_TIMEOUT = 5.0  # seconds to try to reach the database before a query is refused
_CUT_OFF = 3  # times the check of a query may be cut off before the query is rejected


class SubscriptionPlanner:
    """See the module."""

    def __init__(self, planner: Planner, catalog: CatalogWatcher, reader: Reader, stream: StreamDriver) -> None:
        self._planner = planner
        self._catalog = catalog
        self._reader = reader
        self._stream = stream

    async def plan(
        self, viewer: Viewer, collection: str, spec: Mapping[str, object], *, with_cost: bool = False
    ) -> Plan:
        """The plan of a new subscription, ``with_cost`` if it is re-read. Raises ``QueryRejectedError``, which is final."""
        deadline = time.monotonic() + _DATABASE_TIMEOUT
        cut_off = 0
        while True:
            await self._catalog.current(CATCH_UP)
            version = self._catalog.version
            try:
                plan = await self._planned(viewer, collection, spec, with_cost)
            except QueryRejectedError as refused:
                caught_up = await catch_up(self._reader, self._stream)
                if self._outdated(version):
                    continue
                if not caught_up and isinstance(refused, UnknownCollectionError | PermissionDeniedError):
                    raise DatabaseUnavailableError(
                        f"{refused}; but the server is behind the database: try again"
                    ) from refused
                raise
            except UNREADABLE as error:  # perhaps only the connection that the pool gave us
                cut_off += isinstance(error, psycopg.errors.QueryCanceled)
                rejected = _unreadable(error, cut_off, late=time.monotonic() > deadline)
                if rejected is not None:
                    raise rejected from error
                await asyncio.sleep(_RETRY)
                continue
            except psycopg.Error as error:
                if not is_clients(error):
                    raise
                raise InvalidQueryError(f"the query cannot be read: {error.diag.message_primary}") from error
            if not self._outdated(version):
                return plan

    async def _planned(self, viewer: Viewer, collection: str, spec: Mapping[str, object], with_cost: bool) -> Plan:
        plan = await self._planner.plan(viewer, collection, spec)
        return await self._planner.with_cost(viewer, plan) if with_cost else plan

    async def plan_again(self, viewer: Viewer, collection: str, spec: Mapping[str, object]) -> Plan | None:
        """Another plan of an accepted query; None: the catalog was out of date; plan again when it is current.

        Also a change that was not announced makes a rejection void.

        Raises ``QueryRejectedError``, ``psycopg.Error``, or what a database that is away makes.
        """
        version = self._catalog.version
        try:
            return await self._planner.plan(viewer, collection, spec)
        except PrivilegeLostError:
            raise  # by the database as it is now: no definition explains it
        except QueryRejectedError:
            await catch_up(self._reader, self._stream)
            if not self._outdated(version) and self._catalog.is_current and await self._catalog.unannounced() != set():
                self._catalog.invalidate()
            if not self._outdated(version):
                raise
            return None

    def is_same(self, one: Viewer, other: Viewer, query: LiveQuery) -> bool:
        """Whether two viewers, of whom the first has ``query``, see the same of it under the present definitions: neither it
        nor policies read a claim that differs.
        """
        return self._planner.is_same(one, other, query.collection, query.spec, query.plan)

    def _outdated(self, version: int) -> bool:
        """Whether the catalog has changed since ``version``, under which a query was planned or rejected."""
        return version != self._catalog.version


def _unreadable(error: Exception, cut_off: int, *, late: bool) -> RealtimeError | None:
    """Why a query that met ``error`` as it was planned is rejected; None if it is to be planned again."""
    if isinstance(error, psycopg.Error) and is_statements(error):
        return InvalidQueryError(f"the query cannot be read: {error.diag.message_primary}")
    if cut_off >= _CUT_OFF:
        return InvalidQueryError("the query takes too long to check; make it simpler")
    return DatabaseUnavailableError(in_words(error)) if late else None
