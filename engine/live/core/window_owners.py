"""The windows in use and the queries that show each of them. No I/O.

Under policies subscribers with other claims have queries of their own, although many may see the same rows, as the members
of a team do. What their role and claims come to is in the condition of the window (:meth:`IncrementalPlan.given`), so
queries with equal conditions (``shown_key``) show one window: a change is applied, compared and encoded once for all of
them.

Invariant: a window that several queries show is at the position of the stream, never ahead of it. Two such windows with the
same ``shown_key`` have the same rows, since these follow from the condition and the table alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.live.core.shared_query import LiveQuery
from engine.live.core.table_windows import TableWindows
from engine.live.core.window import Window
from engine.query.compile.plan import IncrementalPlan

__all__ = ["Owner", "WindowOwners"]


@dataclass(slots=True)
class Owner:
    """Who uses a window: the queries that show it, and the table whose changes reach it."""

    live: TableWindows
    queries: dict[LiveQuery, None] = field(default_factory=dict)


class WindowOwners:
    """See the module. A query is of one window at most: that in its ``window``."""

    def __init__(self) -> None:
        self._owners: dict[Window, Owner] = {}
        self._shared: dict[str, Window] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __iter__(self) -> Iterator[Window]:
        """The windows as they are now."""
        return iter(list(self._owners))

    def get(self, window: Window | None) -> Owner | None:
        """Who uses ``window``; None if no query does any more."""
        return None if window is None else self._owners.get(window)

    def add(self, window: Window, live: TableWindows) -> None:
        """A window that no query shows yet."""
        self._owners[window] = Owner(live)

    def show(self, query: LiveQuery, window: Window) -> None:
        """``query``, which shows no window, shows ``window`` from now on."""
        self._owners[window].queries[query] = None
        query.window = window

    def leave(self, query: LiveQuery) -> Window | None:
        """``query`` goes on with the list that its subscribers have; returns its window if no query shows that any more."""
        owner = self.get(query.window)
        if owner is None:
            return None
        owner.queries.pop(query, None)
        if not owner.queries:
            return query.window
        query.rows, query.window = query.current(), None
        return None

    def remove(self, window: Window) -> Owner | None:
        """``window`` is not kept current any more; the queries that show it keep the list that their subscribers have."""
        owner = self._owners.pop(window, None)
        if owner is not None and self._shared.get(window.plan.shown_key) is window:
            del self._shared[window.plan.shown_key]
        return owner

    def alike(self, plan: IncrementalPlan) -> Window | None:
        """The window that queries of ``plan`` can show."""
        found = self._shared.get(plan.shown_key) if plan.shown_key else None
        # The table as the role sees it: an equal one under other definitions is another object.
        return found if found is not None and found.plan.table is plan.table else None

    def share(self, window: Window) -> None:
        """Let other queries show ``window``, which is at the position of the stream."""
        if window.plan.shown_key:
            self._shared[window.plan.shown_key] = window
