"""Latencies of the last minutes: what of the observations counts, and how those of several nodes are put together."""

from __future__ import annotations

import json
from typing import Any

from engine.metrics.registry import Registry
from engine.metrics.stages import Stages
from server.observe.meters import Meters
from server.statistics.latencies import STEP, WINDOW, RecentLatencies, together


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


def test_nodes_are_put_together_and_one_of_another_version_is_not_counted() -> None:
    digests: list[Any] = []
    for micros in (700, 70_000):
        stages, recent = node()
        stages.write.observe(micros, 50)
        digests.append(json.loads(recent.text(0)))
    other = {**digests[0], "bounds": digests[0]["bounds"][1:]}
    without = {**digests[0], "counts": {"write": digests[0]["counts"]["write"]}}
    found = together([*digests, other])
    assert (found["write"].count, found["total"].count) == (100, 0)
    low, high = found["write"].quantile(0.25), found["write"].quantile(0.75)
    assert low is not None
    assert high is not None
    assert 0.0005 <= low <= 0.001 < 0.05 <= high <= 0.1, "in seconds, within the bounds"
    assert found["total"].quantile(0.5) is None
    assert together([without])["feed"].count == 0
    assert together([])["write"].count == 0
