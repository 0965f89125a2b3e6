"""Where the time from a commit to its delivery goes.

A message passes through four stages, each of which begins where the one before it ends::

    commit ─ feed ─> transaction complete here ─ apply ─> given to the encoder ─ encode ─> a frame ─ write ─> written

``feed`` is observed once per transaction, ``apply`` and ``encode`` once per frame, which all its receivers share, and
``write`` once per receiver. ``feed`` spans two clocks: that of the database and ours.
"""

from __future__ import annotations

from time import time_ns
from typing import Final

from engine.metrics.deliveries import Deliveries
from engine.metrics.instruments import LATENCIES
from engine.metrics.registry import Registry
from engine.transaction import Transaction

__all__ = ["STAGES", "Stages"]

STAGES: Final = ("feed", "apply", "encode", "write")

_REMEMBERED: Final = (
    1024  # transactions whose arrival is known at most; for other events the stage apply is not observed
)


class Stages:
    """The latencies by stage, in microseconds. Commit times, as the events carry them, identify the transactions.

    ``traced``: notes the same times of single transactions; None: none is traced.
    """

    def __init__(self, registry: Registry) -> None:
        family = registry.histograms(
            "realtime_stage_latency_seconds",
            "Time that messages spend in each stage from commit to delivery: feed, apply, encode, write.",
            LATENCIES,
            "stage",
            scale=1e-6,
        )
        self._feed, self._apply, self._encode, self.write = map(family.of, STAGES)
        self._received: dict[int, int] = {}
        self.traced: Deliveries | None = None

    def received(self, committed_at: int, received_at: int) -> None:
        """A transaction that was complete at ``received_at`` is about to be applied."""
        self._feed.observe(received_at - committed_at)
        if len(self._received) >= _REMEMBERED:
            self._received.clear()
        self._received[committed_at] = received_at
        if self.traced is not None:
            self.traced.begin(committed_at, received_at)

    def applied(self, transaction: Transaction) -> None:
        """A transaction was applied."""
        if self.traced is not None:
            self.traced.applied(transaction, time_ns() // 1000)

    def begin_encoding(self, committed_at: int | None) -> int:
        """An event is about to be encoded; returns now, or 0 for one that is no commit's."""
        if committed_at is None:
            return 0
        now = time_ns() // 1000
        received_at = self._received.get(committed_at)
        if received_at is not None:
            self._apply.observe(now - received_at)
        return now

    def end_encoding(self, began: int, committed_at: int | None, channel: str | None) -> int:
        """The frame is made; ``began`` as ``begin_encoding`` returned it; ``channel`` as of the frame. Returns now, or 0."""
        if not began or committed_at is None:
            return 0
        now = time_ns() // 1000
        self._encode.observe(now - began)
        if self.traced is not None:
            self.traced.encoded(committed_at, channel, began, now)
        return now
