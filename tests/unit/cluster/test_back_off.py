"""How long a node waits before it looks for the stream again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from tenacity import RetryCallState

from engine.cluster.feed import ClusterFeed
from engine.cluster.nats_errors import NatsFailedError
from engine.cluster.settings import ClusterSettings
from engine.feed.buffer import EventBuffer
from engine.feed.settings import FeedSettings
from engine.relay import followed
from engine.relay.followed import RelayFailedError


class Node(ClusterFeed):
    """A node of which each session lasts for some seconds, and fails; after the last one it must not try again."""

    def __init__(self, lengths: list[float]) -> None:
        super().__init__("", FeedSettings(node_id="n"), ClusterSettings(urls=(), slot="s"))
        self.now = 0.0
        self.reasons: list[str | None] = []
        self._lengths = iter(lengths)
        self.on_state(lambda state: self.reasons.append(state.reason))

    async def run(self) -> None:
        self._changed, self._buffer = asyncio.Event(), EventBuffer(1)
        await self._run()

    async def _session(self) -> None:
        length = next(self._lengths, None)
        if length is None:
            raise RelayFailedError("the test is over")
        self.now += length
        raise NatsFailedError(f"NATS has gone after {length:g} s")


async def test_pauses_grow_with_failures_and_begin_anew_after_a_session_that_was_healthy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node, attempts = Node([1, 1, 1, 60, 1, 1, 3600, 3600, 1]), list[int]()

    def pause(attempt: RetryCallState) -> float:
        attempts.append(attempt.attempt_number)
        return 0

    monkeypatch.setattr(followed, "_PAUSE", pause)
    monkeypatch.setattr(followed, "time", SimpleNamespace(monotonic=lambda: node.now))
    with pytest.raises(RelayFailedError):
        await node.run()
    assert attempts == [1, 2, 3, 1, 2, 1]
    assert "NATS has gone after 60 s" in str(node.reasons[1])
