"""Latencies of the last minutes: what of the observations counts."""

from __future__ import annotations

import json

from engine.metrics.registry import Registry
from engine.metrics.stages import Stages
from server.observe.meters import Meters
from server.statistics.latencies import STEP, WINDOW, RecentLatencies


def node() -> tuple[Stages, RecentLatencies]:
    registry = Registry()
    return Meters(registry).stages, RecentLatencies(registry)


def counted(recent: RecentLatencies, now: float) -> dict[str, int]:
    return {name: sum(counts) for name, counts in json.loads(recent.text(now))["counts"].items()}


def test_what_was_observed_in_the_window_counts_and_nothing_older() -> None:
    stages, recent = node()
    stages.write.observe(700)  # before the first look
    assert counted(recent, 1000)["write"] == 1
    stages.write.observe(800, 3)
    assert counted(recent, 1000 + STEP / 2)["write"] == 1, "it is looked at in steps"
    assert counted(recent, 1000 + STEP)["write"] == 4
    assert counted(recent, 1000 + WINDOW)["write"] == 3, "what the first look saw is over"
    assert counted(recent, 1000 + WINDOW + STEP)["write"] == 0
    stages.write.observe(900)
    assert counted(recent, 5000)["write"] == 1
    assert counted(recent, 5000)["feed"] == 0
