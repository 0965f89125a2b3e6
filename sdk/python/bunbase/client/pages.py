"""A live query of which more and more is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Generic

from bunbase.client.emitter import Emitter
from bunbase.client.live_query import QuerySubscription
from bunbase.core.lists import difference
from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.model import Doc, Snapshot
from bunbase.protocol.type_variables import D_co

__all__ = ["LIMIT", "Pages"]

LIMIT = 9999
"""Documents: the server's limit of a query, less the one by which it is known whether there are more."""


class Pages(Emitter, Generic[D_co]):
    """Made by ``Query.pages``. All that is loaded is one live list: exact, without gaps between pages.

    Events: ``snapshot`` with a ``Snapshot`` of all that is loaded; ``error`` with a ``RealtimeError``: the query was
    rejected or has ended, or the next page was rejected.
    """

    _EVENTS = ("snapshot", "error")

    def __init__(self, follow: Callable[[int], QuerySubscription[D_co]], size: int) -> None:
        super().__init__()
        self._follow = follow
        self._size = size
        self._loaded = 0  # documents of the list that is shown
        self._shown: tuple[Doc[D_co], ...] | None = None
        self._has_more = self._over = False
        self.error: RealtimeError | None = None
        self._current: QuerySubscription[D_co] | None = None
        self._next: QuerySubscription[D_co] | None = self._begin(size)

    def __repr__(self) -> str:
        return f"<Pages, {len(self.docs)} documents{', more after them' if self._has_more else ''}>"

    @property
    def docs(self) -> tuple[Doc[D_co], ...]:
        """All that is loaded, as it is now."""
        return self._shown or ()

    @property
    def has_more(self) -> bool:
        """There are documents after these. False after an error that has ended the list."""
        return self._has_more

    def load_more(self) -> None:
        """Load the next page, which comes as a ``snapshot``. Without effect while one is loaded, and where there is none.
        Beyond 9,999 documents it is an ``error``.

        Raises:
            RealtimeError: ``RT_004``: they were unsubscribed.
        """
        if self._over:
            raise RealtimeError(ErrorCode.NOT_FOUND, "pages: unsubscribed")
        if not self._has_more or self._next is not None:
            return
        self.error = None
        if self._loaded < LIMIT:
            self._next = self._begin(min(self._loaded + self._size, LIMIT))
        else:
            text = f"pages: at most {LIMIT} documents can be loaded"
            self._failed(LIMIT + 1, RealtimeError(ErrorCode.INVALID_MESSAGE, text))

    async def unsubscribe(self) -> None:
        """No more snapshots."""
        self._has_more, self._over = False, True
        for live in (self._next, self._current):
            if live is not None:
                live.off("snapshot")
                await live.unsubscribe()

    def _begin(self, limit: int) -> QuerySubscription[D_co]:
        # One document more than is shown, for has_more. The longer list takes over with its first snapshot.
        live = self._follow(limit + 1)
        live.on("snapshot", lambda snapshot: self._take(limit, snapshot))
        live.on("error", lambda error: self._failed(limit, error))
        return live

    async def _take(self, limit: int, snapshot: Snapshot[D_co]) -> None:
        former = None
        if limit > self._loaded:
            former, self._current, self._next, self._loaded = self._current, self._next, None, limit
        docs, more = snapshot.docs[:limit], len(snapshot.docs) > limit
        changes, first = difference(self._shown or (), docs), self._shown is None
        if self._over:
            return
        if limit == self._loaded and (first or changes or more != self._has_more):
            self._shown, self._has_more = docs, more
            self._deliver("snapshot", replace(snapshot, docs=docs, changes=changes))
        if former is not None:
            former.off("snapshot")
            await former.unsubscribe()

    def _failed(self, limit: int, error: RealtimeError) -> None:
        if limit > self._loaded:
            self._next = None
        else:
            self._has_more = False
        self.error = error
        self._report_error(error)
