"""A query that has ended is shared no more, whether it has subscribers or is kept for the next one."""

from __future__ import annotations

from types import SimpleNamespace

from engine.errors import QueryRejectedError, SubscriptionFailedError
from engine.live.core.document_changes import WindowEvent
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.live.query_registry import QueryRegistry
from tests.support.values.message_stream import plan_for


class Play:
    """A registry, and what its subscribers received last."""

    def __init__(self) -> None:
        self.forgotten: list[LiveQuery] = []
        self.registry = QueryRegistry(3600.0, self.forgotten.append)
        self.received: list[QueryRejectedError | None] = []

    def query(self) -> tuple[LiveQuery, bool]:
        return self.registry.obtain(plan_for("room"), "messages", {})

    def subscribe(self, query: LiveQuery) -> Subscription:
        subscription = Subscription(query, self._deliver, SimpleNamespace(position=0), self.registry.release)
        query.subscriptions[subscription] = None
        return subscription

    def _deliver(self, _: Subscription, event: WindowEvent) -> None:
        self.received.append(event.error)


async def test_the_end_of_a_query_releases_its_subscriptions_and_forgets_it() -> None:
    play = Play()
    query, _ = play.query()
    first, second = play.subscribe(query), play.subscribe(query)
    first.begin()
    second.begin()
    second.pause()
    play.received.clear()
    error = SubscriptionFailedError("the table was dropped")
    query.end(7, error)
    assert (len(play.registry), play.registry.idle_weight, query.subscriptions) == (0, 0, {})
    assert play.received == [error], "the paused one receives it when it resumes"
    second.resume()
    assert play.received == [error, error]
    for subscription in (first, second):  # as a client does that unsubscribes
        subscription.cancel()
    again, is_new = play.query()
    assert is_new
    assert again is not query


async def test_a_query_that_ends_without_subscribers_is_not_given_to_the_next_one() -> None:
    play = Play()
    query, _ = play.query()
    play.subscribe(query).cancel()
    assert play.query() == (query, False), "kept for the next one"
    play.subscribe(query).cancel()
    query.end(7, SubscriptionFailedError("the table was dropped"))
    again, is_new = play.query()
    assert is_new
    assert (len(play.registry), play.registry.idle_weight) == (1, 0)
    play.subscribe(again).cancel()
    assert play.registry.idle_weight > 0
    play.registry.close()
