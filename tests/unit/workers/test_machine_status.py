"""What ``/health`` shows of several workers."""

from __future__ import annotations

from typing import Any

import pytest

from server.observe.health import is_ready
from server.workers.machine_status import of_machine


def status(worker: int, state: str = "ok", **more: Any) -> dict[str, Any]:
    streaming = state in ("ok", "draining")
    return {
        "status": state,
        "feed": {"state": "streaming" if streaming else "starting", "lagBytes": 0, "slot": f"slot_{worker}"},
        "problems": [],
        "queries": 1,
        "subscriptions": 2,
        "cacheBytes": 3,
        "channels": {"channels": 4} if state != "starting" else {},
        "connections": 5,
        "refusedAddresses": 6,
        "uptimeSeconds": 10 * worker,
        "worker": worker,
        "pid": 100 + worker,
        "residentBytes": 7,
        "cpuSeconds": 0.5,
    } | more


def test_numbers_are_sums_and_each_worker_is_shown() -> None:
    shown = of_machine([status(1), status(2, problems=["a table is locked"], status="degraded"), status(3)], 3)
    numbers = (
        "queries",
        "subscriptions",
        "cacheBytes",
        "connections",
        "refusedAddresses",
        "residentBytes",
        "cpuSeconds",
    )
    assert [shown[name] for name in numbers] == [3, 6, 9, 15, 18, 21, 1.5]
    assert shown["channels"] == {"channels": 12}
    assert (shown["status"], shown["problems"]) == ("degraded", ["a table is locked"])
    assert shown["uptimeSeconds"] == 30, "of the worker that answers"
    assert [each["pid"] for each in shown["workers"]] == [101, 102, 103]
    assert shown["workers"][0] == {
        "worker": 1,
        "pid": 101,
        "status": "ok",
        "connections": 5,
        "residentBytes": 7,
        "cpuSeconds": 0.5,
        "uptimeSeconds": 10,
    }


def test_a_worker_that_starts_or_does_not_answer_degrades_a_machine_that_is_ready_all_the_same() -> None:
    shown = of_machine([status(1), status(2, "starting"), None], 1)
    assert shown["status"] == "degraded"
    assert shown["problems"] == [
        "worker 2 is starting",
        "worker 3 does not answer: it has ended, and another one is started in its place",
    ]
    assert is_ready(status(1)), "what the worker that accepts connections answers to /health/ready"
    assert shown["feed"]["slot"] == "slot_2", "the feed that is worst"


@pytest.mark.parametrize("state", ["ok", "starting", "draining"])
def test_workers_that_are_all_alike_are_what_one_would_be(state: str) -> None:
    assert of_machine([status(1, state), status(2, state)], 2)["status"] == state


def test_one_process_is_a_machine_of_one_worker() -> None:
    alone = status(1)
    shown = of_machine([alone], 1)
    assert len(shown.pop("workers")) == 1
    assert shown == {name: value for name, value in alone.items() if name not in ("worker", "pid")}
