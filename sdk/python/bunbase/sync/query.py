"""Live queries of synchronous code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast, overload

from bunbase.client.query import Query
from bunbase.client.query_builder import QueryBuilder
from bunbase.client.realtime import Realtime
from bunbase.protocol.expected import expect_optional_timeout, expect_text, expect_type
from bunbase.protocol.model import Count, Snapshot
from bunbase.protocol.type_variables import D, D_co
from bunbase.sync.iterator import SyncIterator
from bunbase.sync.loop_thread import LoopThread
from bunbase.sync.pages import SyncPages

__all__ = ["SyncDB", "SyncDatabase", "SyncQuery"]


class SyncQuery(QueryBuilder[D_co]):
    """A query over one collection. Each method of its conditions and order returns a new query.

    In brackets the type of its documents, for type checkers, as ``SyncDatabase.collection`` was given it.
    """

    def __init__(self, thread: LoopThread, realtime: Realtime, collection: str) -> None:
        super().__init__(realtime._live, collection)
        self._thread = thread
        self._realtime = realtime

    @overload
    def select(self, field: str, *more: str) -> SyncQuery: ...

    @overload
    def select(self, field: str, *more: str, document: type[D]) -> SyncQuery[D]: ...

    def select(self, field: str, *more: str, document: type[Mapping[str, Any]] | None = None) -> SyncQuery[Any]:
        """Documents with these fields alone, and the primary key, see ``Query.select``."""
        expect_type("document", document)
        return cast("SyncQuery[Any]", self._with(select=[field, *more]))

    def snapshots(
        self, *, timeout: float | None = None, meta: bool = False, fresh: bool = False
    ) -> SyncIterator[Snapshot[D_co]]:
        """Subscribe, as an iterator (and context manager) of ``Snapshot``.

        A consumer that is slower than the changes gets fewer snapshots, each with the difference to the one before.

        Args:
            timeout: seconds without a new snapshot after which the iteration ends; without it, it goes on.
            meta: see ``Query.on_snapshot``.
            fresh: see ``Query.on_snapshot``.
        """
        expect_optional_timeout(timeout)
        return self._thread.run(self._snapshots(timeout, meta=meta, fresh=fresh))

    def get(self, *, timeout: float = 30.0) -> Snapshot[D_co]:
        """The result as it is now: with all that was committed before. No subscription is left behind.

        Raises:
            RealtimeError: the query is rejected; ``RT_001``: it takes longer than ``timeout`` seconds.
        """
        return self._thread.run(self._query().get(timeout=timeout))

    def live_count(self) -> SyncQuery[Count]:
        """The number of the documents, see ``Query.live_count``."""
        return cast("SyncQuery[Count]", self._with(count=True))

    def count(self, *, timeout: float = 30.0) -> int:
        """How many documents there are now, see ``Query.count``."""
        return self._thread.run(self._query().count(timeout=timeout))

    def pages(self, size: int, *, timeout: float | None = None) -> SyncPages[D_co]:
        """Subscribe to the first ``size`` documents, and to more with each ``load_more()``: at most 9,999.

        Args:
            size: the documents of a page.
            timeout: seconds without a new snapshot after which the iteration ends; without it, it goes on.
        """
        expect_optional_timeout(timeout)
        return self._thread.run(self._pages(size, timeout))

    async def _pages(self, size: int, timeout: float | None) -> SyncPages[D_co]:
        return SyncPages(self._thread, self._realtime, self._query().pages(size), timeout)

    async def _snapshots(self, timeout: float | None, *, meta: bool, fresh: bool) -> SyncIterator[Snapshot[D_co]]:
        snapshots = self._query().snapshots(meta=meta, fresh=fresh)
        return SyncIterator(self._thread, self._realtime, snapshots, snapshots.close, timeout)

    def _query(self) -> Query[D_co]:
        return Query(self._subscribe, self._collection, self._spec, options=self._options)


class SyncDatabase:
    """Where live queries begin."""

    def __init__(self, thread: LoopThread, realtime: Realtime) -> None:
        self._thread = thread
        self._realtime = realtime

    def __repr__(self) -> str:
        return f"<SyncDatabase of {self._realtime!r}>"

    @overload
    def collection(self, name: str) -> SyncQuery: ...

    @overload
    def collection(self, name: str, document: type[D]) -> SyncQuery[D]: ...

    def collection(self, name: str, document: type[Mapping[str, Any]] | None = None) -> SyncQuery[Any]:
        """All rows of a table that was exposed under ``name``. ``document``: as of ``Database.collection``."""
        expect_text("collection", name)
        expect_type("document", document)
        return SyncQuery(self._thread, self._realtime, name)


SyncDB = TypeVar("SyncDB", bound=SyncDatabase)
