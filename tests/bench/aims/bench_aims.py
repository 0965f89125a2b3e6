"""The figures that the project aims at: each is measured, and printed beside its aim with whether that is met.

Run with ``python -m tests.bench.aims.bench_aims`` (at most twelve minutes; ``--only NAME,…`` for some, ``--list``). Ratios
are of runs that follow one another. *others* are the cores that processes besides these took: a figure beside which they
took much is worth little. What was measured before and is not measured now is kept, with its time. ``tests.bench.aims.page``
makes a table of docs/performance.md of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import uvloop

from server.bench.report import cores
from server.bench.run import Round
from tests.bench.aims import connections, messages, queries
from tests.bench.parts.report import RESULTS
from tests.bench.peers.ground import Figure, Ground, ground

__all__ = ["merged"]

Measure = Callable[[Ground], Awaitable[list[Figure]]]

_MEASURES: Final[dict[str, Measure]] = {**connections.MEASURES, **messages.MEASURES, **queries.MEASURES}
_AT: Final = "%Y-%m-%d %H:%M"
_LONG: Final = frozenset({"connections-50000", "soak"})
"""Only if they are named."""


@dataclass(frozen=True)
class Line:
    """A figure of a measure, as it is kept. ``at``: when it was found; ``load``: the load average then."""

    measure: str
    figure: str
    aim: str
    found: str
    met: bool | None
    others: float | None
    at: str
    load: float


def others(rounds: list[Round]) -> float | None:
    """Cores that processes took which are none of the measured ones: the most of all rounds; None without any."""
    free = [
        max(0.0, each.figures["cpu_s"]["machine"] / (each.figures["took_s"] or 1.0) - sum(cores(each.figures).values()))
        for each in rounds
    ]
    return round(max(free), 2) if free else None


async def measure(names: list[str], workers: int) -> list[Line]:
    """All that is named, each in its turn; one that fails is a line, too."""
    lines: list[Line] = []
    first = time.monotonic()
    async with ground(workers) as place:
        for name in names:
            began = time.monotonic()
            place.rounds.clear()
            try:
                found = await _MEASURES[name](place)
            except Exception as wrong:  # noqa: BLE001 - the other figures are wanted all the same
                traceback.print_exc()
                found = [Figure(name, "", f"failed: {wrong}", None)]
            busy, at, load = others(place.rounds), time.strftime(_AT, time.gmtime()), os.getloadavg()[0]
            for each in found:
                lines.append(Line(name, each.what, each.aim, each.found, each.met, busy, at, load))
                _print(lines[-1])
            keep(lines, time.monotonic() - first)  # also if the rest is interrupted
            print(f"    {time.monotonic() - began:.0f} s", flush=True)
    return lines


def _print(line: Line) -> None:
    met = {True: "met", False: "NOT MET", None: "-"}[line.met]
    busy = "-" if line.others is None else f"{line.others} cores"
    print(f"{met:8} {line.figure:60} {line.found:>40}   aim: {line.aim}   (others: {busy})", flush=True)


def keep(lines: list[Line], seconds: float) -> None:
    """Write the results, with the machine they are of. Figures of other measures stay."""
    about: dict[str, Any] = {
        "at": time.strftime(_AT, time.gmtime()),
        "seconds": round(seconds),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "aims.json"
    before: list[dict[str, Any]] = []
    if file.exists():
        old = json.loads(file.read_text())
        when = {"at": old["about"]["at"], "load": old["about"]["load_average"][0]}
        before = [when | line for line in old["lines"]]  # lines of an earlier form had no time of their own
    found = merged(before, [asdict(line) for line in lines], list(_MEASURES))
    file.write_text(json.dumps({"about": about, "lines": found}, indent=2) + "\n")


def merged(before: list[dict[str, Any]], now: list[dict[str, Any]], order: list[str]) -> list[dict[str, Any]]:
    """The figures of before with those of the measures that were made now in their place, in the ``order`` of measures."""
    again = {line["measure"] for line in now}
    kept = [line for line in before if line["measure"] not in again and line["measure"] in order]
    return sorted([*kept, *now], key=lambda line: order.index(line["measure"]))


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="measures, separated by commas")
    parser.add_argument("--list", action="store_true", help="print the measures")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(_MEASURES))
        return
    names = arguments.only.split(",") if arguments.only else [name for name in _MEASURES if name not in _LONG]
    began = time.monotonic()
    lines = uvloop.run(measure(names, arguments.workers))
    judged = [line for line in lines if line.met is not None]
    print(
        f"{sum(line.met is True for line in judged)} of {len(judged)} aims are met ({time.monotonic() - began:.0f} s)"
    )


if __name__ == "__main__":
    main()
