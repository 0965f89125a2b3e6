"""Live queries as they are followed: with a callback, as snapshots, once, or page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar, cast, overload

from bunbase.client.live_query import Callback, QuerySubscription, Snapshots
from bunbase.client.pages import LIMIT, Pages
from bunbase.client.query_builder import QueryBuilder, Subscribe
from bunbase.protocol.expected import expect_function, expect_text, expect_timeout, expect_type
from bunbase.protocol.model import Count, Snapshot
from bunbase.protocol.type_variables import D, D_co

__all__ = ["DB", "Database", "Query", "counted"]


class Query(QueryBuilder[D_co]):
    """A query over one collection. Each method of its conditions and order returns a new query.

    In brackets the type of its documents, for type checkers, as ``Database.collection`` was given it.
    """

    @overload
    def select(self, field: str, *more: str) -> Query: ...

    @overload
    def select(self, field: str, *more: str, document: type[D]) -> Query[D]: ...

    def select(self, field: str, *more: str, document: type[Mapping[str, Any]] | None = None) -> Query[Any]:
        """Documents with these fields alone, and the primary key, which they always have. The last ``select`` counts.

        A change of other fields is no snapshot, unless a row enters, leaves or moves by it. The order and the conditions may
        have fields that are not selected; a document as a cursor needs those of the order.

        Args:
            field: the name of a field.
            more: the names of others.
            document: the type of these documents, such as a ``TypedDict`` with the key and the fields, for type checkers;
                without it they have documents of any fields.
        """
        expect_type("document", document)
        return cast("Query[Any]", self._with(select=[field, *more]))

    def on_snapshot(
        self, callback: Callback[D_co], *, meta: bool = False, fresh: bool = False
    ) -> QuerySubscription[D_co]:
        """Subscribe; ``callback`` is called with every ``Snapshot``, the first with all rows as ``added``.

        ``error`` listeners of the result are called if the query is rejected or ends.

        Args:
            callback: a function, or a coroutine function.
            meta: ``Snapshot.meta`` is what ``realtime.annotate()`` was given in the transaction that made the changes.
            fresh: the first snapshot has all that was committed before, as with ``get()``. Else it may be a moment behind
                where others follow the same query, or did so until a moment ago; what it lacks follows.
        """
        expect_function("callback", callback)
        options = self._subscribed(meta=meta, fresh=fresh)._options
        return self._subscribe(self._collection, self._spec, callback, options)

    def snapshots(self, *, meta: bool = False, fresh: bool = False) -> Snapshots[D_co]:
        """Subscribe, as an async iterator (and context manager) of ``Snapshot``.

        A consumer that is slower than the changes gets fewer snapshots, each with the difference to the one before.

        Args:
            meta: as of ``on_snapshot``.
            fresh: as of ``on_snapshot``.
        """
        options = self._subscribed(meta=meta, fresh=fresh)._options
        return Snapshots(self._subscribe(self._collection, self._spec, None, options))

    async def get(self, *, timeout: float = 30.0) -> Snapshot[D_co]:
        """The result as it is now: with all that was committed before. No subscription is left behind.

        Raises:
            RealtimeError: the query is rejected; ``RT_001``: it takes longer than ``timeout`` seconds; without a
                connection its message has the reason for that.
        """
        expect_timeout(timeout)
        options = self._subscribed(meta=False, fresh=True)._options
        live = self._subscribe(self._collection, self._spec, None, options)
        async with Snapshots[D_co](live) as snapshots:
            try:
                async with asyncio.timeout(timeout):
                    return await anext(snapshots)
            except TimeoutError:
                raise live._manager.late(f"no result within {timeout:g} s") from None

    def live_count(self) -> Query[Count]:
        """The number of the documents, as a query of one document: ``{"count": 3}``."""
        return cast("Query[Count]", self._with(count=True))

    async def count(self, *, timeout: float = 30.0) -> int:
        """How many documents there are now, of those that the user may see; with a limit at most so many.

        PostgreSQL counts: no document is sent. What holds for queries that are read again, such as ``max_query_cost``,
        holds for a count. Raises as ``get`` does.
        """
        return counted(await self.live_count().get(timeout=timeout))

    def pages(self, size: int, callback: Callback[D_co] | None = None) -> Pages[D_co]:
        """Subscribe to the first ``size`` documents, and to more with each ``load_more()``: at most 9,999.

        ``callback`` is called with every ``Snapshot`` of all that is loaded.

        Raises:
            ValueError: ``size`` is no whole number from 1 to 9,999.
        """
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LIMIT:
            raise ValueError(f"size: a whole number from 1 to {LIMIT} is expected, not {size!r}")
        if callback is not None:
            expect_function("callback", callback)
        pages: Pages[D_co] = Pages(
            lambda count: self._subscribe(self._collection, {**self._spec, "limit": count}, None, self._options), size
        )
        if callback is not None:
            pages.on("snapshot", callback)
        return pages


def counted(snapshot: Snapshot[Count]) -> int:
    """The number in the one document of a count."""
    return snapshot.docs[0].data["count"]


class Database:
    """Where live queries begin."""

    def __init__(self, subscribe: Subscribe) -> None:
        self._subscribe = subscribe

    def __repr__(self) -> str:
        return "<Database>"

    @overload
    def collection(self, name: str) -> Query: ...

    @overload
    def collection(self, name: str, document: type[D]) -> Query[D]: ...

    def collection(self, name: str, document: type[Mapping[str, Any]] | None = None) -> Query[Any]:
        """All rows of a table that was exposed under ``name``.

        Args:
            name: of the collection.
            document: the type of its documents, such as a ``TypedDict`` that ``realtime types --py`` has written. It is for
                type checkers: nothing is checked or converted when the program runs. ``Realtime.database(TypedDatabase)``
                has them know the fields of queries, too.
        """
        expect_text("collection", name)
        expect_type("document", document)
        return Query(self._subscribe, name)


DB = TypeVar("DB", bound=Database)
