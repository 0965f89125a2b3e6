"""The status of a machine: that of its workers together, whichever of them answers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

__all__ = ["Status", "of_machine", "with_process"]

Status = Callable[[], Mapping[str, Any]]

_SUMS: Final = (
    "queries",
    "subscriptions",
    "cacheBytes",
    "connections",
    "refusedAddresses",
    "residentBytes",
    "cpuSeconds",
)
_SHOWN: Final = ("worker", "pid", "status", "connections", "residentBytes", "cpuSeconds", "uptimeSeconds")
_FEED_STATES: Final = ("failed", "stopped", "starting", "reconnecting", "streaming")
"""The worst first."""
_NO_REASONS: Final[Mapping[int, str]] = {}


def with_process(status: Mapping[str, Any], worker: int, resident: Callable[[], int]) -> dict[str, Any]:
    """The status of a node with what its process takes: bytes of memory, and seconds of processor time since its start."""
    return {
        **status,
        "worker": worker,
        "pid": os.getpid(),
        "residentBytes": resident(),
        "cpuSeconds": round(time.process_time(), 2),
    }


def of_machine(
    statuses: Sequence[Mapping[str, Any] | None], answering: int, reasons: Mapping[int, str] = _NO_REASONS
) -> dict[str, Any]:
    """The body of ``/health``: ``statuses`` are those of all workers in their order, None of one that did not answer;
    ``answering``: the number of the worker that asked them; ``reasons``: why some did not answer, if they have not ended.

    Numbers are sums, lists have what any worker has, and ``feed`` is that of the worker whose feed is worst.
    """
    own = statuses[answering - 1]
    assert own is not None, "a worker knows its own status"
    found = [each for each in statuses if each is not None]
    shown = {name: value for name, value in own.items() if name not in ("worker", "pid")}
    for name in _SUMS:
        shown[name] = round(sum(each[name] for each in found), 2)
    names = dict.fromkeys(name for each in found for name in each["channels"])
    shown["channels"] = {name: sum(each["channels"].get(name, 0) for each in found) for name in names}
    shown["feed"] = min((each["feed"] for each in found), key=lambda feed: (_rank(feed["state"]), -feed["lagBytes"]))
    missing = {
        number: reasons.get(number, "does not answer: it has ended, and another one is started in its place")
        for number, each in enumerate(statuses, 1)
        if each is None
    }
    states = [each["status"] for each in found]
    if any(state in ("ok", "degraded") for state in states):
        missing |= {each["worker"]: "is starting" for each in found if each["status"] == "starting"}
    problems = list(dict.fromkeys(problem for each in found for problem in each["problems"]))
    shown["problems"] = [*problems, *(f"worker {number} {what}" for number, what in sorted(missing.items()))]
    shown["status"] = states[0] if len(set(states)) == 1 and not missing else _joint_status(states)
    shown["workers"] = [{name: each[name] for name in _SHOWN} for each in found]
    return shown


def _rank(state: str) -> int:
    return _FEED_STATES.index(state)


def _joint_status(states: Sequence[str]) -> str:
    """Of workers that differ, or of which some are missing."""
    return "starting" if all(state == "starting" for state in states) else "degraded"
