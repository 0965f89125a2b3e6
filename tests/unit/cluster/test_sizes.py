"""What a relay sends in one message is no more than NATS accepts, whatever a transaction touches."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.cluster.identity import DatabaseIdentity
from engine.cluster.messages import MAX_TOPICS, OVERHEAD, Pulse, sent_of
from engine.cluster.publisher import Publisher
from engine.cluster.settings import ClusterSettings
from engine.cluster.topics import COMMON, TopicIndex
from engine.feed.decoders.frames import WalFrames
from engine.feed.feed import ServerIdentity
from engine.feed.startup import Processes
from engine.feed.table_interest import CHANNEL_TOPICS
from engine.relay.messages import Part, Passed
from engine.relay.topic import Topics

SERVER = ServerIdentity("7", 1, 100, Processes(datetime(2026, 1, 1, tzinfo=UTC), frozenset({1})))
HEADERS = 400  # bytes of JetStream's
PAYLOAD = 1 << 20  # that NATS accepts
FAR = 1 << 62  # positions that need the most bytes
TABLES = range(2**32 - 10_001, 2**32 - 1)


def term() -> Publisher:
    """A relay that has begun, and has no connection to NATS."""
    pulse = Pulse("a", "pgoutput", SERVER, 1, "streaming", None, 0)
    made = Publisher(
        ClusterSettings(urls=(), slot="app", window=1 << 30),
        "a",
        DatabaseIdentity("7", 1, "app"),
        lambda: pulse,
    )
    made._begun.set()
    made._chunk, made.generation, made.position = PAYLOAD - OVERHEAD, FAR, FAR
    made._index = TopicIndex(FAR)
    return made


@pytest.mark.parametrize("touched", [frozenset({*TABLES, *CHANNEL_TOPICS}), None], ids=["named", "all"])
async def test_a_transaction_that_touches_ten_thousand_topics_fits(touched: frozenset[int] | None) -> None:
    relay = term()
    for topic in (*TABLES, *CHANNEL_TOPICS):
        await relay.publish(Passed(relay.position, relay.position + 8), relay.position + 8, Topics(topic))
    most = 0
    for topic in (*CHANNEL_TOPICS, *TABLES[:100]):  # some have had events since the last sign of life
        await relay.publish(Passed(relay.position, relay.position + 8), relay.position + 8, Topics(topic))
        frames = WalFrames(relay.position, relay.position + 8, 1, 0, 0, False, (), (b"x" * PAYLOAD,))
        await relay.publish(Part(relay.position, frames), relay.position + 8, Topics(COMMON, touched))
    for each in relay.queue._all:
        assert len(each.data) + HEADERS <= PAYLOAD
        others = sent_of(each.data).others or {}
        most = max(most, len(others))
    assert 100 < most <= MAX_TOPICS + 1
