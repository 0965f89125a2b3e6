"""Live queries as they are written: ``collection(…).where(…).order_by(…).limit(…)``. Queries are immutable values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

from bunbase.client.live_query import Callback, LiveQuery, Snapshots
from bunbase.client.pages import Pages
from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.model import Snapshot

__all__ = ["Database", "Query"]

Operator = Literal[
    "==", "!=", "<", "<=", ">", ">=", "in", "not-in", "array-contains", "array-contains-any", "like", "ilike",
    "is-null", "is-not-null",
]  # fmt: skip
"""The operators of conditions, see the guide to live queries."""

Subscribe = Callable[[str, Mapping[str, Any], Callback | None, bool], LiveQuery]
"""Opens a live query: of a collection, for a query in the protocol's form, with a listener, with ``meta``."""


class Query:
    """A query over one collection. Each method returns a new query; the old one stays as it is."""

    def __init__(
        self, subscribe: Subscribe, collection: str, spec: Mapping[str, Any] | None = None, *, meta: bool = False
    ) -> None:
        self._subscribe = subscribe
        self._collection = collection
        self._spec = dict(spec or {})
        self._meta = meta

    @property
    def spec(self) -> dict[str, Any]:
        """The query in the protocol's form."""
        return dict(self._spec)

    def where(self, field: str | Mapping[str, Any], operator: Operator | None = None, value: object = None) -> Query:
        """One more condition that must hold.

        Args:
            field: a field's name, or a group such as ``{"or": [["author", "==", "ada"], ["likes", ">", 9]]}``.
            operator: how to compare; not with a group.
            value: the operand; none with ``is-null`` and ``is-not-null``.
        """
        condition: object = field
        if operator is not None:
            condition = [field, operator] if operator in ("is-null", "is-not-null") else [field, operator, value]
        return self._with(where=[*self._spec.get("where", ()), condition])

    def order_by(
        self,
        field: str,
        direction: Literal["asc", "desc"] = "asc",
        nulls: Literal["nulls-first", "nulls-last"] | None = None,
    ) -> Query:
        """One more sort key. Nulls are last ascending and first descending, unless ``nulls`` is set."""
        key = [field, direction] if nulls is None else [field, direction, nulls]
        return self._with(orderBy=[*self._spec.get("orderBy", ()), key])

    def limit(self, count: int) -> Query:
        """At most so many documents."""
        return self._with(limit=count)

    def start_at(self, *values: object) -> Query:
        """From this place in the order on: values of the sort keys, then of the primary key."""
        return self._with(startAt=list(values))

    def start_after(self, *values: object) -> Query:
        """From behind this place in the order on."""
        return self._with(startAfter=list(values))

    def end_at(self, *values: object) -> Query:
        """Up to this place in the order."""
        return self._with(endAt=list(values))

    def end_before(self, *values: object) -> Query:
        """Up to before this place in the order."""
        return self._with(endBefore=list(values))

    def sql(self, text: str, params: list[object] | tuple[object, ...] = ()) -> Query:
        """One ``SELECT`` in place of conditions; ``$1`` … are ``params``."""
        return Query(self._subscribe, self._collection, {"sql": text, "params": list(params)}, meta=self._meta)

    def with_meta(self) -> Query:
        """With the annotations of transactions: ``Snapshot.meta`` is what ``realtime.annotate()`` was given by the one that
        made the changes.
        """
        return Query(self._subscribe, self._collection, self._spec, meta=True)

    def on_snapshot(self, callback: Callback) -> LiveQuery:
        """Subscribe; ``callback`` is called with every ``Snapshot``, the first with all rows as ``added``.

        ``error`` listeners of the result are called if the query is rejected or ends.
        """
        return self._subscribe(self._collection, self._spec, callback, self._meta)

    def snapshots(self) -> Snapshots:
        """Subscribe, as an async iterator (and context manager) of ``Snapshot``.

        A consumer that is slower than the changes gets fewer snapshots, each with the difference to the one before.
        """
        return Snapshots(self._subscribe(self._collection, self._spec, None, self._meta))

    async def get(self, *, timeout: float = 30.0) -> Snapshot:
        """The result as it is now. No subscription is left behind.

        Raises:
            RealtimeError: the query is rejected; ``RT_001``: it takes longer than ``timeout`` seconds.
        """
        async with self.snapshots() as snapshots:
            try:
                async with asyncio.timeout(timeout):
                    return await anext(snapshots)
            except TimeoutError:
                raise RealtimeError(ErrorCode.CONNECTION_FAILED, f"no result within {timeout:g} s") from None

    def pages(self, size: int, callback: Callback | None = None) -> Pages:
        """Subscribe to the first ``size`` documents, and to more with each ``load_more()``: at most 9,999.

        ``callback`` is called with every ``Snapshot`` of all that is loaded.
        """
        pages = Pages(
            lambda count: self._subscribe(self._collection, {**self._spec, "limit": count}, None, self._meta), size
        )
        if callback is not None:
            pages.on("snapshot", callback)
        return pages

    def _with(self, **more: object) -> Query:
        return Query(self._subscribe, self._collection, {**self._spec, **more}, meta=self._meta)


class Database:
    """Where live queries begin."""

    def __init__(self, subscribe: Subscribe) -> None:
        self._subscribe = subscribe

    def collection(self, name: str) -> Query:
        """All rows of a table that was exposed under ``name``."""
        return Query(self._subscribe, name)
