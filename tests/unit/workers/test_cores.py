"""How many workers there are if their number is not given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.app.settings import Settings
from server.workers.cores import cores


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("900000 100000", 4), ("what", 4), (None, 4)],
    ids=["none", "of two and a half", "of a half", "of more than there are", "unreadable", "no cgroup"],
)
def test_one_per_processor_within_the_quota_of_the_container(
    quota: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(f"{quota}\n")
    assert cores(file) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 8, 20])
def test_what_a_machine_has_is_divided_among_its_workers_and_each_has_something(count: int) -> None:
    settings = Settings(pool_size=8, rest_pool_size=4, channels_pool_size=8, planned_connections=1000)
    shares = [settings.of_worker(number, count) for number in range(1, count + 1)]
    assert sum(each.pool_size for each in shares) == max(8, count)
    assert sum(each.rest_pool_size for each in shares) == max(4, count)
    assert sum(each.channels_pool_size for each in shares) == max(8, 2 * count)
    assert sum(each.planned_connections or 0 for each in shares) == 1000
    assert min(each.pool_size for each in shares) >= 1
