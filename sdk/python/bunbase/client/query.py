"""Live queries as they are followed: with a callback, as snapshots, once, or page by page."""

from __future__ import annotations

import asyncio

from bunbase.client.live_query import Callback, LiveQuery, Snapshots
from bunbase.client.pages import Pages
from bunbase.client.query_builder import QueryBuilder, Subscribe
from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.model import Snapshot

__all__ = ["Database", "Query", "counted"]


class Query(QueryBuilder):
    """A query over one collection. Each method of its conditions and order returns a new query."""

    def on_snapshot(self, callback: Callback) -> LiveQuery:
        """Subscribe; ``callback`` is called with every ``Snapshot``, the first with all rows as ``added``.

        ``error`` listeners of the result are called if the query is rejected or ends.
        """
        return self._subscribe(self._collection, self._spec, callback, self._options)

    def snapshots(self) -> Snapshots:
        """Subscribe, as an async iterator (and context manager) of ``Snapshot``.

        A consumer that is slower than the changes gets fewer snapshots, each with the difference to the one before.
        """
        return Snapshots(self._subscribe(self._collection, self._spec, None, self._options))

    async def get(self, *, timeout: float = 30.0) -> Snapshot:
        """The result as it is now: with all that was committed before. No subscription is left behind.

        Raises:
            RealtimeError: the query is rejected; ``RT_001``: it takes longer than ``timeout`` seconds.
        """
        async with self.fresh().snapshots() as snapshots:
            try:
                async with asyncio.timeout(timeout):
                    return await anext(snapshots)
            except TimeoutError:
                raise RealtimeError(ErrorCode.CONNECTION_FAILED, f"no result within {timeout:g} s") from None

    async def count(self, *, timeout: float = 30.0) -> int:
        """How many documents there are now, of those that the user may see; with a limit at most so many.

        PostgreSQL counts: no document is sent. What holds for queries that are read again, such as ``max_query_cost``,
        holds for a count. Raises as ``get`` does.
        """
        return counted(await self.live_count().get(timeout=timeout))

    def pages(self, size: int, callback: Callback | None = None) -> Pages:
        """Subscribe to the first ``size`` documents, and to more with each ``load_more()``: at most 9,999.

        ``callback`` is called with every ``Snapshot`` of all that is loaded.
        """
        pages = Pages(
            lambda count: self._subscribe(self._collection, {**self._spec, "limit": count}, None, self._options), size
        )
        if callback is not None:
            pages.on("snapshot", callback)
        return pages


def counted(snapshot: Snapshot) -> int:
    """The number in the one document of a count."""
    count: int = snapshot.docs[0].data["count"]
    return count


class Database:
    """Where live queries begin."""

    def __init__(self, subscribe: Subscribe) -> None:
        self._subscribe = subscribe

    def __repr__(self) -> str:
        return "<Database>"

    def collection(self, name: str) -> Query:
        """All rows of a table that was exposed under ``name``."""
        return Query(self._subscribe, name)
