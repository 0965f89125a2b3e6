"""This server and its peers in turn, by the same clients and the same clock: ``python -m tests.bench.peers.run``.

Each part is played by each system, ``--rounds`` times one after the other, so a noisy machine disturbs all alike; the table
has medians, and what ours is of each peer's. All figures stay in ``peers.json`` among the results. ``make bench-peers``
installs the peers first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import uvloop

from server.bench.scenario import Figures
from tests.bench.parts.report import RESULTS, table
from tests.bench.peers.ground import Ground, Playground, ground
from tests.bench.peers.systems import PEERS

__all__ = ["PARTS", "summary"]

_OURS: Final = "ours"
_SYSTEMS: Final = (_OURS, *(name for name in PEERS if name != "byhand"))

_DELIVERY: Final = ("latency_p50_ms", "latency_p99_ms", "server_us_per_delivery")
PARTS: Final[Mapping[str, tuple[str, dict[str, Any], tuple[str, ...]]]] = {
    "fanout-100": ("fanout", {"clients": 100, "rate": 100.0}, _DELIVERY),
    "fanout-1000": ("fanout", {"clients": 1000, "rate": 20.0}, _DELIVERY),
    "publishers": (
        "publish",
        {"clients": 20, "publishers": 10, "rate": 2000.0},
        _DELIVERY,
    ),
    "channels": (
        "channels",
        {"clients": 1000, "publishers": 10, "channels": 1000, "each": 5, "rate": 500.0, "connect_rate": 1000.0},
        _DELIVERY,
    ),
    "highest": (
        "publish",
        {"clients": 20, "publishers": 10, "rate": 2000.0, "find": True},
        ("deliveries_per_s", "server_us_per_delivery"),
    ),
    "arrive": ("arrive", {"rate": 200.0}, ("complete_p50_ms", "complete_p95_ms", "server_ms_per_client")),
    "idle": (
        "idle",
        {"clients": 2000, "channels": 400, "each": 1},
        ("server_ms_per_connect", "server_bytes_per_connection", "server_bytes_per_subscription"),
    ),
}
"""The scenario, its load, and the figures that are shown. Less is better, but for ``deliveries_per_s``."""


async def play(parts: Sequence[str], systems: Sequence[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """All rounds; a system that fails is a row with its error."""
    found: list[dict[str, Any]] = []
    async with ground(1) as place:
        for part in parts:
            scenario, load, _ = PARTS[part]
            for number in range(rounds):
                for name in systems:
                    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
                    row: dict[str, Any] = {"part": part, "system": name, "round": number, "at": at}
                    try:
                        row["figures"] = await _played(place, name, scenario, {"seconds": seconds, **load})
                    except Exception as wrong:  # noqa: BLE001 - the others are wanted all the same
                        traceback.print_exc()
                        row["failed"] = repr(wrong)
                    print(part, name, "failed" if "failed" in row else "done", flush=True)
                    found.append(row)
    return found


async def _played(place: Ground, name: str, scenario: str, load: dict[str, Any]) -> Figures:
    async with _started(place, name) as system:
        return (await system.play(scenario, **load)).figures


@asynccontextmanager
async def _started(place: Ground, name: str) -> AsyncIterator[Playground]:
    """A system. Raises ``FileNotFoundError`` if it is not installed."""
    async with place.server() if name == _OURS else place.peer(name) as system:
        if system is None:
            raise FileNotFoundError(f"{name} is not installed: tests/bench/peers/install")
        yield system


def summary(found: Sequence[dict[str, Any]], part: str) -> list[dict[str, object]]:
    """The medians of a part by system, and what ours is of each peer's."""
    shown = PARTS[part][2]
    rows: list[dict[str, object]] = []
    ours: dict[str, float] = {}
    for name in _SYSTEMS:
        played = [row["figures"] for row in found if (row["part"], row["system"]) == (part, name) and "figures" in row]
        if not played:
            continue
        middle = {key: statistics.median(each.get(key, 0.0) for each in played) for key in shown}
        ours = middle if name == _OURS else ours
        rows.append(
            {
                "system": name,
                **middle,
                "missing": max(each["missing"] for each in played),
                **{f"ours / {key}": ours[key] / value if ours and value else 0.0 for key, value in middle.items()},
            }
        )
    return rows


def keep(found: list[dict[str, Any]]) -> None:
    """Write the results; those of other parts stay."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "peers.json"
    again = {row["part"] for row in found}
    before = json.loads(file.read_text()) if file.exists() else []
    file.write_text(json.dumps([row for row in before if row["part"] not in again] + found, indent=2) + "\n")


def main() -> None:
    """Play, keep, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--only", default=",".join(_SYSTEMS), help="systems, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    found = uvloop.run(play(arguments.parts, arguments.only.split(","), arguments.rounds, arguments.seconds))
    keep(found)
    for part in arguments.parts:
        if rows := summary(found, part):
            table(part, rows)


if __name__ == "__main__":
    main()
