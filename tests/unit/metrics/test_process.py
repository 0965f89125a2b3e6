"""The metrics of the process and of Python move when what they count does."""

from __future__ import annotations

import gc
import mmap
import os
import resource
import sys
import time

import pytest

from engine.metrics.registry import Registry

MEGABYTES = 64 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="process_* are read from /proc")


def values() -> dict[str, float]:
    """The sums of the series, by name."""
    found: dict[str, float] = {}
    for family in Registry().exposed().collect():
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_memory_and_open_files_go_up_and_down() -> None:
    before = values()
    with mmap.mmap(-1, MEGABYTES) as memory, open(os.devnull, "rb"):
        memory.write(b"x" * MEGABYTES)
        during = values()
    after = values()
    for name in ("process_virtual_memory_bytes", "process_resident_memory_bytes"):
        assert during[name] > before[name] + MEGABYTES / 2, name
        assert after[name] < during[name] - MEGABYTES / 2, name
    assert during["process_open_fds"] > before["process_open_fds"]
    assert after["process_open_fds"] == before["process_open_fds"]
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert before["process_max_fds"] == soft


def test_processor_time_grows_and_the_start_stays() -> None:
    before, until = values(), time.process_time() + 0.05
    while time.process_time() < until:
        pass
    after = values()
    assert after["process_cpu_seconds_total"] > before["process_cpu_seconds_total"]
    assert after["process_start_time_seconds"] == before["process_start_time_seconds"] < time.time()
    assert after["python_info"] == 1


def test_the_garbage_collector_is_counted() -> None:
    before = values()
    for _ in range(10):
        circle: list[object] = []
        circle.append(circle)
    del circle
    gc.collect()
    after = values()
    assert after["python_gc_collections_total"] > before["python_gc_collections_total"]
    assert after["python_gc_objects_collected_total"] >= before["python_gc_objects_collected_total"] + 10
    assert after["python_gc_objects_uncollectable_total"] == sum(each["uncollectable"] for each in gc.get_stats())
