"""The live queries by visibility and plan key. Subscribers with the same two share one query; a query without subscribers is
kept for a while in case one returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from engine.identity.visibility import Viewer, Visibility
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.live.plan_cache import Plan
from engine.live.query_accounts import ConnectionAccount

__all__ = ["QueryRegistry"]


class QueryRegistry:
    """The live queries that are kept, by visibility and plan key.

    ``idle_ttl``: seconds that a query without subscribers is kept for the next one; then ``forget`` is called with it.
    ``room``: bytes that such queries may hold together, as estimated; beyond it the oldest one is forgotten at once.
    A query that has ended gets no new subscribers.
    """

    def __init__(self, idle_ttl: float, forget: Callable[[LiveQuery], None], room: int = 64 << 20) -> None:
        self._idle_ttl = idle_ttl
        self._forget = forget
        self._room = room
        self._queries: dict[tuple[Visibility, str], LiveQuery] = {}
        self._accounts: dict[Subscription, ConnectionAccount] = {}
        self._idle: dict[LiveQuery, tuple[asyncio.TimerHandle, int]] = {}
        self.idle_weight = 0

    def __len__(self) -> int:
        return len(self._queries)

    def __iter__(self) -> Iterator[LiveQuery]:
        return iter(self._queries.values())

    def find(self, plan: Plan) -> LiveQuery | None:
        """The query of that plan, if it is kept."""
        return self._queries.get((plan.visibility, plan.key))

    def obtain(
        self, plan: Plan, collection: str, spec: Mapping[str, object], viewer: Viewer | None = None
    ) -> tuple[LiveQuery, bool]:
        """The query of that plan, made for ``viewer``, and whether it is new."""
        query = self.find(plan)
        if query is not None and query.ended:
            self._remove(query)
            query = None
        if query is None:
            query = self._queries[plan.visibility, plan.key] = LiveQuery(plan.visibility, plan.key, collection, spec)
            query.plan, query.viewer = plan, viewer or query.viewer
            return query, True
        self._wanted(query)
        return query, False

    def add(self, subscription: Subscription, account: ConnectionAccount | None) -> None:
        """Another subscriber of its query, which ``account`` holds until it is released."""
        subscription.query.subscriptions[subscription] = None
        if account is not None:
            self._accounts[subscription] = account
            account.hold(subscription.query)

    def release(self, subscription: Subscription) -> None:
        """Remove a subscription from its query; a query without subscribers is kept for ``idle_ttl`` seconds."""
        query = subscription.query
        query.subscriptions.pop(subscription, None)
        if (account := self._accounts.pop(subscription, None)) is not None:
            account.release(query)
        self._left(query)

    def _left(self, query: LiveQuery) -> None:
        if query.subscriptions or query in self._idle or not self._is_kept(query):
            return
        if query.ended:
            self._remove(query)
        else:
            loop = asyncio.get_running_loop()
            query.opening = None
            weight = query.weight()
            self._idle[query] = loop.call_later(self._idle_ttl, self._let_go, query), weight
            self.idle_weight += weight
            while self.idle_weight > self._room:
                self._let_go(next(iter(self._idle)))

    def move(self, subscription: Subscription, query: LiveQuery) -> None:
        """Attach a detached subscription to ``query``; the former one is kept as after :meth:`release`."""
        former = subscription.query
        subscription.attach(query)
        if query is not former:
            if (account := self._accounts.get(subscription)) is not None:
                account.release(former)
                account.hold(query)
            self._left(former)

    def close(self) -> None:
        """Cancel all timers."""
        for handle, _ in self._idle.values():
            handle.cancel()

    def _is_kept(self, query: LiveQuery) -> bool:
        return self._queries.get((query.visibility, query.key)) is query

    def _wanted(self, query: LiveQuery) -> None:
        entry = self._idle.pop(query, None)
        if entry is not None:
            entry[0].cancel()
            self.idle_weight -= entry[1]

    def _let_go(self, query: LiveQuery) -> None:
        self._forget(query)
        self._remove(query)

    def _remove(self, query: LiveQuery) -> None:
        self._wanted(query)
        if self._is_kept(query):
            del self._queries[query.visibility, query.key]
