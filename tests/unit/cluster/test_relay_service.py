"""A relay whose terms end because NATS is slow."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.cluster.settings import ClusterSettings
from engine.feed.settings import FeedSettings
from server.analytics.settings import AnalyticsSettings
from server.cluster import relay_service
from server.cluster.relay_service import RelayService


def test_terms_that_end_because_nats_did_not_answer_give_the_next_ones_more_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1.0
    monkeypatch.setattr(relay_service, "time", SimpleNamespace(monotonic=lambda: now))
    cluster = ClusterSettings(urls=(), slot="s")
    relay = RelayService("", FeedSettings(slot_name="s"), cluster, "first", "1", AnalyticsSettings())

    def times() -> tuple[float, float]:
        term = relay._of_term()
        return term.publish_timeout / cluster.publish_timeout, term.answer / cluster.answer

    assert times() == (1, 1)
    for ending, factor in (("lock_lost", 1), ("nats", 2), ("feed", 2), ("nats", 4), ("nats", 4)):
        relay._count(ending)
        assert times() == (factor, factor)
    now += 61 * cluster.lease
    assert times() == (1, 1)
    assert relay.ended == {"nats": 3, "lock_lost": 1, "feed": 1}
