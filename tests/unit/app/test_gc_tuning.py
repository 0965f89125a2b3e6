"""How many objects one collection of young ones may free: the pause that everything else sees."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from server.app.gc_tuning import share_interpreter, tune_gc


@pytest.fixture
def tuned() -> Iterator[None]:
    before = gc.get_threshold()
    tune_gc()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("tuned")
def test_garbage_of_many_requests_is_freed_in_small_parts() -> None:
    freed: list[int] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "stop":
            freed.append(info["collected"])

    gc.callbacks.append(note)
    try:
        for _ in range(100_000):
            cycle: list[object] = []
            cycle.append(cycle)
    finally:
        gc.callbacks.remove(note)
    assert sum(freed) > 90_000
    assert max(freed) <= 6_000


def test_a_thread_that_computes_is_interrupted_for_the_event_loop_before_a_turn_has_become_long() -> None:
    before = sys.getswitchinterval()
    try:
        share_interpreter()
        assert sys.getswitchinterval() < 0.001
    finally:
        sys.setswitchinterval(before)
